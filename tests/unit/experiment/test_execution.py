"""Running an experiment beside others, and from a stage on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support.finished import finish
from support.plans import plan_of

from hyperofa.cli import main
from hyperofa_eval.base.files import write_json

BEGIN = """
import sys, time
from pathlib import Path
from hyperofa.experiment.execution import working_in
out = Path(sys.argv[1])
class Plan:
    train_config, text = out / "train.yaml", sys.argv[2]
    def write_train_config(self):
        time.sleep(0.5)
        self.train_config.write_text("x")
Plan.out = out
with working_in(Plan()):
    print("in", flush=True)
    time.sleep(1)
"""


def test_two_that_begin_together_share_a_new_directory(tmp_path: Path) -> None:
    words = [sys.executable, "-c", BEGIN, str(tmp_path / "out"), "one recipe"]
    pair = [subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    printed = [process.communicate(timeout=120) for process in pair]
    assert [process.returncode for process in pair] == [0, 0], printed


def test_models_made_under_the_old_name_are_refused_with_the_new_one_before_anything_runs(
    recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = plan_of(recipe)
    finish(plan)
    made = plan.cell(next(plan.recipe.cells())) / "init" / "init.json"
    write_json(made, {"method": "hyperofa", "preset": "default"})
    words = ["experiment", str(recipe), "--out", str(plan.out), "--only", "report", "--json", "--from"]
    assert main([*words, "train"]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert f"{made}: made by what was called hyperofa and is ofa-ridge now; " in line
    write_json(made, {"method": "hyperofa", "preset": "paper"})
    assert main([*words, "train"]) == 0
