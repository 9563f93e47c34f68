"""What a stage made: when it still holds, and that nothing goes before its successor is there."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from support.finished import finish
from support.plans import plan_of

from hyperofa.experiment.results.collect import gather
from hyperofa.experiment.workflow.display import Display
from hyperofa.experiment.workflow.runner import Runner, StageError
from hyperofa.experiment.workflow.stage import Stage


def test_old_checkpoints_may_be_deleted(recipe: Path) -> None:
    plan = plan_of(recipe)
    finish(plan)
    run = plan.out / "cells" / "tiny-r8-ofa-s0" / "run"
    (run / "step_00000005").mkdir()
    assert gather(plan)["unfinished"] == []
    (run / "final" / "config.json").write_text('{"changed": 1}')
    assert "train-tiny-r8-ofa-s0" in gather(plan)["unfinished"]


WORK = """
import pathlib, sys
target = pathlib.Path(sys.argv[1])
target.mkdir(exist_ok=True)
(target / "half").write_text(sys.argv[2])
if sys.argv[2] == "bad":
    sys.exit("prog: error: no")
(target / "done.txt").write_text(sys.argv[2])
"""


def stage(out: Path, word: str) -> Stage:
    return Stage("train", "Train", (sys.executable, "-c", WORK, str(out / "run"), word), out / "run", "done.txt")


def settle(out: Path, word: str) -> str:
    Runner(out, Display()).run([stage(out, word)], 1)
    return (out / "run" / "done.txt").read_text()


def test_nothing_is_deleted_before_its_successor_is_there(tmp_path: Path) -> None:
    assert settle(tmp_path, "first") == "first"
    for _ in range(2):
        with pytest.raises(StageError):
            settle(tmp_path, "bad")
        kept = stage(tmp_path, "first").aside
        assert (kept / "output" / "done.txt").read_text() == "first"
        assert json.loads((kept / "record.json").read_text())["status"] == "done"
    assert settle(tmp_path, "first") == "first"  # changed back: it is there again, and nothing runs
    assert (tmp_path / "logs" / "train.log").read_text().count("\n$ ") == 1 + 2
    assert settle(tmp_path, "second") == "second"
    assert not stage(tmp_path, "first").aside.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["locks", "logs", "run", "stages"]


class Killed(BaseException):
    """What stands for SIGKILL: from some file operation on, no further one happens."""


@contextmanager
def killed_before(number: int) -> Iterator[list[str]]:
    """Let the process change no file any more from its ``number``-th change on; gives the changes that happened."""
    done: list[str] = []
    with pytest.MonkeyPatch.context() as patched:
        for name in ("rename", "replace", "unlink", "rmdir"):
            real = getattr(os, name)

            def change(*words: object, name: str = name, real: object = real, **more: object) -> object:
                if len(done) >= number:
                    raise Killed
                done.append(name)
                return real(*words, **more)  # type: ignore[operator]

            patched.setattr(os, name, change)
        yield done


def carried_out(runner: Runner, stage: Stage, key: str) -> None:
    """In place of a command: it goes on from what is there, and leaves a whole output as it is."""
    runner.ledger.begin(stage, key)
    stage.output.mkdir(exist_ok=True)
    if not (stage.output / "done.txt").is_file():
        for name in ("a", "done.txt", "z"):
            (stage.output / name).write_text(stage.command[-1])
    runner.ledger.finish(stage)


@pytest.mark.parametrize("then", ["first", "second"])
@pytest.mark.parametrize(
    ("before", "switched"),
    [(["first"], "second"), (["first", "half of second"], "first"), (["first", "second"], "first")],
)
def test_a_kill_between_two_settings_makes_no_wrong_output_count(
    before: list[str], switched: str, then: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Runner, "_carry_out", carried_out)

    def run(out: Path, word: str) -> None:
        Runner(out, Display()).run([stage(out, word)], 1)

    for number in range(100):
        out = tmp_path / str(number)
        for word in before:
            if word.startswith("half"):
                runner, begun = Runner(out, Display()), stage(out, "second")
                runner.ledger.retire(begun)
                runner.ledger.begin(begun, runner.ledger.key(begun))
                begun.output.mkdir()
                (begun.output / "a").write_text("second")
            else:
                run(out, word)
        with killed_before(number) as changes, suppress(Killed):
            run(out, switched)
        if len(changes) < number:
            return
        run(out, then)
        assert {path.name: path.read_text() for path in (out / "run").iterdir()} == dict.fromkeys(
            ("a", "done.txt", "z"), then
        )
    pytest.fail("it never came to its end")
