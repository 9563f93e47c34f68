"""Draws the pictures of the manual from the recorded results: ``python benchmarks/pictures.py`` writes ``docs/*.svg``.

A test compares the files with what this draws, so that no picture is older than the results it shows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import flowcharts

from hyperofa.report.page import ENVIRONMENT
from hyperofa.report.svg import Scale, element, line, marker, markup, picture, shape, text, ticks
from hyperofa_eval.languages import languages

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
WIDTH, LABELS, PITCH = 760.0, 196.0, 19.0
OWN, PIECES, DEFAULT = "own tokenizer", "mean of pieces", "hyperofa init"
METHODS = {OWN: "own", PIECES: "subword-mean", DEFAULT: "default"}


@dataclass(frozen=True)
class Mark:
    """A value with its 95 % interval, where there is one."""

    series: int
    value: float
    written: str
    interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class Row:
    """A label, a smaller line below it, and marks under each other."""

    label: str
    note: str
    marks: Sequence[Mark]


def pictures() -> dict[str, str]:
    """Each picture's markup, by the name of its file in ``docs/``."""
    drawn = {
        "which-method": flowcharts.which_method(),
        "slurm": flowcharts.experiment(),
        "add-your-language": by_language(
            "init_quality_multilingual", "translations found among the ten nearest, %; higher is better", 1, 100
        ),
        "extend-an-llm": by_language("init_quality_decoder", "bits per character; lower is better", 2, 5),
        "when-not-to-use": gains(),
        "costs": costs(),
        "report": paired(),
        "results": trained(
            "experiment_decoder",
            "smol-rfull",
            "lm",
            "bits per character after training; lower is better",
            2,
            4,
            "mean of the new",
        ),
        "results-e5": trained(
            "experiment_multilingual",
            "e5-rfull",
            "sr-t",
            "translations found after training, %; higher is better",
            1,
            100,
            "mean",
        ),
    }
    return {f"{name}.svg": styled(drawing) for name, drawing in drawn.items()}


def styled(drawing: Element) -> str:
    """The markup of a figure that follows light and dark, as the figures of a report do."""
    style = "".join(ENVIRONMENT.get_template(name).render() for name in ("page.css", "report.css"))
    drawing.set("xmlns", "http://www.w3.org/2000/svg")
    drawing.insert(0, element("style", style.replace("--panel: #ffffff", "--panel: transparent")))
    return markup(drawing)


def read(name: str) -> dict[str, Any]:
    """A recorded result."""
    content: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return content


def language(code: str) -> str:
    """The English name of a language."""
    return languages()[code].name


def by_language(name: str, unit: str, digits: int, high: float) -> Element:
    """The score of every language by three ways, and their mean."""
    result = read(name)
    methods = [result["methods"][key] for key in METHODS.values()]
    saved = result["tokens_saved"]
    codes = [*methods[0]["languages"], "mean"]
    notes = [f"{saved[code]:.0f} % fewer tokens" if code in saved else "not extended" for code in codes]
    return forest(side_by_side(methods, notes, "mean", digits), list(METHODS), (0, high), unit, title=unit)


def trained(name: str, cells: str, task: str, unit: str, digits: int, high: float, mean: str) -> Element:
    """The score of every language after training: own tokenizer with as much compute, random rows, and the default."""
    scores = read(name)["scores"]
    kinds = {"own, same compute": "own-compute", "random rows": "random", "hyperofa": "default"}
    found = [scores[f"{cells}-{kind}-s0"]["after"][task] for kind in kinds.values()]
    notes = [""] * (len(found[0]["languages"]) + 1)
    return forest(side_by_side(found, notes, mean, digits), list(kinds), (0, high), unit, title=unit)


def side_by_side(methods: Sequence[dict[str, Any]], notes: Sequence[str], mean: str, digits: int) -> list[Row]:
    """A row for each language of the first method and one for the mean, with a mark of every method; a note each."""
    codes = [*methods[0]["languages"], "mean"]
    rows = []
    for code, note in zip(codes, notes, strict=True):
        values = [method["mean"] if code == "mean" else method["languages"][code] for method in methods]
        marks = [Mark(series, value, f"{value + 1e-9:.{digits}f}") for series, value in enumerate(values)]
        rows.append(Row(mean if code == "mean" else language(code), note, marks))
    return rows


def gains() -> Element:
    """What the default gains over the source's own tokenizer, language by language, the best known one first."""
    result = read("init_quality_multilingual")
    own, above = (result["methods"][name] for name in ("own", "default"))
    extended = sorted((c for c in own["languages"] if c in result["tokens_saved"]), key=lambda c: -own["languages"][c])
    rows = []
    for code in extended:
        one = above["above_own"]["languages"][code]
        note = f"own {own['languages'][code]:.1f} %, {result['tokens_saved'][code]:.0f} % fewer tokens"
        rows.append(
            Row(language(code), note, [Mark(2, one["value"], f"{one['value'] + 1e-9:+.1f}", tuple(one["ci95"]))])
        )
    unit = "points above the source with its own tokenizer, with 95 % interval"
    return forest(rows, [], (-10, 30), unit, title="What hyperofa init gains, by language (multilingual-e5-small)")


