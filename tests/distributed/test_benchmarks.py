"""The training benchmarks run in their small modes: their figures are taken elsewhere, on a calm machine or a GPU."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def run(name: str, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCHMARKS / name), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)


@pytest.mark.slow
def test_the_gpu_check_runs_where_there_is_none_in_its_tiny_mode(tmp_path):
    done = run("train_gpu.py", "--tiny", "--steps", "6", "--out", str(tmp_path / "results" / "gpu.json"))
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result == json.loads((tmp_path / "results" / "gpu.json").read_text())
    assert result["tokens_per_second"] > 0
    assert result["engine"]["engine"] == "deepspeed.runtime.engine.DeepSpeedEngine"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_the_gpu_check_says_that_there_is_none():
    done = run("train_gpu.py")
    assert done.returncode == 3
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "no GPU here" in done.stderr


@pytest.mark.slow
def test_the_speed_benchmark_compares_all_sides(tmp_path):
    done = run("train_speed.py", "--small", "--steps", "1")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert set(result["sides"]) == {"dense", "rank100", "rank400", "bare", "alike", "engine"}
    assert set(result["ratio"]) == set(result["floors"]) | {"engine_alike"}
