"""An experiment as SLURM jobs, with ``sbatch`` and ``squeue`` replaced by small scripts."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from support.plans import plan_of

from hyperofa.base.resources import resource
from hyperofa.cli import main


def run(*words: str) -> int:
    try:
        return main(["experiment", *words])
    except SystemExit as exit_:
        return int(str(exit_.code))


SBATCH = """#!/usr/bin/env python3
import json, os, pathlib, sys
log = pathlib.Path(os.environ["JOBS"])
jobs = log.read_text().splitlines() if log.exists() else []
if "--refuse" in sys.argv:
    sys.exit("sbatch: error: Batch job submission failed: Invalid account")
with log.open("a") as handle:
    handle.write(json.dumps(sys.argv[1:]) + "\\n")
print(f"{100 + len(jobs)};cluster")
"""


def test_slurm_submits_a_job_per_stage_with_its_dependencies(
    matrix: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shim = matrix.parent / "bin" / "sbatch"
    shim.parent.mkdir()
    shim.write_text(SBATCH)
    shim.chmod(shim.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{shim.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("JOBS", str(matrix.parent / "jobs"))
    out = matrix.parent / "out"
    assert run(str(matrix), "--data", str(matrix.parent), "--out", str(out), "--slurm") == 0, capsys.readouterr().err
    jobs = json.loads((out / "slurm.json").read_text())
    calls = [json.loads(line) for line in (matrix.parent / "jobs").read_text().splitlines()]
    assert len(calls) == len(jobs) == len(plan_of(matrix).stages()) + 1
    by_name = {name: calls[int(number) - 100] for name, number in jobs.items()}
    train = by_name["train-tiny-r8-ours-s0"]
    waits = (
        next(word for word in train if word.startswith("--dependency="))
        .removeprefix("--dependency=afterok:")
        .split(":")
    )
    assert set(waits) == {jobs["init-tiny-r8-ours-s0"], jobs["corpus"]}
    assert "--nodes=2" in train
    assert "--time=1:00:00" not in train
    assert "--time=1:00:00" in by_name["gather"]
    assert not any(word.startswith("--dependency") for word in by_name["gather"])
    assert train[-2:] == ["--only", "train-tiny-r8-ours-s0"]
    assert str(resource("launch/slurm/stage.sh")) in train
    all_others = ":".join(number for name, number in jobs.items() if name != "report")
    assert f"--dependency=afterany:{all_others}" in by_name["report"]

    words = [str(matrix), "--data", str(matrix.parent), "--out", str(out), "--slurm"]
    monkeypatch.setattr("shutil.which", lambda name: None if name == "squeue" else name)
    assert run(*words) == 1
    assert "squeue: not found, so what became of the jobs submitted before is unknown" in capsys.readouterr().err
    monkeypatch.undo()
    monkeypatch.setenv("PATH", f"{shim.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("JOBS", str(matrix.parent / "jobs"))
    ended = {"train-tiny-r8-ours-s0", "init-tiny-r8-ours-s0"}
    queue = [number for name, number in jobs.items() if name not in ended]
    (shim.parent / "squeue").write_text(f"#!/bin/sh\nprintf '%s\\n' {' '.join(queue)}\n")
    (shim.parent / "squeue").chmod(0o755)
    assert run(*words) == 0, (
        capsys.readouterr().err
    )  # what waits is not submitted again, what ended without a result is
    again = [json.loads(line) for line in (matrix.parent / "jobs").read_text().splitlines()][len(calls) :]
    assert [call[call.index("--only") + 1] for call in again] == [*sorted(ended), "report"]
    now = json.loads((out / "slurm.json").read_text())
    assert {name for name in now if now[name] != jobs[name]} == {*ended, "report"}
    assert f"--dependency=afterok:{jobs['vectors']}" not in again[0]
    waits = next(word for word in again[0] if word.startswith("--dependency=")).partition(":")[2].split(":")
    assert set(waits) == {jobs["gather"], jobs["vectors"], jobs["tokenizer"]}

    (out / "slurm.json").unlink()
    assert run(*words, "--set", "slurm.train=[--refuse]") == 1
    assert "sbatch: refused (sbatch: error: Batch job submission failed: Invalid account)" in capsys.readouterr().err
    assert run(*words, "--set", "slurm.tarin=[x]") == 2


def test_slurm_without_sbatch_says_where_to_go(
    matrix: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(matrix.parent))
    assert (
        run(
            str(matrix),
            "--data",
            str(matrix.parent),
            "--out",
            str(matrix.parent / "out"),
            "--slurm",
        )
        == 1
    )
    assert "sbatch: not found; submit from a login node" in capsys.readouterr().err
