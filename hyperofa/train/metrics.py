"""``metrics.jsonl``: one line a step, written by rank 0 only, cut back to the resumed step on resume."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hyperofa.errors import HyperofaError, InputError
from hyperofa_eval.base.files import write_text

METRICS_FILE = "metrics.jsonl"


class MetricsWriter:
    """Appends one JSON object a line; floats keep every digit (Python's shortest repr that reads back the same)."""

    def __init__(self, path: Path, *, resume_step: int = 0) -> None:
        """Open ``path`` for the steps after ``resume_step``; lines of later steps (lost work) are removed."""
        self._path = path
        self._rows = [row for row in read_metrics(path) if row["step"] <= resume_step] if path.exists() else []
        self._rewrite()

    @property
    def resumed_row(self) -> dict[str, Any]:
        """The last row that was there at the start; empty if there was none."""
        return self._rows[-1] if self._rows else {}

    def amend_resumed_row(self, values: Mapping[str, Any]) -> None:
        """Add to the last row that was there at the start, before any other is written."""
        self._rows[-1] |= _finite(values)
        self._handle.close()
        self._rewrite()

    def _rewrite(self) -> None:
        text = "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in self._rows)
        try:
            write_text(self._path, text)
        except OSError as error:
            raise self._no_room("the rows up to the resumed step", len(text.encode()), error) from error
        self._handle = self._path.open("a", encoding="utf-8")

    def write(self, row: Mapping[str, Any]) -> None:
        """Append one row, which must have a ``step``, and hand it to the operating system at once.

        Numbers that are not finite (a skipped step's loss) are left out: JSON has no word for them.
        """
        line = json.dumps(_finite(row), ensure_ascii=False, allow_nan=False) + "\n"
        try:
            self._handle.write(line)
            self._handle.flush()
        except OSError as error:
            raise self._no_room(f"the row of step {row['step']}", len(line.encode()), error) from error

    def sync(self) -> None:
        """Have everything on the disk (called before a checkpoint is committed, which must not outlive its metrics)."""
        try:
            os.fsync(self._handle.fileno())
        except OSError as error:  # some file systems find out only now that there is no room
            raise self._no_room("the last rows", self._path.stat().st_size, error) from error

    def _no_room(self, what: str, size: int, error: OSError) -> HyperofaError:
        reason = f"cannot write {what}, which needs {size / 1e3:,.1f} kB ({error.strerror or error})"
        todo = "make room; the same command goes on from the last checkpoint"
        return HyperofaError(reason, where=self._path, todo=todo)

    def close(self) -> None:
        """Flush to the disk and close."""
        self.sync()
        self._handle.close()


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """All rows of a metrics file; a torn last line, left by a killed process, is dropped.

    Raises:
        InputError: any other line is not a JSON object with a ``step``.
    """
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            row["step"] = int(row["step"])
        except (ValueError, TypeError, KeyError) as error:
            if number == len(lines) and not line.endswith("\n"):
                break
            raise InputError(f"line {number} is not a metrics row ({error})", where=path, todo="move it away") from None
        rows.append(row)
    return rows


def _finite(row: Mapping[str, Any]) -> dict[str, Any]:
    values = {name: _finite(value) if isinstance(value, Mapping) else value for name, value in row.items()}
    return {name: value for name, value in values.items() if not isinstance(value, float) or math.isfinite(value)}


def flatten(row: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """The numbers of a row for trackers, those of nested mappings under ``outer/inner``."""
    flat: dict[str, float] = {}
    for name, value in row.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{name}/")
        elif isinstance(value, int | float) and name != "step":
            flat[f"{prefix}{name}"] = float(value)
    return flat
