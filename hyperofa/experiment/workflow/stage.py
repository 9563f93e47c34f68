"""A stage: one ordinary command with its inputs and its output, and whether what it made before still holds."""

from __future__ import annotations

import hashlib
import json
import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from hyperofa.base.files import sha256_tree, versions
from hyperofa.errors import HyperofaError
from hyperofa_eval.base.files import read_json, write_json

State = Literal["new", "begun", "done"]


@dataclass(frozen=True)
class Stage:
    """One command of an experiment.

    ``output`` is the directory it makes (or resumes), ``marker`` the file in it that exists when it is finished, and
    ``inputs`` everything that another stage or the user made and that decides the result.
    """

    name: str
    title: str
    command: tuple[str, ...]
    output: Path
    marker: str
    inputs: tuple[Path, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    cell: str | None = None
    steps: int | None = None
    metrics: Path | None = None
    stop_at: int | None = None
    """Send SIGTERM once this step is in the metrics: the run saves, ends with 143, and resumes by the same command."""
    pattern: Path | None = None
    """Files of the command that a person would name by a pattern, such as ``data/text/*.txt``."""
    decides: tuple[str, ...] | None = None
    """What of the command decides the result, where some of it only says how the stage runs (None: all of it)."""
    keeps: tuple[str, ...] = ()
    """The parts of its output that others read, where the rest may go, such as old checkpoints (empty: all of it)."""
    reads: tuple[Path, ...] = ()
    """What it reads besides its inputs without being decided by it, such as a launcher's configuration."""

    @property
    def aside(self) -> Path:
        """Where its earlier output waits until a new one is finished: nothing is deleted before its successor is there."""
        return self.output.parent / f".{self.output.name}.old"

    @property
    def kind(self) -> str:
        """The first word of its name, such as ``init`` or ``eval``."""
        return self.name.partition("-")[0]

    @property
    def typed(self) -> str:
        """The command as a person would type it."""
        words = [f"{key}={value}" for key, value in self.env.items()]
        for word in self.command:
            if self.pattern is not None and Path(word).match(str(self.pattern)):
                words += [str(self.pattern)] if words[-1] != str(self.pattern) else []
            else:
                words.append(shlex.quote(word))
        return " ".join(words)


RECORD = "record.json"
"""Of an output that waits aside, beside it."""


@dataclass
class Ledger:
    """What is known of finished and begun stages: one JSON a stage below ``folder``, written by the runner."""

    folder: Path
    _hashes: dict[tuple[str, int, int], str] = field(default_factory=dict)

    def key(self, stage: Stage) -> str:
        """A digest of all that decides the stage's result: command, inputs' contents, versions.

        The environment says how a stage runs (threads), not what it makes, and differs from one machine to the next.
        """
        made_from = {
            "command": stage.command if stage.decides is None else stage.decides,
            "inputs": [self._tree(path) for path in stage.inputs],
            "interruption": stage.stop_at,
            "versions": versions(),
        }
        return hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()

    def state(self, stage: Stage, key: str) -> State:
        """``done`` if its output holds for ``key``, ``begun`` if it was started with ``key``, else ``new``."""
        record = self.record(stage)
        if record.get("key") != key:
            return "new"
        finished = record.get("status") == "done" and (stage.output / stage.marker).is_file()
        if finished and record.get("output") == self._made(stage):
            return "done"
        return "begun"

    def record(self, stage: Stage) -> dict[str, Any]:
        """What was recorded of a stage; empty if nothing was."""
        try:
            return dict(read_json(self.folder / f"{stage.name}.json"))
        except (HyperofaError, TypeError, ValueError):
            return {}

    def begin(self, stage: Stage, key: str) -> None:
        """Record that the stage starts now (its output may be incomplete from here on)."""
        facts = self.record(stage) if self.state(stage, key) == "begun" else {}
        facts = {fact: value for fact, value in facts.items() if fact not in {"failed_at", "code"}}
        self._write(stage, {**facts, "status": "begun", "key": key, "command": list(stage.command)})

    def note(self, stage: Stage, **facts: Any) -> None:
        """Add facts to a stage's record."""
        self._write(stage, {**self.record(stage), **facts})

    def finish(self, stage: Stage, **facts: Any) -> None:
        """Record that the stage is finished; what it replaces goes."""
        self.note(stage, status="done", output=self._made(stage), **facts)
        _discard(stage.aside)

    def retire(self, stage: Stage) -> None:
        """Move the output that other inputs or settings made aside, with its record.

        What is half made goes at once if a whole one waits there already.
        """
        if not stage.output.exists():
            return
        record, saved = self.record(stage), stage.aside / "output"
        if saved.exists() and (stage.aside / RECORD).is_file() and record.get("status") != "done":
            self._write(stage, {})
            _remove(stage.output)
            return
        _discard(stage.aside)
        write_json(stage.aside / RECORD, record)
        stage.output.rename(saved)

    def restore(self, stage: Stage, key: str) -> None:
        """Bring back what waits aside if it was made (or begun) with ``key``.

        No record names an output that is being deleted or moved, so that a kill on the way leaves none that is wrong: killed
        before its end, the next call goes on from there.
        """
        saved, waiting = stage.aside / "output", stage.aside / RECORD
        if not waiting.is_file() or dict(read_json(waiting)).get("key") != key:
            return
        if saved.exists():
            self._write(stage, {})
            _remove(stage.output)
            saved.rename(stage.output)
        elif self.record(stage):
            return
        self._write(stage, read_json(waiting))
        _discard(stage.aside)

    def _write(self, stage: Stage, record: Mapping[str, Any]) -> None:
        write_json(self.folder / f"{stage.name}.json", dict(record))

    def _made(self, stage: Stage) -> str | list[str | None] | None:
        """Digest of what a stage made, or of each part that it keeps."""
        return [self._tree(stage.output / name) for name in stage.keeps] or self._tree(stage.output)

    def _tree(self, path: Path) -> str | None:
        """Digest of a file or folder, remembered while size and time of its files stay the same."""
        if not path.exists():
            return None
        if path.is_dir():
            files = sorted(p for p in path.rglob("*") if p.is_file() and not p.name.startswith("."))
            lines = [f"{file.relative_to(path).as_posix()}\0{self._tree(file)}\n" for file in files]
            return hashlib.sha256("".join(lines).encode()).hexdigest()
        about = path.stat()
        seen = (str(path), about.st_size, about.st_mtime_ns)
        if seen not in self._hashes:
            self._hashes[seen] = sha256_tree(path)
        return self._hashes[seen]


def _discard(aside: Path) -> None:
    """Remove what waits aside, its record first: half of it must not be brought back."""
    (aside / RECORD).unlink(missing_ok=True)
    _remove(aside)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def dependencies(stages: Sequence[Stage]) -> dict[str, set[str]]:
    """The stages that each stage needs: those whose output it reads, or a part of it."""
    makers = {stage.output: stage.name for stage in stages}
    needs = {}
    for stage in stages:
        places = {place for path in (*stage.inputs, *stage.reads) for place in (path, *path.parents)}
        needs[stage.name] = {makers[place] for place in places & makers.keys()} - {stage.name}
    return needs
