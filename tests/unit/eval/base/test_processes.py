"""Two processes started by ``accelerate launch`` give what one gives, bit for bit, and a killed run leaves no torn file."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from support import warm

from hyperofa_eval.cli import main

pytestmark = pytest.mark.distributed

EXTENSION = """
import dataclasses
from hyperofa_eval.tasks.protocols import default
from hyperofa_eval.tasks import add_task
add_task(dataclasses.replace(default()["pos"], epochs=2, learning_rate=3e-3, train_batch_size=4))
"""


def command(model_dir, data, out, *words):
    tasks = ["run", model_dir, "--data", data, "--out", out, "--device", "cpu", "--batch-size", 3, *words]
    return [str(word) for word in tasks]


def results(out, processes=1):
    found = {path.relative_to(out).as_posix(): json.loads(path.read_text()) for path in sorted(out.rglob("*.json"))}
    for result in found.values():
        result.pop("wall_s")
        result.pop("prepare_s", None)
        assert result.pop("processes") == processes
    return found


def launch(words, env):
    flags = ["--multi_gpu", "--num_processes", "2", "--num_machines", "1", "--mixed_precision", "no"]
    flags += ["--dynamo_backend", "no", "--main_process_port", "0", "-m", "hyperofa_eval"]
    start = [sys.executable, "-m", "accelerate.commands.launch", *flags, *words]
    return warm.run(start, env=env, timeout=300)


def test_two_processes_give_what_one_gives(model_dir, data, tmp_path):
    extension = tmp_path / "quick.py"
    extension.write_text(EXTENSION)
    words = ["--tasks", "sr-t,sr-b,pos,lm", "--seed", "0,1", "--languages", "eng,tur,swh,ces", "--with", extension]
    env = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    one, two = tmp_path / "one", tmp_path / "two"
    single = [sys.executable, "-m", "hyperofa_eval", *command(model_dir, data, one, *words)]
    warm.run(single, check=True, env=env)
    done = launch(command(model_dir, data, two, *words), env)
    assert done.returncode == 0, done.stderr
    first, second = results(one), results(two, processes=2)
    assert len(first) == 3 + 2 + 2 * 3 + 2 * 3 + 1
    assert first == second


def test_bad_input_to_two_processes_is_one_line_and_exit_code_2(model_dir, data, tmp_path):
    env = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = launch(command(model_dir, data, tmp_path / "out", "--tasks", "sr-x"), env)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("hyperofa-eval: error: unknown task 'sr-x'; did you mean 'sr-t'? known: ")


def test_a_killed_run_leaves_whole_files_and_continues(model_dir, data, tmp_path):
    out = tmp_path / "out"
    words = command(model_dir, data, out, "--tasks", "sr-t", "--block", "all")
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    running = warm.Popen([sys.executable, "-m", "hyperofa_eval", *words], env=env, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list(out.glob("sr-t/*.json")) and running.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    running.send_signal(signal.SIGKILL)
    running.wait()
    for path in out.rglob("*.json"):
        json.loads(path.read_text())
    assert main(words) == 0
    whole = tmp_path / "whole"
    words[words.index(str(out))] = str(whole)
    assert main(words) == 0
    assert results(out) == results(whole)


def test_a_process_waits_for_days_while_another_fine_tunes(monkeypatch):
    import accelerate

    from hyperofa_eval.base import processes

    asked = {}

    class State:
        process_index, num_processes, device = 1, 2, "cpu"

        def __init__(self, **options):
            asked.update(options)

    monkeypatch.setattr(accelerate, "PartialState", State)
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert processes.start("cpu").rank == 1
    assert asked["cpu"] is True
    assert asked["timeout"].days >= 1
