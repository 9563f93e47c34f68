"""``launch/slurm/stage.sh`` and ``train.sh`` as SLURM would run them: signals, the queue, exit codes, with shimmed commands."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from hyperofa.base.resources import resource
from hyperofa.cli import main

# Stands for `python -m hyperofa.cli experiment …`: writes its words, then waits; on SIGTERM it has "saved".
STAGE = """#!/usr/bin/env bash
trap 'echo saved >> "$RECORD"; exit 143' TERM
echo "$@" >> "$RECORD"
[ "${STOP:-}" ] && exit "$STOP"
for _ in $(seq 200); do sleep 0.05; done
"""
SCONTROL = """#!/usr/bin/env bash
if [ "$1" = show ]; then echo node1; else echo "scontrol $@" >> "$RECORD"; fi
"""
# Runs the job at once, as a queue with nothing before it.
SBATCH = """#!/usr/bin/env python3
import json, os, pathlib, subprocess, sys
words = sys.argv[1:]
script = next(i for i, word in enumerate(words) if word.endswith("stage.sh"))
log = pathlib.Path(os.environ["RECORD"])
number = 1 + len(log.read_text().splitlines()) if log.exists() else 1
done = subprocess.run(["bash", *words[script:]], capture_output=True, text=True, env={**os.environ, "SLURM_JOB_ID": str(number)})
with log.open("a") as handle:
    handle.write(json.dumps({"words": words, "code": done.returncode, "errors": done.stderr}) + "\\n")
print(number)
"""


@pytest.fixture
def shims(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of commands that stand before all others; what they record is in ``record``."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, text in {
        "stage": STAGE,
        "scontrol": SCONTROL,
        "sbatch": SBATCH,
        "srun": "#!/bin/sh\nexit 143\n",
        "squeue": "#!/bin/sh\nexit 0\n",
    }.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("RECORD", str(tmp_path / "record"))
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    return tmp_path


def start(shims: Path, *words: str, **variables: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "HYPEROFA_PYTHON": str(shims / "bin" / "stage"), **variables}
    script = str(resource("launch/slurm/stage.sh"))
    return subprocess.Popen(["bash", script, *words], env=environment, stdout=subprocess.PIPE, text=True)


def stop(shims: Path, stage: str, number: signal.Signals) -> tuple[subprocess.Popen[str], str]:
    """Start a stage's job and send it a signal once it works; returns the job and what it printed."""
    process = start(shims, "mine.yaml", "--only", stage)
    record, end = shims / "record", time.monotonic() + 30
    while not record.exists():
        assert time.monotonic() < end
        time.sleep(0.02)
    process.send_signal(number)
    return process, process.communicate(timeout=60)[0]


@pytest.mark.parametrize(
    ("stage", "number"),
    [("train-x", signal.SIGUSR1), ("eval-x", signal.SIGUSR1), ("train-x", signal.SIGTERM), ("init-x", signal.SIGTERM)],
)
def test_a_job_that_is_asked_to_save_goes_back_into_the_queue(shims: Path, stage: str, number: signal.Signals) -> None:
    process, printed = stop(shims, stage, number)
    assert process.returncode == 0
    assert "putting job 77 back into the queue" in printed
    lines = (shims / "record").read_text().splitlines()
    assert lines == [f"-m hyperofa.cli experiment mine.yaml --only {stage}", "saved", "scontrol requeue 77"]


def test_a_stage_that_starts_anew_is_not_queued_for_ever(shims: Path) -> None:
    process, _ = stop(shims, "init-x", signal.SIGUSR1)
    assert process.returncode == 1
    assert "requeue" not in (shims / "record").read_text()


def test_the_programs_beside_the_python_of_the_submission_are_found(shims: Path) -> None:
    (shims / "venv").mkdir()
    (shims / "venv" / "python").write_text('#!/bin/sh\ncommand -v accelerate > "$RECORD"\n')
    (shims / "venv" / "accelerate").write_text("#!/bin/sh\n")
    for file in (shims / "venv").iterdir():
        file.chmod(0o755)
    process = start(shims, "mine.yaml", HYPEROFA_PYTHON=str(shims / "venv" / "python"))
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert (shims / "record").read_text().strip() == str(shims / "venv" / "accelerate")


def test_a_job_that_fails_keeps_its_code_and_is_not_queued_again(shims: Path) -> None:
    process = start(shims, "mine.yaml", STOP="3")
    process.communicate(timeout=60)
    assert process.returncode == 3
    assert "requeue" not in (shims / "record").read_text()


