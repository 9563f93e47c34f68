"""The few pieces that the figures are drawn from: SVG elements, a linear scale, round ticks, marks.

The figures are written by hand and not by a plotting library because their colours must follow the page's light and
dark theme, their text must stay text (searchable, selectable, read aloud), and they are small.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element, tostring

MARKERS = ("circle", "square", "diamond", "triangle", "bar")
"""Mark shapes by series, so that colour is never the only difference."""


def element(name: str, *children: Element | str, **attributes: object) -> Element:
    """One SVG element with its children, or with its text.

    A trailing underscore is dropped from attribute names (``class_``), inner ones become hyphens; numbers are rounded
    to a tenth, which is finer than a screen shows; attributes that are None are left out.
    """
    named = {key.rstrip("_").replace("_", "-"): value for key, value in attributes.items() if value is not None}
    result = Element(name, {key: _number(value) for key, value in named.items()})
    for child in children:
        if isinstance(child, str):
            result.text = child
        else:
            result.append(child)
    return result


def markup(drawing: Element) -> str:
    """The drawing as markup, in which text and attributes are escaped."""
    return tostring(drawing, encoding="unicode", short_empty_elements=False)


def text(content: str, x: float, y: float, **attributes: object) -> Element:
    """A text element."""
    return element("text", content, x=x, y=y, **attributes)


def line(x1: float, y1: float, x2: float, y2: float, **attributes: object) -> Element:
    """A straight line."""
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, **attributes)


def picture(width: float, height: float, body: Sequence[Element], *, title: str, description: str) -> Element:
    """A figure of ``width`` x ``height`` CSS pixels that shrinks with its column and is announced by its title."""
    head = [element("title", title), element("desc", description)]
    box = f"0 0 {width:g} {height:g}"
    return element("svg", *head, *body, viewBox=box, width=width, height=height, role="img")


@dataclass(frozen=True)
class Scale:
    """Maps values of ``domain`` linearly to pixels of ``pixels``."""

    domain: tuple[float, float]
    pixels: tuple[float, float]

    def __call__(self, value: float) -> float:
        """The pixel of a value."""
        low, high = self.domain
        share = (value - low) / (high - low)
        return self.pixels[0] + share * (self.pixels[1] - self.pixels[0])


def ticks(low: float, high: float, at_most: int) -> list[float]:
    """Round values (steps of 1, 2 or 5 times a power of ten) from ``low`` to ``high``, at most ``at_most`` of them."""
    span = max(high - low, 1e-9)
    step = 10.0 ** math.floor(math.log10(span / at_most))
    for factor in (1, 2, 5, 10):
        first, last = math.ceil(low / (step * factor) - 1e-9), math.floor(high / (step * factor) + 1e-9)
        if last - first + 1 <= at_most:
            return [round(i * step * factor, 10) for i in range(first, last + 1)]
    return [low, high]


def shape(series: int) -> str:
    """The mark of a series."""
    return MARKERS[series % len(MARKERS)]


def marker(shape: str, x: float, y: float, size: float, **attributes: object) -> Element:
    """A mark centred on ``(x, y)``; all shapes have about the same area."""
    if shape == "circle":
        return element("circle", cx=x, cy=y, r=size, **attributes)
    if shape == "square":
        half = size * 0.9
        return element("rect", x=x - half, y=y - half, width=2 * half, height=2 * half, **attributes)
    if shape == "bar":
        return element("rect", x=x - size * 0.4, y=y - size * 1.3, width=size * 0.8, height=size * 2.6, **attributes)
    corners = {
        "diamond": ((0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0)),
        "triangle": ((0, -1.25), (1.25, 1.0), (-1.25, 1.0)),
    }[shape]
    points = " ".join(f"{x + dx * size:.1f},{y + dy * size:.1f}" for dx, dy in corners)
    return element("polygon", points=points, **attributes)


def polyline(points: Sequence[tuple[float, float]], **attributes: object) -> Element:
    """An open line through points."""
    return element("polyline", points=" ".join(f"{x:.1f},{y:.1f}" for x, y in points), fill="none", **attributes)


def _number(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.1f}".rstrip("0").rstrip(".") if value % 1 else f"{value:.0f}"
    return str(value)
