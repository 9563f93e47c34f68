"""What a person sees: messages and bars on standard error, results on standard output."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from hyperofa_eval.base.quiet import quiet_libraries

LOG = logging.getLogger("hyperofa_eval")
_ANY_WIDTH = 1_000_000  # no table is so wide
_LEAST_COLUMN = 8  # characters of a terminal for each column of a table, borders included


def setup_logging(quiet: bool = False) -> None:
    """Send the harness's log to standard error, one plain line each (``quiet``: warnings), and of other libraries only errors."""
    quiet_libraries()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    LOG.handlers[:] = [handler]
    LOG.setLevel(logging.WARNING if quiet else logging.INFO)
    LOG.propagate = False


_shown: list[Any] = []
"""The display that bars are added to while one is open: a terminal holds only one."""


@contextmanager
def progress_bar(label: str, total: int) -> Iterator[Any]:
    """Yield ``advance(n=1)`` for a bar of ``total`` steps; draws nothing when standard error is no terminal.

    A bar opened inside another is a line below it.
    """
    if _shown:
        with _line(_shown[-1], label, total) as advance:
            yield advance
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as display:
        _shown.append(display)
        try:
            with _line(display, label, total) as advance:
                yield advance
        finally:
            _shown.pop()


@contextmanager
def _line(display: Any, label: str, total: int) -> Iterator[Any]:
    task = display.add_task(label, total=total)

    def advance(n: int = 1) -> None:
        display.advance(task, n)

    try:
        yield advance
    finally:
        display.remove_task(task)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], *, decimals: int = 1) -> None:
    """Print a table on standard output; numbers are right-aligned, floats have ``decimals`` places, text is no markup.

    Headings and cells are always whole: in a file or a pipe the table is as wide as it needs to be, in a terminal that is
    too narrow for it they run over several lines.
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    rows = [list(row) for row in rows]
    out = Table()
    for index, name in enumerate(columns):
        numeric = bool(rows) and all(isinstance(row[index], int | float) for row in rows)
        out.add_column(escape(name), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        out.add_row(*(f"{cell:.{decimals}f}" if isinstance(cell, float) else escape(str(cell)) for cell in row))
    console = Console(highlight=False, emoji=False, soft_wrap=True)
    natural = Console(width=_ANY_WIDTH).measure(out).maximum
    # FORCE_COLOR and its like call a file a terminal too, so the file is asked; below a width, columns would vanish.
    width = max(console.width, _LEAST_COLUMN * len(columns)) if console.file.isatty() else natural
    console.width = min(width, natural)
    console.print(escape(title), style="italic")
    console.print(out)


def lines(texts: Iterable[str]) -> None:
    """Print lines on standard output as they are."""
    sys.stdout.writelines(f"{text}\n" for text in texts)


def print_json(value: Any) -> None:
    """Print ``value`` as JSON on standard output, never wrapped or coloured."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2) + "\n")
