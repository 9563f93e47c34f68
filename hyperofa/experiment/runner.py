"""Runs the stages of an experiment in order: shows the commands, skips what still holds, resumes what was begun."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import shutil
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from hyperofa.errors import (
    EXIT_DATA_MISSING,
    EXIT_FAILED,
    EXIT_OK,
    EXIT_TERMINATED,
    EXIT_USAGE,
    HyperofaError,
    InputError,
)
from hyperofa.experiment.display import Display
from hyperofa.experiment.processes import Finished, last_error, run_command
from hyperofa.experiment.stages import Ledger, Stage

log = logging.getLogger(__name__)


class StageError(HyperofaError):
    """A stage ended with an error; bad input and missing data keep their exit codes."""

    def __init__(self, stage: Stage, code: int, log_file: Path) -> None:
        """Say which stage, the error its own log names, and where that log is."""
        what = f"killed by {signal.Signals(-code).name}" if code < 0 else last_error(log_file)
        super().__init__(what, where=stage.name, todo=f"the whole log is {log_file}")
        self.exit_code = code if code in {EXIT_USAGE, EXIT_DATA_MISSING} else EXIT_FAILED


class StoppedError(HyperofaError):
    """The experiment itself was asked to stop; the stage that ran was stopped cleanly."""

    def __init__(self, stage: Stage, number: signal.Signals) -> None:
        """Say where it stopped."""
        super().__init__(f"stopped by {number.name} in {stage.name}", todo="the same command goes on from there")
        self.exit_code = 130 if number is signal.SIGINT else EXIT_TERMINATED


@dataclass
class Runner:
    """Runs stages below one output directory; only one runner may work there at a time."""

    out: Path
    display: Display
    _asked: signal.Signals | None = None
    _lock: int = -1

    def __post_init__(self) -> None:
        self.ledger = Ledger(self.out / "stages")

    def run(self, stages: Iterable[Stage], total: int) -> list[Stage]:
        """Run every one of ``total`` stages that does not hold any more; returns all of them.

        ``stages`` may be a generator that needs one stage's output to make the next.

        Raises:
            StageError: a stage failed. Earlier results stay; the same command goes on.
            StoppedError: SIGTERM, SIGINT or SIGUSR1 arrived; the running stage was asked to save and end first.
            InputError: another process works in this directory.
        """
        seen = []
        with self._locked(), self._listening():
            for number, stage in enumerate(stages, 1):
                seen.append(stage)
                self.display.stage(number, total, stage)
                key = self.ledger.key(stage)
                state = self.ledger.state(stage, key)
                if state == "done":
                    self.display.reused(float(self.ledger.record(stage).get("wall_s", 0.0)))
                    continue
                if state == "new":
                    _remove(stage.output)
                self._carry_out(stage, key)
        return seen

    def _carry_out(self, stage: Stage, key: str) -> None:
        """Run one stage to its end, with its interruption if it has one that has not happened yet."""
        self.ledger.begin(stage, key)
        log_file = self.out / "logs" / f"{stage.name}.log"
        if stage.interruption and not self.ledger.record(stage).get("resumed_at_step"):
            ended = self._once(stage, log_file, stop_at=stage.interruption.step)
            if ended.code == EXIT_TERMINATED:
                self.ledger.note(stage, resumed_at_step=logged_step(stage))
                self.display.interrupted(logged_step(stage))
                ended = self._once(stage, log_file)
        else:
            ended = self._once(stage, log_file)
        if ended.code != EXIT_OK:
            raise StageError(stage, ended.code, log_file)
        if not (stage.output / stage.marker).is_file():
            raise HyperofaError(f"it ended without writing {stage.marker}", where=stage.name, todo=f"see {log_file}")
        self.ledger.finish(stage)
        self.display.finished(float(self.ledger.record(stage)["wall_s"]))

    def _once(self, stage: Stage, log_file: Path, stop_at: int | None = None) -> Finished:
        """Run the stage's command once, add its time and memory to the record, and pass signals on."""
        sent = False

        def tick(seconds: float) -> signal.Signals | None:
            nonlocal sent
            step = logged_step(stage) if stage.metrics else None
            self.display.tick(seconds, step)
            due = stop_at is not None and step is not None and step >= stop_at
            if (due or self._asked) and not sent:
                sent = True
                return signal.SIGTERM
            return None

        head_log(log_file, stage)
        ended = run_command(stage.command, log_file, stage.env, tick, keep_open=(self._lock,))
        record = self.ledger.record(stage)
        self.ledger.note(
            stage,
            wall_s=round(float(record.get("wall_s", 0.0)) + ended.seconds, 2),
            cpu_s=round(float(record.get("cpu_s", 0.0)) + ended.cpu_seconds, 2),
            peak_rss_gb=round(max(float(record.get("peak_rss_gb", 0.0)), ended.peak_rss / 1e9), 3),
        )
        if self._asked:
            raise StoppedError(stage, self._asked)
        return ended

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the directory's lock; the running stage holds it too, so no second run ever joins an orphan."""
        self.out.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(self.out / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise InputError(
                    "another run works here", where=self.out, todo="wait for it, or name another"
                ) from None
            yield
        finally:
            os.close(self._lock)

    @contextmanager
    def _listening(self) -> Iterator[None]:
        """Remember the first stop signal instead of dying of it."""

        def remember(number: int, frame: FrameType | None) -> None:
            self._asked = self._asked or signal.Signals(number)

        numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
        before = {number: signal.signal(number, remember) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def head_log(log_file: Path, stage: Stage) -> None:
    """Head a run of a stage in its log with the time and the command."""
    log_file.parent.mkdir(parents=True, exist_ok=True)
    with log_file.open("a", encoding="utf-8") as handle:
        handle.write(f"# {time.strftime('%Y-%m-%d %H:%M:%S')}\n$ {stage.typed}\n")


def logged_step(stage: Stage) -> int:
    """The last whole step in a stage's metrics file; 0 if there is none yet."""
    if stage.metrics is None or not stage.metrics.is_file():
        return 0
    with stage.metrics.open("rb") as handle:
        handle.seek(max(0, stage.metrics.stat().st_size - 65536))
        lines = handle.read().split(b"\n")[:-1]
    for line in reversed(lines):
        try:
            return int(json.loads(line)["step"])
        except (ValueError, KeyError, TypeError):
            continue
    return 0


def _remove(path: Path) -> None:
    """Remove what an earlier run of a stage with other inputs or settings left."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