def paired() -> Element:
    """Two scores whose intervals overlap, and their paired difference, whose interval leaves out 0."""
    page = (ROOT / "docs" / "notes" / "small-recipe.md").read_text(encoding="utf-8")
    table = [line.split("|")[1:-1] for line in page.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in row] for row in table]
    column = next(row for row in cells if row[0] == "method" and "NER before" in row).index("NER before")
    scores = {row[0]: row[column] for row in cells if len(row) > column and row[1] == "100"}
    said = {row[0]: row[1] for row in cells if len(row) == 2}
    difference = said["ner: ofa-ridge against ofa, before training (rank 100, seed 0)"]
    rows = [
        Row("ofa", "score", [estimate(0, scores["ofa"])]),
        Row("ofa-ridge", "score", [estimate(1, scores["ofa-ridge"])]),
        Row("ofa-ridge - ofa", "paired difference", [estimate(2, difference)]),
    ]
    unit = "NER, F1, before training, with 95 % interval"
    return forest(rows, [], (-4, 12), unit, title="Overlapping intervals, and a difference that is one")


def estimate(series: int, words: str) -> Mark:
    """A mark from ``8.9 (7.8–10.1)`` or ``-1.4 (-2.6 to -0.2)``."""
    value, low, high = (float(one) for one in re.findall(r"[-+]?\d+\.\d+", words.replace("–", " ")))
    return Mark(series, value, words.split(maxsplit=1)[0], (low, high))


def costs() -> Element:
    """Tokens a second and memory of one training step: dense, and at two ranks."""
    sides = read("train_speed")["sides"]
    names = {"dense": "dense", "rank400": "rank 400", "rank100": "rank 100"}
    body: list[Element] = []
    y = 18.0
    for title, key, digits in (("tokens a second", "tokens_per_second", 0), ("peak memory, GB", "peak_gb", 1)):
        body.append(text(title, 4, y, class_="label"))
        x = Scale((0, max(sides[name][key] for name in names)), (LABELS, WIDTH - 60))
        for number, (name, label) in enumerate(names.items()):
            value, top = sides[name][key], y + 10 + 26 * number
            body.append(text(label, 4, top + 14))
            body.append(element("rect", x=LABELS, y=top, width=x(value) - LABELS, height=18, class_=f"mark s{number}"))
            body.append(text(f"{value:.{digits}f}", x(value) + 6, top + 14, class_="value"))
        y += 118
    described = "; ".join(
        f"{label}: {sides[name]['tokens_per_second']:.0f} tokens a second, {sides[name]['peak_gb']:.1f} GB"
        for name, label in names.items()
    )
    return picture(WIDTH, y - 22, body, title="Training with a vocabulary of 401,145 tokens", description=described)


def forest(rows: Sequence[Row], names: Sequence[str], domain: tuple[float, float], unit: str, *, title: str) -> Element:
    """Rows of marks on one axis, with a legend of ``names`` above and a line at 0 where the axis goes below it."""
    top = 34.0 if names else 12.0
    heights = [max(PITCH * len(row.marks), 30.0) + 8 for row in rows]
    bottom = top + sum(heights)
    x = Scale(domain, (LABELS, WIDTH - 44))
    body = [part for number, name in enumerate(names) for part in legend(number, name, LABELS + 150 * number)]
    for tick in ticks(*domain, 9):
        kind = "chance" if tick == 0 and domain[0] < 0 else "grid"
        body.append(line(x(tick), top, x(tick), bottom, class_=kind))
        body.append(text(f"{tick:g}", x(tick), bottom + 15, class_="tick", text_anchor="middle"))
    body.append(text(unit, (LABELS + WIDTH) / 2, bottom + 31, class_="note", text_anchor="middle"))
    y = top
    for row, height in zip(rows, heights, strict=True):
        body.append(text(row.label, 4, y + 17))
        body.append(text(row.note, 4, y + 30, class_="note"))
        first = y + (height - PITCH * len(row.marks)) / 2 + PITCH / 2
        for number, mark in enumerate(row.marks):
            at = first + PITCH * number
            low, high = mark.interval or (0.0, mark.value)
            body.append(line(x(low), at, x(high), at, class_=f"interval s{mark.series}"))
            body.append(marker(shape(mark.series), x(mark.value), at, 4.5, class_=f"mark s{mark.series}"))
            body.append(text(mark.written, x(high) + 9, at + 4, class_="value"))
        y += height
    described = "; ".join(f"{row.label}: {', '.join(mark.written for mark in row.marks)}" for row in rows)
    heads = f" ({', '.join(names)})" if names else ""
    return picture(WIDTH, bottom + 40, body, title=title, description=f"{described}{heads}")


def legend(series: int, name: str, left: float) -> list[Element]:
    """A mark and its name."""
    return [
        marker(shape(series), left, 14, 4.5, class_=f"mark s{series}"),
        text(name, left + 12, 18, class_=f"label s{series}"),
    ]


def main() -> None:
    """Write every picture."""
    for name, drawing in pictures().items():
        (ROOT / "docs" / name).write_text(drawing, encoding="utf-8")


if __name__ == "__main__":
    main()
