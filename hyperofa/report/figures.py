"""The figures of the report, each a function from plain numbers to an SVG of a given width in CSS pixels."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from xml.etree.ElementTree import Element

from hyperofa.report.svg import Scale, element, line, marker, picture, polyline, shape, text, ticks
from hyperofa_eval.results.pages import Estimate

V = TypeVar("V")
CHARACTER, LABEL_CHARACTER, BOLD_CHARACTER = 6.6, 6.9, 8.0
"""Widths in pixels to allow for a character of the figures' 12-pixel text."""


@dataclass(frozen=True)
class Change:
    """One method's score before and, if it was trained, after training."""

    label: str
    series: int
    before: Estimate
    after: Estimate | None


@dataclass(frozen=True)
class Row:
    """One language: an estimate per series, and what a random ranking would reach."""

    label: str
    note: str
    chance: float | None
    estimates: Sequence[tuple[int, Estimate]]


@dataclass(frozen=True)
class Curve(Generic[V]):
    """One training run: its values by step, such as ``(step, loss)``."""

    label: str
    series: int
    points: Sequence[tuple[int, V]]


def upper_end(values: Sequence[float], step: float = 10.0, limit: float = 100.0) -> float:
    """A round end of an axis of percentages that starts at 0."""
    return min(limit, step * (int(max(values, default=0.0) / step) + 1))


def changes(rows: Sequence[Change], lines: Mapping[str, float], width: float, *, title: str, unit: str) -> Element:
    """Before (hollow) and after (filled) of each method on one axis, with intervals and the value written beside.

    ``lines`` are named values to compare with, such as chance, drawn down the whole figure.
    """
    left, right, top, pitch = 8.0, width - 18, 30.0 + 13 * max(0, len(lines) - 2), 58.0
    bottom = top + pitch * len(rows)
    high = upper_end([one.high for row in rows for one in (row.before, row.after) if one is not None])
    x = Scale((0, high), (left, right))
    body = _axis(x, top - 8, bottom, unit)
    for index, (name, value) in enumerate(lines.items()):
        words, above = f"{name} {value:.1f}", 4 + 13 * index  # each at its own height, so that neighbours stay apart
        fits = x(value) + 4 + CHARACTER * len(words) < width
        body.append(line(x(value), top - 4 - above, x(value), bottom, class_="chance"))
        at, anchor = (x(value) + 4, "start") if fits else (x(value) - 4, "end")
        body.append(text(words, at, top - above, class_="note", text_anchor=anchor))
    for number, row in enumerate(rows):
        y = top + pitch * number + 40
        body.append(text(row.label, left, y - 25, class_=f"label s{row.series}"))
        written = [(row.before.value, f"before {row.before.value:.1f}")]
        if row.after is not None:
            body.append(line(x(row.before.value), y, x(row.after.value), y, class_=f"link s{row.series}"))
            written.append((row.after.value, f"after {row.after.value:.1f}"))
        body += _estimate(x, y, row.before, row.series, hollow=True, size=5.5)
        body += _estimate(x, y, row.after, row.series, hollow=False, size=5.5) if row.after is not None else []
        for (words, at), side in zip(_beside(sorted(written), x), ("end", "start"), strict=False):
            body.append(text(words, at, y - 11, class_="value", text_anchor=side))
    after = [f", after {row.after.value:.1f}" if row.after is not None else "" for row in rows]
    described = [f"{r.label}: before {r.before.value:.1f}{more} {unit}" for r, more in zip(rows, after, strict=True)]
    description = "; ".join(described)
    return picture(width, bottom + 36, body, title=title, description=description)


def _beside(written: Sequence[tuple[float, str]], x: Scale) -> list[tuple[str, float]]:
    """Places of one or two labels above their marks: the lower value's ends there, the higher one's begins there.

    At the ends of the axis they are moved inwards, and from each other.
    """
    low, high = x.pixels
    space = [CHARACTER * len(words) for _, words in written]
    ends = max(x(written[0][0]), low + space[0])
    if len(written) == 1:
        return [(written[0][1], ends)]
    begins = min(max(x(written[1][0]), ends + 4), high - space[1])
    return [(written[0][1], min(ends, begins - 4)), (written[1][1], begins)]


