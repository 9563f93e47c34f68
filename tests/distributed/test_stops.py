"""SIGTERM at the worst moments, a save that fails after it, and a second launch in the same run directory."""

from __future__ import annotations

import os
import shutil
import signal
import time

import pytest

pytestmark = pytest.mark.slow


def freeze_while_saving(launch) -> int:
    """Stop both ranks by SIGSTOP in the middle of a save; returns its step."""
    workers = launch.workers()
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if any(launch.run.glob("step_*.tmp/shards")):
            for pid in workers:
                os.kill(pid, signal.SIGSTOP)
            time.sleep(0.1)
            if torn := list(launch.run.glob("step_*.tmp")):
                return int(torn[0].name[5:13])
            for pid in workers:
                os.kill(pid, signal.SIGCONT)
        time.sleep(0.001)
    launch.kill()
    pytest.fail("never met in a save")


def test_sigterm_while_saving_ends_with_that_save(trainer, straight):
    runs = trainer(zero_stage=2, save_every=1)
    stopped = runs.start("saving")
    stopped.wait_for_step(3)
    step = freeze_while_saving(stopped)
    workers = stopped.workers()
    stopped.process.send_signal(signal.SIGTERM)
    time.sleep(1)
    for pid in workers:
        os.kill(pid, signal.SIGCONT)
    assert stopped.wait() == 143, stopped.output
    assert stopped.checkpoints()[0] == stopped.rows()[-1]["step"] == step
    resumed = runs.train("saving")
    assert f"resuming after step {step}" in resumed.output
    assert resumed.losses() == straight("encoder", 2).losses()
    assert resumed.same_weights(straight("encoder", 2))


def test_sigterm_while_evaluating_saves_at_once_and_the_next_start_makes_up_for_it(trainer, straight, tmp_path):
    pytest.importorskip("hyperofa_eval")
    data = tmp_path / "data" / "tatoeba"
    data.mkdir(parents=True)
    pairs = [(f"mtoto anasoma kitabu {i}", f"the child reads book {i}") for i in range(20_000)]
    for name, side in (("swh", 0), ("eng", 1)):
        (data / f"swh-eng.{name}").write_text("".join(f"{pair[side]}\n" for pair in pairs))
    evaluation = {"data": str(data.parent), "tasks": ["sr-t"], "languages": ["swh"]}
    runs = trainer(zero_stage=3, eval_every=40, evaluation=evaluation)
    stopped = runs.start("evaluating")
    stopped.wait_for_step(39)
    time.sleep(1.5)
    began = time.monotonic()
    stopped.process.send_signal(signal.SIGTERM)
    assert stopped.wait() == 143, stopped.output
    assert time.monotonic() - began < 20
    assert "evaluation after step 40 cut short" in stopped.output
    assert "Traceback" not in stopped.output
    assert stopped.checkpoints() == [40]
    assert "evaluation" not in stopped.rows()[-1]
    assert not (stopped.run / "final").exists()
    resumed = runs.train("evaluating")
    assert resumed.rows()[-1]["evaluation"]["sr-t"]["n_languages"] == 1
    assert resumed.losses() == straight("encoder", 3).losses()
    assert resumed.same_weights(straight("encoder", 3))


def test_a_save_that_fails_after_sigterm_is_a_failure(trainer):
    if shutil.which("prlimit") is None:
        pytest.skip("no prlimit (util-linux) here")
    runs = trainer(zero_stage=2, steps=100_000)
    limited = runs.start("limited", prefix=("prlimit", "--fsize=60000"))
    limited.wait_for_step(3)
    limited.process.send_signal(signal.SIGTERM)
    assert limited.wait() == 1, limited.output
    output = " ".join(limited.output.split())
    assert "could not save step" in output
    assert "asked to stop, exited 1" in output
    assert "Traceback" not in output
    assert limited.checkpoints() == []


def test_a_second_launch_is_refused_and_a_killed_one_does_not_block(trainer, straight):
    runs = trainer(zero_stage=2, save_every=5, steps=40)
    first = runs.start("shared", stop_at=20)
    first.wait_for_step(1)
    for pid in first.workers():
        os.kill(pid, signal.SIGSTOP)
    second = runs.train("shared", code=2)
    lines = [line for line in second.output.splitlines() if "error" in line]
    assert len(lines) == 1, second.output
    assert "is working in this run directory" in lines[0]
    first.kill()
    began = time.monotonic()
    third = runs.train("shared")
    assert "waiting whether it is alive" not in third.output
    assert time.monotonic() - began < 120
    assert third.losses() == straight("encoder", 2).losses()
