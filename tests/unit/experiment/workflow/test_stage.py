"""What a stage made: when it still holds, and that nothing goes before its successor is there."""

from __future__ import annotations

import json
import sys
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