def intervals(
    rows: Sequence[Row], names: Mapping[int, str], high: float, width: float, *, title: str, unit: str
) -> Element:
    """A row a language, a mark and an interval a method, a dashed line at chance; ``high`` ends the axis."""
    label_width = max((len(row.label) for row in rows), default=3) * LABEL_CHARACTER + 10
    left, right, top = label_width, width - 14, 26.0
    pitch = 9.0 * len(names) + 12
    bottom = top + pitch * len(rows)
    x = Scale((0, high), (left, right))
    body = _axis(x, top, bottom, unit)
    for number, row in enumerate(rows):
        base = top + pitch * number
        if number % 2:
            body.insert(0, element("rect", x=0, y=base, width=width, height=pitch, class_="stripe"))
        body.append(text(row.label, 4, base + pitch / 2 + 1))
        body.append(text(row.note, 4, base + pitch / 2 + 13, class_="note"))
        if row.chance is not None:
            body.append(line(x(row.chance), base + 2, x(row.chance), base + pitch - 2, class_="chance"))
        for offset, (series, estimate) in enumerate(row.estimates):
            body += _estimate(x, base + 10.5 + 9 * offset, estimate, series, hollow=False, size=3.6)
    if rows and rows[0].chance is not None:
        body.append(text("chance", x(rows[0].chance), top - 8, class_="note", text_anchor="middle"))
    description = "; ".join(
        f"{row.label}: " + ", ".join(f"{names[series]} {estimate.value:.1f}" for series, estimate in row.estimates)
        for row in rows
    )
    return picture(width, bottom + 36, body, title=title, description=description)


def stacked(rows: Mapping[str, Mapping[str, int]], width: float, *, title: str) -> Element:
    """One bar a method, divided by where its tokens come from, with the counts written inside where they fit.

    All of ``rows`` (method -> part -> tokens) have the same parts in the same order.
    """
    left, right, pitch = 4.0, width - 4, 50.0
    x = Scale((0, max(sum(counts.values()) for counts in rows.values())), (left, right))
    body = []
    for number, (label, counts) in enumerate(rows.items()):
        y, start = pitch * number + 20, 0
        body.append(text(label, left, y - 6, class_="label"))
        body.append(text(f"{sum(counts.values()):,} tokens", right, y - 6, class_="note", text_anchor="end"))
        for part, (name, count) in enumerate(counts.items()):
            begin, end = x(start), x(start + count)
            start += count
            if not count:
                continue
            span = max(end - begin - 1, 0.5)
            body.append(element("rect", x=begin, y=y, width=span, height=24, class_=f"part p{part}"))
            fitting = [w for w in (f"{name} {count:,}", f"{count:,}") if len(w) * CHARACTER < end - begin - 8]
            body += [text(words, begin + 5, y + 16.5, class_=f"inside p{part}") for words in fitting[:1]]
    described = {label: [f"{n} {name}" for name, n in counts.items() if n] for label, counts in rows.items()}
    description = "; ".join(f"{label}: {', '.join(parts)}" for label, parts in described.items())
    return picture(width, pitch * len(rows) + 4, body, title=title, description=description)


def losses(curves: Sequence[Curve[float]], resumed: int | None, width: float, *, title: str, window: int) -> Element:
    """Training loss by step: a mean over ``window`` steps on the faint single steps, named at the line's end."""
    name_width = max(len(curve.label) for curve in curves) * BOLD_CHARACTER + 14
    left, right, top, bottom = 34.0, width - name_width, 22.0, 262.0
    smooth = [moving_mean(curve.points, window) for curve in curves]
    values = [loss for points in smooth for _, loss in points]
    low, high = min(values), max(values)
    pad = max(0.05 * (high - low), 0.02)
    x = Scale((0, max(step for curve in curves for step, _ in curve.points)), (left, right))
    y = Scale((low - pad, high + pad), (bottom, top))
    body = [text("loss in nats per predicted token", 4, 12, class_="note")]
    body += step_axes(x, y)
    if resumed is not None:
        body.append(line(x(resumed), top, x(resumed), bottom, class_="event"))
        body.append(text(f"stopped and resumed at {resumed}", x(resumed) + 5, top + 10, class_="note"))
    for curve, points in zip(curves, smooth, strict=True):
        faint = [(x(step), min(max(y(loss), top), bottom)) for step, loss in curve.points]
        body.append(polyline(faint, class_=f"faint s{curve.series}"))
        body.append(polyline([(x(step), y(loss)) for step, loss in points], class_=f"curve s{curve.series}"))
    for curve, points in zip(curves, smooth, strict=True):
        step, loss = points[-1]
        body.append(marker(shape(curve.series), x(step), y(loss), 3.5, class_=f"mark s{curve.series}"))
    body += _names(curves, [y(points[-1][1]) for points in smooth], right)
    ends = [(curve.label, points[0][1], points[-1][1]) for curve, points in zip(curves, smooth, strict=True)]
    description = "; ".join(f"{label}: from {first:.2f} to {last:.2f}" for label, first, last in ends)
    return picture(width, bottom + 40, body, title=title, description=description)