def test_within_a_stage_the_training_script_leaves_the_queue_alone(shims: Path) -> None:
    script = str(resource("launch/slurm/train.sh"))
    variables = {
        "SLURM_JOB_NUM_NODES": "1",
        "SLURM_JOB_NODELIST": "node1",
        "HYPEROFA_ROOT": str(resource("launch").parent),
    }
    for more, code, queued in (({"HYPEROFA_NO_REQUEUE": "1"}, 143, False), ({}, 0, True)):
        done = subprocess.run(
            ["bash", script, "x.yaml"],
            env={**os.environ, **variables, **more},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stderr
        assert ((shims / "record").exists() and "requeue" in (shims / "record").read_text()) == queued


def test_a_submitted_stage_is_run_recorded_and_not_submitted_again(
    shims: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("news/eng.txt", "news/tur.txt", "test/tatoeba/tur-eng.tur", "test/tatoeba/tur-eng.eng"):
        (shims / name).parent.mkdir(parents=True, exist_ok=True)
        (shims / name).write_text("one line of text\n", encoding="utf-8")
    recipe = {
        "name": "mine",
        "sources": {"tiny": {"model": "./source"}},
        "inputs": {"parallel": [str(shims / "news")], "test": str(shims / "test"), "languages": ["tur"]},
        "tokenizer": {"vocab_size": 100},
        "matrix": {"ranks": [8], "methods": {"random": {}}},
        "train": {"settings": {"steps": 2, "global_batch_size": 8}},
    }
    path = shims / "mine.yaml"
    path.write_text(yaml.safe_dump(recipe), encoding="utf-8")
    words = ["experiment", str(path), "--out", str(shims / "out"), "--slurm", "--only", "gather"]
    assert main(words) == 0, capsys.readouterr().err
    (job,) = [json.loads(line) for line in (shims / "record").read_text().splitlines()]
    # the only line of text is a test line, and so nothing is left to train on: the job says so, and nothing is recorded as done
    assert job["code"] == 3
    assert "no line of text is left" in job["errors"]
    (shims / "news" / "eng.txt").write_text("another line of text\n", encoding="utf-8")
    (shims / "news" / "tur.txt").write_text("some more words of it\n", encoding="utf-8")
    assert main(words) == 0
    assert json.loads((shims / "record").read_text().splitlines()[1])["code"] == 0
    assert (shims / "out" / "data" / "gather.json").is_file()
    assert main(words) == 0
    assert len((shims / "record").read_text().splitlines()) == 2
    assert json.loads((shims / "out" / "slurm.json").read_text()) == {}


SBATCH_LINES = [
    (path.name, line)
    for path in sorted((resource("launch").parent / "docs").glob("*.md"))
    for line in path.read_text(encoding="utf-8").splitlines()
    if line.startswith("sbatch ")
]


@pytest.mark.parametrize(("document", "line"), SBATCH_LINES, ids=[name for name, _ in SBATCH_LINES])
def test_jobs_of_the_documents_start_training(shims: Path, document: str, line: str) -> None:
    root = resource("launch").parent
    words = shlex.split(line, comments=True)[1:]
    script = next(number for number, word in enumerate(words) if not word.startswith("--"))
    nodes, gpus = (
        next(w.partition("=")[2] for w in words if w.startswith(f"--{n}=")) for n in ("nodes", "gpus-per-node")
    )
    (shims / "bin" / "srun").write_text('#!/bin/sh\necho "$@" >> "$RECORD"\n')
    job = {
        "SLURM_JOB_NUM_NODES": nodes,
        "SLURM_GPUS_ON_NODE": gpus,
        "SLURM_JOB_NODELIST": "n",
        "SLURM_SUBMIT_DIR": str(root),
    }
    done = subprocess.run(
        ["bash", *words[script:]], cwd=root, env={**os.environ, **job}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    asked = (shims / "record").read_text()
    assert "-m hyperofa.train" in asked
    assert f"{nodes} {int(nodes) * int(gpus)} {' '.join(words[script + 1 :])}" in asked


@pytest.mark.parametrize("name", ["quickstart.sh", "test.sh"])
def test_the_scripts_of_a_clone_pass_options_on(name: str, tmp_path: Path) -> None:
    """With an environment that is there already and says what it is asked to run."""
    root = resource("launch").parent
    for place in ("launch/common.sh", f"launch/{name}", "pyproject.toml", "requirements/constraints.txt"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / place, tmp_path / place)
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    (programs / "python").write_text("#!/bin/sh\necho same\n")  # the stamp, and what would be installed
    (tmp_path / ".venv" / ".hyperofa-installed").write_text("same\n")
    for program in ("hyperofa", "pytest", "ruff", "mypy"):
        (programs / program).write_text(f'#!/bin/sh\necho {program} "$@"\n')
    for file in programs.iterdir():
        file.chmod(0o755)
    done = subprocess.run(
        ["bash", str(tmp_path / "launch" / name), "--version"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    last = {"quickstart.sh": "hyperofa quickstart --version", "test.sh": "pytest --version"}[name]
    assert done.stdout.splitlines()[-1] == last
