"""The runner with real processes: reuse, invalidation, interruption and resume, failures, signals, the lock."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from hyperofa.experiment.workflow.display import Display
from hyperofa.experiment.workflow.runner import Runner, StageError, StoppedError
from hyperofa.experiment.workflow.stage import Stage
from hyperofa_eval.base.files import read_json

COPY = """
import pathlib, sys
source, target = map(pathlib.Path, sys.argv[1:3])
target.mkdir(exist_ok=True)
(target / "out.txt").write_text(source.read_text().upper())
"""

# A run that logs a step every 30 ms, ends with 143 on SIGTERM after saving its step, and goes on from there.
TRAIN = """
import json, pathlib, signal, sys, time
run, steps = pathlib.Path(sys.argv[1]), int(sys.argv[2])
run.mkdir(parents=True, exist_ok=True)
saved = run / "saved.txt"
first = int(saved.read_text()) if saved.exists() else 0
stop = []
signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
for step in range(first + 1, steps + 1):
    time.sleep(0.03)
    with (run / "metrics.jsonl").open("a") as log:
        log.write(json.dumps({"step": step, "resumed": first}) + "\\n")
    if stop:
        saved.write_text(str(step))
        sys.exit(143)
(run / "done.txt").write_text("done")
"""

ORCHESTRATE = """
import sys
from pathlib import Path
from hyperofa_eval.base.guard import run_guarded
from hyperofa.experiment.workflow.display import Display
from hyperofa.experiment.workflow.runner import Runner
from hyperofa.experiment.workflow.stage import Stage
out, steps = Path(sys.argv[1]), sys.argv[2]
stage = Stage("train", "Train", (sys.executable, "-c", sys.argv[3], str(out / "run"), steps), out / "run", "done.txt",
              metrics=out / "run" / "metrics.jsonl")
sys.exit(run_guarded("test", lambda: Runner(out, Display()).run([stage], 1) and None))
"""


def copy(name: str, source: Path, out: Path) -> Stage:
    command = (sys.executable, "-c", COPY, str(source), str(out / name))
    return Stage(name, name, command, out / name, "out.txt", (source,))


def train(out: Path, steps: int = 40, stop: int | None = None) -> Stage:
    return Stage(
        "train",
        "Train",
        (sys.executable, "-c", TRAIN, str(out / "run"), str(steps)),
        out / "run",
        "done.txt",
        steps=steps,
        metrics=out / "run" / "metrics.jsonl",
        stop_at=stop,
    )


def run(out: Path, *stages: Stage) -> None:
    runner = Runner(out, Display())
    runner.run(stages, len(stages))
    runner.check()


def runs_of(out: Path, name: str) -> int:
    return (out / "logs" / f"{name}.log").read_text().count("\n$ ")


def test_only_what_depends_on_a_change_runs_again(tmp_path: Path) -> None:
    out = tmp_path / "out"
    for name in ("a", "b"):
        (tmp_path / f"{name}.txt").write_text(name)
    stages = [
        copy("first", tmp_path / "a.txt", out),
        copy("second", out / "first" / "out.txt", out),
        copy("other", tmp_path / "b.txt", out),
    ]
    run(out, *stages)
    run(out, *stages)
    assert [runs_of(out, stage.name) for stage in stages] == [1, 1, 1]

    (tmp_path / "a.txt").write_text("changed")
    run(out, *stages)
    assert [runs_of(out, stage.name) for stage in stages] == [2, 2, 1]
    assert (out / "second" / "out.txt").read_text() == "CHANGED"

    (out / "other" / "out.txt").write_text("damaged by hand")
    run(out, *stages)
    assert [runs_of(out, stage.name) for stage in stages] == [2, 2, 2]
    record = read_json(out / "stages" / "other.json")
    assert record["status"] == "done"
    assert record["wall_s"] > 0


def test_interruption_saves_and_resumes_by_the_same_command(tmp_path: Path) -> None:
    run(tmp_path, train(tmp_path, steps=60, stop=10))
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    resumed = read_json(tmp_path / "stages" / "train.json")["resumed_at_step"]
    assert 10 <= resumed < 60
    assert [row["step"] for row in rows] == list(range(1, 61))
    assert {row["resumed"] for row in rows} == {0, resumed}
    assert runs_of(tmp_path, "train") == 2
    run(tmp_path, train(tmp_path, steps=60, stop=10))
    assert runs_of(tmp_path, "train") == 2


def test_other_settings_start_afresh_and_do_not_resume(tmp_path: Path) -> None:
    run(tmp_path, train(tmp_path, steps=5))
    run(tmp_path, train(tmp_path, steps=8))
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(1, 9))
    assert {row["resumed"] for row in rows} == {0}


def test_a_rehearsal_waits_for_a_step_of_its_own(tmp_path: Path) -> None:
    """A run that was lost after the step of its interruption is not stopped before it has begun again."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "metrics.jsonl").write_text('{"step": 20}\n')
    (tmp_path / "run" / "saved.txt").write_text("20")
    slow = TRAIN.replace("import json", "import time; time.sleep(1); import json")  # as one that loads a model first
    stage = replace(
        train(tmp_path, steps=40, stop=10), command=(sys.executable, "-c", slow, str(tmp_path / "run"), "40")
    )
    ledger = Runner(tmp_path, Display()).ledger
    ledger.begin(stage, ledger.key(stage))
    run(tmp_path, stage)
    assert 20 < read_json(tmp_path / "stages" / "train.json")["resumed_at_step"] < 40


