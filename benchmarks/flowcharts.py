"""Draws the two flow charts of the manual; ``pictures.py`` writes them with the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from hyperofa.report.svg import element, picture, polyline, text

WIDTH, LINE = 760.0, 15.0


@dataclass(frozen=True)
class Box:
    """Lines of text in a frame: the middle, and the width; a question has round ends."""

    x: float
    y: float
    width: float
    lines: Sequence[str]
    question: bool = False

    @property
    def height(self) -> float:
        """Of the frame."""
        return LINE * len(self.lines) + 14

    def drawn(self) -> list[Element]:
        """The frame, and its text in the middle."""
        left, top = self.x - self.width / 2, self.y - self.height / 2
        round_ = self.height / 2 if self.question else 4.0
        frame = element("rect", x=left, y=top, width=self.width, height=self.height, rx=round_, class_="s1 mark hollow")
        first = self.y - LINE * (len(self.lines) - 1) / 2 + 4
        middle = {"text_anchor": "middle", "class_": "value"}
        return [frame, *(text(words, self.x, first + LINE * i, **middle) for i, words in enumerate(self.lines))]


def arrow(start: Box, end: Box, words: str = "") -> list[Element]:
    """From the right side to the left one, with a bend before it; straight down if ``end`` is below ``start``."""
    if start.x == end.x:
        x, y = end.x, end.y - end.height / 2
        points = [(x, start.y + start.height / 2), (x, y - 4)]
        head = [(x, y), (x - 4, y - 8), (x + 4, y - 8)]
        said = text(words, x + 8, (points[0][1] + y) / 2 + 4, class_="note")
    else:
        x, y = end.x - end.width / 2, end.y
        points = [(start.x + start.width / 2, start.y), (x - 14, start.y), (x - 14, y), (x - 4, y)]
        head = [(x, y), (x - 8, y - 4), (x - 8, y + 4)]
        said = text(words, points[0][0] + 8, start.y - 5, class_="note")
    tip = element("polygon", points=" ".join(f"{a:.1f},{b:.1f}" for a, b in head), class_="s0 mark")
    return [polyline(points, class_="s0 curve"), tip, *([said] if words else [])]


def which_method() -> Element:
    """Which method to take: four questions, each with a way out."""
    ways = [
        ("Do you repeat published work?", "yes", ["--method hyperofa, ofa, wechsel or focus"]),
        (
            "Does a model have the target tokenizer already?",
            "yes",
            ["the default with --donor MODEL,", "or --method omp"],
        ),
        ("Do you have text of the new languages?", "no", ["the default, with nothing more"]),
        ("Is some of it parallel, with English?", "no", ["the default with --text"]),
    ]
    asked = [Box(185, 26 + 72 * i, 330, [question], question=True) for i, (question, _, _) in enumerate(ways)]
    last = Box(185, 26 + 72 * len(ways), 330, ["the default with --text, --parallel and --vectors"])
    body: list[Element] = []
    for box, following, (_, answer, lines) in zip(asked, [*asked[1:], last], ways, strict=True):
        out = Box(585, box.y, 300, lines)
        body += [*box.drawn(), *out.drawn(), *arrow(box, out, answer)]
        body += arrow(box, following, "no" if answer == "yes" else "yes")
    described = " ".join(f"{question} If {answer}: {' '.join(lines)}." for question, answer, lines in ways)
    title = "New tokens need rows: which method?"
    return picture(WIDTH, 340, [*body, *last.drawn()], title=title, description=f"{described} Else {last.lines[0]}.")


def experiment() -> Element:
    """The stages of an experiment and what each waits for."""
    column = [float(46 + 111 * i) for i in range(7)]
    upper, middle, lower, lowest = 64.0, 100.0, 136.0, 208.0
    boxes = {
        "data": Box(column[0], upper, 78, ["data"]),
        "vectors": Box(column[1], upper, 78, ["vectors"]),
        "tokenizer": Box(column[1], lower, 78, ["tokenizer"]),
        "corpus": Box(column[1], lowest, 78, ["corpus"]),
        "init": Box(column[2], middle, 78, ["init"]),
        "before": Box(column[3], upper, 78, ["evaluate", "before"]),
        "train": Box(column[3], lower, 78, ["train, on", "all nodes"]),
        "after": Box(column[4], lower, 78, ["evaluate", "after"]),
        "compare": Box(column[5], middle, 78, ["compare"]),
        "report": Box(column[6], middle, 78, ["report"]),
    }
    waits = [
        ("data", "vectors"),
        ("data", "tokenizer"),
        ("tokenizer", "corpus"),
        ("vectors", "init"),
        ("tokenizer", "init"),
        ("init", "before"),
        ("init", "train"),
        ("corpus", "train"),
        ("train", "after"),
        ("before", "compare"),
        ("after", "compare"),
        ("compare", "report"),
    ]
    left, right = column[2] - 62, column[4] + 46
    frame = {"x": left, "y": 18, "width": right - left, "height": 160, "rx": 4, "fill": "none", "class_": "s0 curve"}
    body = [
        element("rect", stroke_dasharray="4 4", stroke="currentColor", **frame),
        text("for every source, rank, method and seed", (left + right) / 2, 12, class_="note", text_anchor="middle"),
        text("once", column[1], 12, class_="note", text_anchor="middle"),
    ]
    body += [part for start, end in waits for part in arrow(boxes[start], boxes[end])]
    body += [part for box in boxes.values() for part in box.drawn()]
    described = "; ".join(f"{end} waits for {start}" for start, end in waits)
    return picture(WIDTH, 232, body, title="The stages of an experiment", description=described)
