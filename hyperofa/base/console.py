"""What a person sees: one console, progress bars that fall silent without a terminal, tables, JSON on request."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from hyperofa_eval.base.quiet import quiet_libraries, quiet_transformers

__all__ = [
    "console",
    "output",
    "print_json",
    "progress_bar",
    "quiet_libraries",
    "quiet_transformers",
    "setup_logging",
    "table",
    "track",
]

T = TypeVar("T")

console = Console(stderr=True, highlight=False, emoji=False)
"""Messages, progress and errors: standard error, so that standard output stays machine-readable."""

output = Console(highlight=False, soft_wrap=True, emoji=False)
"""Results: tables and JSON on standard output."""


class _ConsoleHandler(logging.Handler):
    """Log lines on the console, above a progress bar if there is one; never wrapped, so that a log can be searched."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            console.print(self.format(record), markup=False, emoji=False, soft_wrap=True)
        except Exception:  # noqa: BLE001  (as logging's own handlers: a log line never ends a run)
            self.handleError(record)


def setup_logging(level: int = logging.INFO) -> None:
    """For a command's own process: send the package's log to the console; the harness's from WARNING up, others' errors."""
    quiet_libraries()
    for name, least in (("hyperofa", level), ("hyperofa_eval", max(level, logging.WARNING))):
        logger = logging.getLogger(name)
        logger.handlers[:] = [_ConsoleHandler()]
        logger.setLevel(least)
        logger.propagate = False


@contextmanager
def progress_bar(label: str, total: int | None) -> Iterator[Any]:
    """Yield ``advance(n=1)`` for a bar of ``total`` steps; draws nothing when standard error is no terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task(label, total=total)

        def advance(n: int = 1) -> None:
            bar.advance(task, n)

        yield advance


def track(items: Iterable[T], label: str, total: int | None = None) -> Iterator[T]:
    """Iterate over ``items`` under a progress bar."""
    if total is None and isinstance(items, Sequence):
        total = len(items)
    with progress_bar(label, total) as advance:
        for item in items:
            yield item
            advance()


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table on standard output, as the harness does, with two decimals: whole headings, wherever it goes."""
    from hyperofa_eval.base.console import table as print_table

    print_table(title, columns, rows, decimals=2)


def print_json(value: Mapping[str, Any] | Sequence[Any]) -> None:
    """Print ``value`` as JSON on standard output, never wrapped or coloured."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2) + "\n")