def test_a_stage_that_was_told_to_stop_has_not_failed(tmp_path: Path) -> None:
    stopped = Stage("train-x", "T", (sys.executable, "-c", "raise SystemExit(143)"), tmp_path / "x", "x", cell="x")
    with pytest.raises(StoppedError, match="stopped by SIGTERM in train-x") as caught:
        run(tmp_path, stopped)
    assert caught.value.exit_code == 143
    assert "failed_at" not in read_json(tmp_path / "stages" / "train-x.json")


def test_nothing_begins_after_a_stop_was_asked_for(tmp_path: Path) -> None:
    runner = Runner(tmp_path, Display(), _signal=signal.SIGTERM)
    with pytest.raises(StoppedError, match="stopped by SIGTERM in train"):
        runner.run([train(tmp_path)], 1)
    assert not (tmp_path / "logs").exists()


def test_a_new_try_forgets_the_failure(tmp_path: Path) -> None:
    bad = Stage("bad", "Bad", (sys.executable, "-c", "raise SystemExit(1)"), tmp_path / "bad", "x")
    with pytest.raises(StageError):
        run(tmp_path, bad)
    ledger = Runner(tmp_path, Display()).ledger
    assert ledger.record(bad)["code"] == 1
    ledger.begin(bad, ledger.key(bad))
    assert not {"code", "failed_at"} & ledger.record(bad).keys()


@pytest.mark.parametrize(("code", "exit_code"), [(2, 2), (3, 3), (1, 1), (7, 1)])
def test_a_failed_stage_names_its_error_and_leaves_the_others(tmp_path: Path, code: int, exit_code: int) -> None:
    (tmp_path / "a.txt").write_text("a")
    words = f"import sys; print('loading'); print('prog: error: x.bin: bad line 7', file=sys.stderr); sys.exit({code})"
    bad = Stage("bad", "Bad", (sys.executable, "-c", words), tmp_path / "bad", "x")
    good = copy("good", tmp_path / "a.txt", tmp_path)
    with pytest.raises(StageError, match=r"bad: x\.bin: bad line 7; the whole log is .*bad\.log") as caught:
        run(tmp_path, good, bad)
    assert caught.value.exit_code == exit_code
    assert (good.output / "out.txt").is_file()
    with pytest.raises(StageError):
        run(tmp_path, good, bad)
    assert runs_of(tmp_path, "good") == 1


def test_a_killed_stage_is_named(tmp_path: Path) -> None:
    bad = Stage("bad", "Bad", (sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"), tmp_path / "bad", "x")
    with pytest.raises(StageError, match=r"bad: killed by SIGKILL"):
        run(tmp_path, bad)


def test_memory_of_the_whole_tree_is_measured(tmp_path: Path) -> None:
    child = "b = bytearray(150_000_000); import time; time.sleep(1.2)"
    words = f"import subprocess, sys, pathlib; subprocess.run([sys.executable, '-c', {child!r}]); "
    words += f"p = pathlib.Path({str(tmp_path / 'big')!r}); p.mkdir(); (p / 'x').touch()"
    run(tmp_path, Stage("big", "Big", (sys.executable, "-c", words), tmp_path / "big", "x"))
    assert 0.15 < read_json(tmp_path / "stages" / "big.json")["peak_rss_gb"] < 0.4


def orchestrate(out: Path, steps: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", ORCHESTRATE, str(out), str(steps), TRAIN]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def wait_for_steps(out: Path, steps: int) -> None:
    metrics, end = out / "run" / "metrics.jsonl", time.monotonic() + 60
    while not metrics.exists() or metrics.read_text().count("\n") < steps:
        assert time.monotonic() < end, "the stage did not start"
        time.sleep(0.05)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_stopped_orchestrator_stops_its_stage_and_goes_on_later(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    process = orchestrate(tmp_path, 100)
    wait_for_steps(tmp_path, 5)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code
    assert f"stopped by {number.name} in train; the same command goes on from there" in " ".join(errors.split())
    saved = int((tmp_path / "run" / "saved.txt").read_text())
    again = orchestrate(tmp_path, 100)
    again.communicate(timeout=60)
    assert again.returncode == 0
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(1, 101))
    assert {row["resumed"] for row in rows} == {0, saved}


def test_an_orphaned_stage_keeps_its_claim_and_is_waited_for(tmp_path: Path) -> None:
    process = orchestrate(tmp_path, 60)
    wait_for_steps(tmp_path, 3)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    again = orchestrate(tmp_path, 60)
    _, errors = again.communicate(timeout=60)
    assert again.returncode == 0, errors
    assert f"waiting for train (process {process.pid} on " in errors
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows[:60]] == list(range(1, 61))