def _names(curves: Sequence[Curve[Any]], ends: Sequence[float], right: float) -> list[Element]:
    """The names of lines beside their ends, at least a line of text apart."""
    places = zip(curves, spread(ends, 15.0), strict=True)
    return [text(curve.label, right + 8, at + 4, class_=f"label s{curve.series}") for curve, at in places]


def step_axes(x: Scale, y: Scale) -> list[Element]:
    """Horizontal grid lines with their values, and optimizer steps below."""
    (left, right), (bottom, _) = x.pixels, y.pixels
    rows, columns = ticks(*y.domain, 6), ticks(*x.domain, max(3, int((right - left) / 70)))
    parts = [line(left, y(at), right, y(at), class_="grid") for at in rows]
    parts += [text(f"{at:g}", left - 6, y(at) + 4, class_="tick", text_anchor="end") for at in rows]
    parts += [text(f"{at:g}", x(at), bottom + 16, class_="tick", text_anchor="middle") for at in columns]
    return [*parts, text("optimizer step", (left + right) / 2, bottom + 32, class_="note", text_anchor="middle")]


def progress(runs: Sequence[Curve[Estimate]], width: float, *, title: str, unit: str) -> Element:
    """Scores by step: a line a run with an interval at each mark, named at the line's end."""
    name_width = max(len(run.label) for run in runs) * BOLD_CHARACTER + 14
    words = textwrap.wrap(unit, int((width - 8) / CHARACTER))  # more than one line on a narrow screen
    left, right, top = 34.0, width - name_width, 22.0 + 13 * (len(words) - 1)
    bottom = top + 210
    high = upper_end([score.high for run in runs for _, score in run.points], step=5.0)
    x = Scale((0, max(step for run in runs for step, _ in run.points)), (left, right))
    y = Scale((0, high), (bottom, top))
    body = [text(part, 4, 12 + 13 * number, class_="note") for number, part in enumerate(words)]
    body += step_axes(x, y)
    for run in runs:
        body.append(polyline([(x(step), y(score.value)) for step, score in run.points], class_=f"curve s{run.series}"))
        for step, score in run.points:
            body.append(line(x(step), y(score.low), x(step), y(score.high), class_=f"interval s{run.series}"))
            body.append(marker(shape(run.series), x(step), y(score.value), 3.5, class_=f"mark s{run.series}"))
    body += _names(runs, [y(run.points[-1][1].value) for run in runs], right)
    ends = [(run.label, run.points[0][1].value, run.points[-1][1].value, run.points[0][1].digits) for run in runs]
    description = "; ".join(
        f"{label}: from {first:.{digits}f} to {last:.{digits}f}" for label, first, last, digits in ends
    )
    return picture(width, bottom + 40, body, title=title, description=description)


def moving_mean(points: Sequence[tuple[int, float]], window: int) -> list[tuple[int, float]]:
    """The mean over up to ``window`` steps that end with each step."""
    out, total = [], 0.0
    for index, (step, value) in enumerate(points):
        total += value
        if index >= window:
            total -= points[index - window][1]
        out.append((step, total / min(index + 1, window)))
    return out


def spread(places: Sequence[float], apart: float) -> list[float]:
    """Labels' places, moved down where needed so that neighbours are at least ``apart``; the order is kept."""
    out = list(places)
    order = sorted(range(len(out)), key=lambda index: out[index])
    for upper, lower in itertools.pairwise(order):
        out[lower] = max(out[lower], out[upper] + apart)
    return out


def legend_mark(series: int, label: str) -> Element:
    """The mark of a series, for a legend."""
    mark = marker(shape(series), 8, 8, 4.5, class_=f"mark s{series}")
    return picture(16, 16, [mark], title=label, description=f"mark of {label}")


def _axis(x: Scale, top: float, bottom: float, unit: str) -> list[Element]:
    body = []
    for tick in ticks(*x.domain, max(3, int((x.pixels[1] - x.pixels[0]) / 45))):
        body.append(line(x(tick), top, x(tick), bottom, class_="grid"))
        body.append(text(f"{tick:g}", x(tick), bottom + 15, class_="tick", text_anchor="middle"))
    body.append(text(unit, (x.pixels[0] + x.pixels[1]) / 2, bottom + 30, class_="note", text_anchor="middle"))
    return body


def _estimate(x: Scale, y: float, estimate: Estimate, series: int, *, hollow: bool, size: float) -> list[Element]:
    kind = "mark hollow" if hollow else "mark"
    return [
        line(x(estimate.low), y, x(estimate.high), y, class_=f"interval s{series}"),
        marker(shape(series), x(estimate.value), y, size, class_=f"{kind} s{series}"),
    ]
