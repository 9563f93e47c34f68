"""HTML pages from Jinja2 templates: the environment, how numbers are written, and the cells of a table.

``templates/`` has the base page, its style and its macros. A page extends ``base.html``; it has no script and asks for nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

TEMPLATES = Path(__file__).with_name("templates")


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval, and the decimals to write them with."""

    value: float
    low: float
    high: float
    digits: int = 1


@dataclass(frozen=True)
class Heat:
    """A cell of a heat map: its words, its strength from 0 to 1, and the words that a pointer brings up."""

    words: str
    share: float
    hint: str


Cell = str | Estimate | Heat | None
"""What a table's cell holds; None is a value that is not there and is shown as a dot."""


@dataclass(frozen=True)
class Table:
    """A table: the names of its columns, and rows whose first cell names the row. It is false without rows."""

    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]

    def __bool__(self) -> bool:
        return bool(self.rows)


def environment(*folders: Path) -> Environment:
    """The environment for templates of ``folders``, which may use and extend those of :data:`TEMPLATES`.

    Values are escaped. An unknown name is an error.
    """
    result = Environment(
        loader=FileSystemLoader([*folders, TEMPLATES]),
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    result.filters |= {"number": number, "interval": interval, "count": count}
    result.policies["json.dumps_kwargs"] = {"ensure_ascii": False}
    return result


def decimals_of(unit: str) -> int:
    """How many decimals tell scores apart: one of a percentage, three of anything else, such as bits per character."""
    return 1 if unit == "percent" else 3


def number(value: float, digits: int = 1) -> str:
    """A number with ``digits`` decimals."""
    return f"{value:.{digits}f}"


def count(value: int) -> str:
    """A whole number, thousands apart: ``12,345``."""
    return f"{value:,}"


def interval(bounds: Sequence[float], digits: int = 1, sign: str = "") -> str:
    """An interval in brackets: ``[1.5, 2.5]``; with the sign ``+`` both ends have theirs."""
    low, high = bounds
    return f"[{low:{sign}.{digits}f}, {high:{sign}.{digits}f}]"


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
