"""Several orchestrators in one directory, with real processes: no stage runs twice, no cell takes another with it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hyperofa.errors import HyperofaError
from hyperofa.experiment.workflow.display import Display
from hyperofa.experiment.workflow.runner import CellsFailedError, Runner
from hyperofa.experiment.workflow.stage import Stage, dependencies
from hyperofa_eval.base.files import read_json

# Writes who ran it, after a while; cell "c2" fails.
WORK = """
import os, pathlib, sys, time
target = pathlib.Path(sys.argv[1])
time.sleep(float(sys.argv[2]))
if "c2" in target.name:
    print("prog: error: c2.bin: bad line 7", file=sys.stderr)
    sys.exit(1)
target.mkdir()
(target / "done.txt").write_text(os.environ["WHO"])
"""

ORCHESTRATE = """
import sys
sys.path.insert(0, sys.argv[3])
from pathlib import Path
from hyperofa_eval.base.guard import run_guarded
from hyperofa.experiment.workflow.display import Display
from hyperofa.experiment.workflow.runner import Runner
from test_sharing import matrix
runner = Runner(Path(sys.argv[1]), Display())
def work():
    stages = matrix(Path(sys.argv[1]), int(sys.argv[2]))
    runner.run(stages, len(stages))
    runner.check()
sys.exit(run_guarded("test", work))
"""


def matrix(out: Path, cells: int, seconds: float = 0.3) -> list[Stage]:
    """A shared stage, a stage for each cell that needs it, and one after each of those."""
    code = (sys.executable, "-c", WORK)
    shared = Stage("shared", "Shared", (*code, str(out / "shared"), "0.2"), out / "shared", "done.txt")
    first, second = [], []
    for number in range(cells):
        name = f"c{number}"
        made, after = out / f"init-{name}", out / f"eval-{name}"
        init = (*code, str(made), str(seconds))
        first.append(Stage(f"init-{name}", "Init", init, made, "done.txt", (shared.output,), cell=name))
        score = (*code, str(after), "0.1")
        second.append(Stage(f"eval-{name}", "Eval", score, after, "done.txt", (made,), cell=name))
    return [shared, *first, *second]


def start(out: Path, who: str, cells: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", ORCHESTRATE, str(out), str(cells), str(Path(__file__).parent)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "WHO": who})


def runs_of(out: Path, name: str) -> int:
    return (out / "logs" / f"{name}.log").read_text().count("\n$ ")


def test_two_orchestrators_share_the_cells(tmp_path: Path) -> None:
    pair = [start(tmp_path, who, cells=2) for who in ("one", "two")]
    errors = [process.communicate(timeout=120)[1] for process in pair]
    assert [process.returncode for process in pair] == [0, 0], errors
    stages = matrix(tmp_path, 2)
    assert [runs_of(tmp_path, stage.name) for stage in stages] == [1] * len(stages)
    workers = {(stage.output / "done.txt").read_text() for stage in stages}
    assert workers == {"one", "two"}


def test_a_failed_cell_loses_nothing_but_what_needs_it(tmp_path: Path) -> None:
    process = start(tmp_path, "one", cells=4)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    line = " ".join(errors.strip().splitlines()[-1].split())
    assert "experiment: 1 failed (1 stages that need them were not run): init-c2: c2.bin: bad line 7" in line
    assert [(tmp_path / f"eval-c{n}" / "done.txt").is_file() for n in range(4)] == [True, True, False, True]
    assert read_json(tmp_path / "stages" / "init-c2.json")["code"] == 1


def test_the_error_of_failed_cells_says_where_the_report_is(tmp_path: Path) -> None:
    runner = Runner(tmp_path, Display())
    runner.check(tmp_path / "report.html")
    runner.failures["init-c2"] = HyperofaError("bad line 7", where="init-c2")
    with pytest.raises(HyperofaError, match=r"init-c2: bad line 7.*the report of the others is .*report\.html"):
        runner.check(tmp_path / "report.html")
    with pytest.raises(HyperofaError, match=r"tries them again$"):
        runner.check()


def test_a_shared_stage_that_fails_ends_it(tmp_path: Path) -> None:
    stages = matrix(tmp_path, 1)
    bad = Stage("shared", "Shared", (sys.executable, "-c", "raise SystemExit(3)"), tmp_path / "shared", "done.txt")
    with pytest.raises(Exception, match="shared: no output") as caught:
        Runner(tmp_path, Display()).run([bad, *stages[1:]], 3)
    assert caught.value.exit_code == 3  # type: ignore[attr-defined]
    assert not (tmp_path / "init-c0").exists()


def test_what_another_runner_failed_is_not_tried_at_once_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHO", "first")
    stages = matrix(tmp_path, 3)
    runner = Runner(tmp_path, Display())
    time.sleep(0.01)
    first = Runner(tmp_path, Display())
    first.run(stages, len(stages))
    assert set(first.failures) == {"init-c2"}
    runner.run(stages, len(stages))
    with pytest.raises(CellsFailedError, match=r"init-c2: c2\.bin: bad line 7"):
        runner.check()
    assert runs_of(tmp_path, "init-c2") == 1
    later = Runner(tmp_path, Display())
    later.run(stages, len(stages))
    assert runs_of(tmp_path, "init-c2") == 2
    assert later.lost == {"eval-c2"}


def test_dependencies_follow_the_paths(tmp_path: Path) -> None:
    needs = dependencies(matrix(tmp_path, 2))
    assert needs["shared"] == set()
    assert needs["init-c1"] == {"shared"}
    assert needs["eval-c1"] == {"init-c1"}


def test_trusted_stages_are_taken_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHO", "first")
    stages = matrix(tmp_path, 1)
    Runner(tmp_path, Display()).run(stages, len(stages))
    (tmp_path / "shared" / "done.txt").write_text("changed by hand")
    Runner(tmp_path, Display(), frozenset({"shared", "init-c0"})).run(stages, len(stages))
    assert [runs_of(tmp_path, stage.name) for stage in stages] == [1, 1, 1]
    assert json.loads((tmp_path / "stages" / "shared.json").read_text())["status"] == "done"
