"""The figures: marks lie where their numbers say, labels do not cover each other, text is escaped."""

from __future__ import annotations

import itertools
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperofa.report.figures import (
    Change,
    Curve,
    Row,
    changes,
    intervals,
    losses,
    moving_mean,
    progress,
    spread,
    stacked,
    upper_end,
)
from hyperofa.report.page import ENVIRONMENT
from hyperofa.report.svg import MARKERS, Scale, element, marker, markup, ticks
from hyperofa_eval.results.pages import Estimate

FLOATS = st.floats(-1e3, 1e3)


def marks(svg: ET.Element, name: str, class_: str) -> list[dict[str, str]]:
    return [node.attrib for node in svg.iter(name) if class_ in node.attrib.get("class", "").split()]


@given(st.tuples(FLOATS, st.floats(1e-3, 1e3)), st.integers(2, 12))
def test_ticks_are_round_few_and_inside(place: tuple[float, float], most: int) -> None:
    low, high = place[0], place[0] + place[1]
    found = ticks(low, high, most)
    assert len(found) <= most
    assert all(low - 1e-6 <= tick <= high + 1e-6 for tick in found)
    steps = np.diff(found)
    assert np.allclose(steps, steps[:1])


def test_elements_escape_text_and_attributes() -> None:
    made = markup(element("g", "<i>", class_='a"<b>', stroke_width=1.26, x=None))
    assert made == '<g class="a&quot;&lt;b&gt;" stroke-width="1.3">&lt;i&gt;</g>'
    svg = markup(stacked({"<b>&": {"x": 3, "<i>": 2}}, 300, title="<t>"))
    assert "<b>" not in svg
    ET.fromstring(svg)


@pytest.mark.parametrize("name", MARKERS)
def test_every_marker_is_drawn(name: str) -> None:
    ET.fromstring(markup(marker(name, 5, 5, 3)))


def test_changes_puts_marks_and_intervals_at_their_values() -> None:
    svg = changes(
        [Change("ofa", 0, Estimate(20, 15, 25), Estimate(40, 30, 45))], {"chance": 5.0}, 400, title="t", unit="%"
    )
    x = Scale((0, upper_end([25, 45])), (8, 400 - 18))
    assert [float(mark["cx"]) for mark in marks(svg, "circle", "mark")] == pytest.approx([x(20), x(40)], abs=0.06)
    ends = [(float(mark["x1"]), float(mark["x2"])) for mark in marks(svg, "line", "interval")]
    assert ends == [pytest.approx((x(15), x(25)), abs=0.06), pytest.approx((x(30), x(45)), abs=0.06)]
    assert float(marks(svg, "line", "chance")[0]["x1"]) == pytest.approx(x(5), abs=0.06)
    words = [node.text for node in svg.iter("text") if "value" in node.attrib.get("class", "")]
    assert words == ["before 20.0", "after 40.0"]


def test_changes_writes_a_fall_with_the_lower_value_on_the_left() -> None:
    svg = changes([Change("ofa", 0, Estimate(60, 55, 65), Estimate(30, 25, 35))], {}, 400, title="t", unit="%")
    found = [node for node in svg.iter("text") if "value" in node.attrib.get("class", "")]
    assert [(node.text, node.attrib["text-anchor"]) for node in found] == [
        ("after 30.0", "end"),
        ("before 60.0", "start"),
    ]


def test_values_to_compare_with_are_named_apart() -> None:
    lines = {"chance": 5.9, "roberta as it is": 5.0, "xlm-roberta as it is": 6.5}
    svg = changes([Change("ofa", 0, Estimate(20, 18, 22), None)], lines, 330, title="t", unit="%")
    heights = sorted(float(n.attrib["y"]) for n in svg.iter("text") if n.text and n.text[:3] in {"cha", "rob", "xlm"})
    assert [lower - upper for upper, lower in itertools.pairwise(heights)] == [13.0, 13.0]
    assert heights[0] >= 11


def test_ten_methods_have_colours_and_hollow_marks() -> None:
    style = ENVIRONMENT.get_template("report.css").render()
    for number in range(10):
        assert style.count(f"--s{number}: #") == 2  # light and dark
        assert style.index(f"svg .s{number}.mark") < style.rindex(
            "svg .mark.hollow { fill"
        )  # of two equal rules the last counts


def test_intervals_draw_one_mark_per_language_and_method() -> None:
    rows = [Row(code, "n 9", 5.0, [(0, Estimate(10, 5, 15)), (1, Estimate(30, 25, 35))]) for code in ("tur", "ell")]
    svg = intervals(rows, {0: "random", 1: "ofa"}, 40.0, 330, title="t", unit="%")
    assert len(marks(svg, "circle", "mark")) == 2
    assert len(marks(svg, "rect", "mark")) == 2
    assert "tur: random 10.0, ofa 30.0" in (svg.findtext("desc") or "")
    heights = [float(mark["cy"]) for mark in marks(svg, "circle", "mark")]
    assert heights[1] - heights[0] > 25


def test_stacked_widths_are_proportional_to_counts() -> None:
    svg = stacked({"a": {"x": 100, "y": 0, "z": 300}}, 408, title="t")
    widths = [float(bar["width"]) for bar in marks(svg, "rect", "part")]
    assert widths == pytest.approx([99, 299], abs=0.1)


def test_loss_curves_end_with_their_names_apart() -> None:
    points = [(step, 5.0 - step / 100) for step in range(1, 101)]
    svg = losses([Curve("a", 0, points), Curve("b", 1, points)], 50, 500, title="t", window=10)
    labels = [node for node in svg.iter("text") if node.text in {"a", "b"}]
    assert abs(float(labels[0].attrib["y"]) - float(labels[1].attrib["y"])) >= 14.9
    assert "stopped and resumed at 50" in svg.itertext()


@given(st.lists(FLOATS, min_size=1, max_size=40), st.integers(1, 9))
def test_moving_mean_equals_numpy(values: list[float], window: int) -> None:
    found = [value for _, value in moving_mean(list(enumerate(values)), window)]
    expected = [np.mean(values[max(0, i - window + 1) : i + 1]) for i in range(len(values))]
    assert np.allclose(found, expected, atol=1e-6)


@given(st.lists(st.floats(0, 300), min_size=1, max_size=8))
def test_spread_keeps_order_and_distance(places: list[float]) -> None:
    found = spread(places, 15)
    assert sorted(range(len(places)), key=lambda i: places[i]) == sorted(range(len(found)), key=lambda i: found[i])
    assert all(b - a >= 15 - 1e-9 for a, b in zip(sorted(found), sorted(found)[1:], strict=False))


def test_a_long_unit_is_broken_where_the_figure_is_narrow() -> None:
    runs = [Curve("a", 0, [(1, Estimate(1.0, 0.5, 2.0)), (2, Estimate(3.0, 2.0, 4.0))])]
    unit = "SR-T top-10, mean of 10 languages, the first 150 of each, protocol default"
    assert unit in progress(runs, 900.0, title="t", unit=unit).itertext()
    narrow = progress(runs, 330.0, title="t", unit=unit)
    assert unit not in narrow.itertext()
    assert max(len(node.text or "") for node in narrow.iter("text") if node.attrib["class"] == "note") * 6.6 <= 330
