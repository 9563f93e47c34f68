"""Runs the stages of an experiment: claims each, skips what still holds, resumes what was begun, goes on past a failed cell."""

from __future__ import annotations

import json
import logging
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType

from hyperofa.base.processes import Finished, last_error, run_command
from hyperofa.errors import (
    EXIT_DATA_MISSING,
    EXIT_FAILED,
    EXIT_OK,
    EXIT_TERMINATED,
    EXIT_USAGE,
    DataMissingError,
    HyperofaError,
)
from hyperofa.experiment.workflow.claims import Claims
from hyperofa.experiment.workflow.display import Display
from hyperofa.experiment.workflow.stage import Ledger, Stage, dependencies

log = logging.getLogger(__name__)

WAIT_SECONDS = 0.5
"""How often a runner with nothing to do looks whether another one has finished."""


class StageError(HyperofaError):
    """A stage ended with an error; bad input and missing data keep their exit codes."""

    def __init__(self, stage: Stage, code: int, log_file: Path) -> None:
        """Say which stage, the error its own log names, and where that log is."""
        what = f"killed by {signal.Signals(-code).name}" if code < 0 else last_error(log_file)
        super().__init__(what, where=stage.name, todo=f"the whole log is {log_file}")
        self.exit_code = code if code in {EXIT_USAGE, EXIT_DATA_MISSING} else EXIT_FAILED


class StoppedError(HyperofaError):
    """The experiment, or the stage that ran, was asked to stop; it was stopped cleanly."""

    def __init__(self, stage: Stage, number: signal.Signals) -> None:
        """Say where it stopped."""
        super().__init__(f"stopped by {number.name} in {stage.name}", todo="the same command goes on from there")
        self.exit_code = 130 if number is signal.SIGINT else EXIT_TERMINATED


class CellsFailedError(HyperofaError):
    """Some cells failed; the others are finished."""

    def __init__(self, failures: Mapping[str, HyperofaError], lost: int, report: Path | None = None) -> None:
        """Name the failed stages, say how many were not run for want of them, and where the report of the others is."""
        named = "; ".join(str(error) for error in failures.values())
        after = f" ({lost} stages that need them were not run)" if lost else ""
        todo = "the same command tries them again" + (f"; the report of the others is {report}" if report else "")
        super().__init__(f"{len(failures)} failed{after}: {named}", where="experiment", todo=todo)


