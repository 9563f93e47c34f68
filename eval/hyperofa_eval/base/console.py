"""What a person sees: messages and bars on standard error, results on standard output; the one console of both commands."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from hyperofa_eval.base.quiet import quiet_libraries

T = TypeVar("T")
Advance = Callable[..., None]
"""``advance(n=1, note="")`` moves a progress bar by ``n`` steps and says ``note`` beside it."""

console = Console(stderr=True, highlight=False, emoji=False)
"""Messages, progress and errors: standard error, so that standard output stays machine-readable."""
output = Console(highlight=False, soft_wrap=True, emoji=False)
"""Results: tables and JSON on standard output."""

log = logging.getLogger(__name__)
"""Lines of progress; silent for those who use the package as a library."""
_LOG_EVERY = 60.0
"""Seconds between two lines of a bar that no terminal shows."""
_AT_ONCE = 1.0
"""Steps within so many seconds say nothing of the speed: a run that is resumed begins with all that it had done."""
_ANY_WIDTH = 1_000_000  # no table is so wide
_LEAST_COLUMN = 8  # characters of a terminal for each column of a table, borders included


class _ConsoleHandler(logging.Handler):
    """Log lines on the console, above a progress bar if there is one; never wrapped, so that a log can be searched."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            console.print(self.format(record), markup=False, emoji=False, soft_wrap=True)
        except Exception:  # noqa: BLE001  (as logging's own handlers: a log line never ends a run)
            self.handleError(record)


def setup_logging(levels: Mapping[str, int]) -> None:
    """For a command's own process: send these loggers to the console, from their levels up; of other libraries only errors."""
    quiet_libraries()
    for name, level in {**levels, __name__: logging.INFO}.items():
        logger = logging.getLogger(name)
        logger.handlers[:] = [_ConsoleHandler()]
        logger.setLevel(level)
        logger.propagate = False


_shown: list[Progress] = []
"""The display that bars are added to while one is open: a terminal holds only one."""


@contextmanager
def progress_bar(label: str, total: int | None) -> Iterator[Advance]:
    """Yield ``advance(n=1, note="")`` for a bar of ``total`` steps.

    A bar opened inside another is a line below it. Where standard error is no terminal, the first process of a command logs a
    line each minute instead.
    """
    if not console.is_terminal:
        yield _Lines(label, total, silent=os.environ.get("RANK", "0") != "0")
        return
    if _shown:
        task = _shown[-1].add_task(label, total=total)
        try:
            yield partial(_move, _shown[-1], task, label)
        finally:
            _shown[-1].remove_task(task)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as display:
        _shown.append(display)
        try:
            with progress_bar(label, total) as advance:
                yield advance
        finally:
            _shown.pop()


def _move(display: Progress, task: TaskID, label: str, advance: int = 1, note: str = "") -> None:
    display.update(task, advance=advance, description=f"{label}: {note}" if note else label)


class _Lines:
    """A bar in a log: how far it is, and where the end is known, what is left at the speed since the line before."""

    def __init__(self, label: str, total: int | None, *, silent: bool) -> None:
        self.label, self.total, self.silent = label, total, silent
        self.done = self.logged = 0
        self.logged_at = time.monotonic()

    def __call__(self, advance: int = 1, note: str = "") -> None:
        self.done += advance
        seconds = time.monotonic() - self.logged_at
        if seconds < _AT_ONCE:
            self.logged = self.done
        if self.silent or seconds < _LOG_EVERY or (self.total is not None and self.done >= self.total):
            return
        said = [
            f"{self.done:,}" if self.total is None else f"{self.done:,} of {self.total:,}",
            *([note] if note else []),
        ]
        if self.total is not None:
            left = seconds / (self.done - self.logged) * (self.total - self.done) if self.done > self.logged else 0.0
            said.append(f"about {left:.0f} s left")
        log.info("%s: %s", self.label, ", ".join(said))
        self.logged, self.logged_at = self.done, time.monotonic()


def track(items: Iterable[T], label: str, total: int | None = None) -> Iterator[T]:
    """Iterate over ``items`` under a progress bar."""
    if total is None and isinstance(items, Sequence):
        total = len(items)
    with progress_bar(label, total) as advance:
        for item in items:
            yield item
            advance()


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], *, decimals: int = 2) -> None:
    """Print a table on standard output; numbers are right-aligned, floats have ``decimals`` places, text is no markup.

    Headings and cells are always whole: in a file or a pipe the table is as wide as it needs to be, in a terminal that is
    too narrow for it they run over several lines.
    """
    rows = [list(row) for row in rows]
    out = Table()
    for index, name in enumerate(columns):
        numeric = bool(rows) and all(isinstance(row[index], int | float) for row in rows)
        out.add_column(escape(name), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        out.add_row(*(f"{cell:.{decimals}f}" if isinstance(cell, float) else escape(str(cell)) for cell in row))
    screen = Console(highlight=False, emoji=False, soft_wrap=True)
    natural = Console(width=_ANY_WIDTH).measure(out).maximum
    # FORCE_COLOR and its like call a file a terminal too, so the file is asked; below a width, columns would vanish.
    width = max(screen.width, _LEAST_COLUMN * len(columns)) if screen.file.isatty() else natural
    screen.width = min(width, natural)
    screen.print(escape(title), style="italic")
    screen.print(out)


def lines(texts: Iterable[str]) -> None:
    """Print lines on standard output as they are."""
    sys.stdout.writelines(f"{text}\n" for text in texts)


def print_json(value: Any) -> None:
    """Print ``value`` as JSON on standard output, never wrapped or coloured."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2) + "\n")