@dataclass
class Runner:
    """Runs stages below one output directory; several runners may share the work there.

    Each stage is claimed by a lock before it is looked at. A stage that another runner holds is left to it: the others
    go on with what does not need it, and wait when there is nothing else.
    """

    out: Path
    display: Display
    trusted: frozenset[str] = frozenset()
    """Stages that are taken as they are, whatever their inputs are now."""
    failures: dict[str, HyperofaError] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)
    """Stages that were not run because one that they need failed."""
    _signal: signal.Signals | None = None
    _lock: int = -1
    _number: int = 0

    def __post_init__(self) -> None:
        self.ledger = Ledger(self.out / "stages")
        self.claims = Claims(self.out / "locks")
        self._began = time.time()

    def run(self, stages: Sequence[Stage], total: int) -> list[Stage]:
        """Run every stage that does not hold any more; returns all of them.

        A stage of a cell that fails is remembered in ``failures`` (:meth:`check` raises them), and only what needs it is
        not run.

        Args:
            stages: In an order in which no stage needs a later one.
            total: How many the experiment has, for the display.

        Raises:
            StageError: a stage failed that is no cell's. Earlier results stay; the same command goes on.
            StoppedError: SIGTERM, SIGINT or SIGUSR1 arrived; the running stage was asked to save and end first. Or it was
                asked by another, such as SLURM, which tells a job's steps alone.
        """
        needs, waiting = dependencies(stages), list(stages)
        with self._listening():
            while waiting:
                if self._signal:
                    raise StoppedError(waiting[0], self._signal)
                stage = self._settle_one(waiting, needs, total)
                if stage is None:
                    self._wait(waiting)
                else:
                    waiting.remove(stage)
        return list(stages)

    def check(self, report: Path | None = None) -> None:
        """Raise :class:`CellsFailedError` if a stage of a cell failed; it names the ``report`` of the others, if there is one."""
        if self.failures:
            raise CellsFailedError(self.failures, len(self.lost), report)

    def _settle_one(self, waiting: Sequence[Stage], needs: Mapping[str, set[str]], total: int) -> Stage | None:
        """Settle the first stage that can be: run, reused, failed or lost; None if all are held or need one that is."""
        ahead = {stage.name for stage in waiting}
        for stage in waiting:
            if needs[stage.name] & (self.failures.keys() | self.lost):
                self.lost.add(stage.name)
                return stage
            if needs[stage.name] & ahead:
                continue
            with self.claims.take(stage.name) as claim:
                if claim is None:
                    continue
                self._lock = claim
                self._number += 1
                self.display.stage(self._number, total, stage)
                try:
                    self._settle(stage)
                except StageError as error:
                    if stage.cell is None:
                        raise
                    self.failures[stage.name] = error
                    self.display.failed(str(error))
                return stage
        return None

    def _settle(self, stage: Stage) -> None:
        if stage.name in self.trusted:
            if not (stage.output / stage.marker).is_file():
                raise DataMissingError(f"no {stage.marker}", where=stage.output, todo="run this stage, without --from")
            self.display.ended("taken as it is")
            return
        key = self.ledger.key(stage)
        if self.ledger.state(stage, key) == "new" or not stage.output.exists():
            self.ledger.restore(stage, key)  # settings that were changed and changed back
        state, record = self.ledger.state(stage, key), self.ledger.record(stage)
        if state == "done":
            self.display.ended(f"unchanged, reused (it took {float(record.get('wall_s', 0.0)):.1f} s)")
            return
        if state == "begun" and float(record.get("failed_at") or 0) > self._began:
            raise StageError(stage, int(record.get("code", EXIT_FAILED)), self._log_file(stage))
        if state == "new":
            self.ledger.retire(stage)
        self._carry_out(stage, key)

    def _wait(self, waiting: Sequence[Stage]) -> None:
        """Let other runners get on with what they hold."""
        held = next((stage.name for stage in waiting if self.claims.taken(stage.name)), None)
        if held is not None:
            self.display.waiting(held, self.claims.holder(held))
        time.sleep(WAIT_SECONDS)

    def _log_file(self, stage: Stage) -> Path:
        return self.out / "logs" / f"{stage.name}.log"

    def _carry_out(self, stage: Stage, key: str) -> None:
        """Run one stage to its end, stopped on the way if that is asked and has not happened yet."""
        self.ledger.begin(stage, key)
        log_file = self._log_file(stage)
        stop_at = None if self.ledger.record(stage).get("resumed_at_step") else stage.stop_at
        ended = self._once(stage, log_file, stop_at)
        if stop_at is not None and ended.code == EXIT_TERMINATED:
            self.ledger.note(stage, resumed_at_step=logged_step(stage))
            self.display.interrupted(logged_step(stage))
            ended = self._once(stage, log_file)
        if ended.code == EXIT_OK and not (stage.output / stage.marker).is_file():
            _append(log_file, f"experiment: error: it ended without writing {stage.marker}")
            ended = replace(ended, code=EXIT_FAILED)
        if ended.code == EXIT_TERMINATED:
            raise StoppedError(stage, signal.SIGTERM)
        if ended.code != EXIT_OK:
            self.ledger.note(stage, failed_at=time.time(), code=ended.code)
            raise StageError(stage, ended.code, log_file)
        self.ledger.finish(stage)
        self.display.ended(f"done in {float(self.ledger.record(stage)['wall_s']):.1f} s")

    def _once(self, stage: Stage, log_file: Path, stop_at: int | None = None) -> Finished:
        """Run the stage's command once, add its time and memory to the record, and pass signals on."""
        sent, before = False, logged_step(stage)  # of an earlier start; training may go on from before it

        def tick(seconds: float) -> signal.Signals | None:
            nonlocal sent
            step = logged_step(stage) if stage.metrics else None
            self.display.tick(step)
            due = stop_at is not None and step is not None and step >= stop_at and step > before
            if (due or self._signal) and not sent:
                sent = True
                return signal.SIGTERM
            return None

        _append(log_file, f"# {time.strftime('%Y-%m-%d %H:%M:%S')}\n$ {stage.typed}")
        ended = run_command(stage.command, log_file, stage.env, tick, keep_open=(self._lock,))
        record = self.ledger.record(stage)
        self.ledger.note(
            stage,
            wall_s=round(float(record.get("wall_s", 0.0)) + ended.seconds, 2),
            cpu_s=round(float(record.get("cpu_s", 0.0)) + ended.cpu_seconds, 2),
            peak_rss_gb=round(max(float(record.get("peak_rss_gb", 0.0)), ended.peak_rss / 1e9), 3),
        )
        if self._signal:
            raise StoppedError(stage, self._signal)
        return ended

    @contextmanager
    def _listening(self) -> Iterator[None]:
        """Remember the first stop signal instead of dying of it."""

        def remember(number: int, frame: FrameType | None) -> None:
            self._signal = self._signal or signal.Signals(number)

        numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
        before = {number: signal.signal(number, remember) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _append(log_file: Path, text: str) -> None:
    log_file.parent.mkdir(parents=True, exist_ok=True)
    with log_file.open("a", encoding="utf-8") as handle:
        handle.write(f"{text}\n")


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
