"""What goes wrong on real machines: each gives its line and its exit code, and nothing committed is lost."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys

import pytest


def test_damaged_checkpoints_are_skipped_with_a_line_each(trainer, straight):
    runs = trainer(zero_stage=2, save_every=4, keep=9)
    first = runs.train("damaged", stop_at=24)
    assert first.checkpoints() == [24, 20, 16, 12, 8, 4]
    flipped, short, gone, foreign, bare = (first.run / f"step_{step:08d}" for step in (24, 20, 16, 12, 8))
    shard = "shards/zero_pp_rank_1_mp_rank_00_optim_states.pt"
    data = bytearray((flipped / shard).read_bytes())
    data[len(data) // 2] ^= 1
    (flipped / shard).write_bytes(data)
    os.truncate(short / shard, 100)
    (gone / shard).unlink()
    manifest = json.loads((foreign / "manifest.json").read_text())
    (foreign / "manifest.json").write_text(json.dumps({**manifest, "run_id": "another"}))
    (bare / "manifest.json").unlink()

    resumed = runs.train("damaged")
    output = " ".join(resumed.output.split())
    assert f"skipping step_00000024: {shard} does not match its SHA-256" in output
    assert f"skipping step_00000020: {shard} has 100 bytes" in output
    assert f"skipping step_00000016: {shard} is missing" in output
    assert "skipping step_00000012: its manifest is from another run (another" in output
    assert "skipping step_00000008: it has no manifest.json" in output
    assert "resuming after step 4" in output
    assert resumed.losses() == straight("encoder", 2).losses()
    assert resumed.same_weights(straight("encoder", 2))
    assert sorted(path.name for path in resumed.run.glob("*.skipped")) == [
        f"step_{step:08d}.skipped" for step in (8, 12, 16, 20, 24)
    ]


def test_bad_settings_end_the_launch_with_one_line(trainer):
    refused = trainer().train("refused", code=3, model="/nowhere/at/all")
    lines = [line for line in refused.output.splitlines() if "hyperofa" in line]
    assert len(lines) == 1
    assert "/nowhere/at/all: no such model directory" in lines[0]
    assert "Traceback" not in refused.output
    assert not refused.run.exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"whole_words": True}, "whole_words chooses what to mask"),
        ({"learning_rates": {"embeddings": 0.0, "body": 0.0, "head": 0.0}}, "0 for every part that the model has"),
        ({"phase": "head", "phase_steps": 3}, "nothing would learn in the phase 'head'"),
    ],
)
def test_what_the_model_cannot_do_is_refused(home, tmp_path, changes, said):
    from hyperofa.errors import InputError
    from hyperofa.model import parameter_groups
    from hyperofa.model.phases import part_of
    from hyperofa.train.config import TrainConfig
    from hyperofa.train.loading import check_that_something_learns, load_inputs

    required = {"model": str(home / "decoder"), "corpus": home / "corpus", "run": tmp_path, "steps": 9}
    config = TrainConfig(**required, global_batch_size=8, **changes)

    def start():
        model, _ = load_inputs(config)
        groups = parameter_groups(model, weight_decay=0)
        check_that_something_learns(config, {part_of(group["name"]) for group in groups})

    with pytest.raises(InputError, match=said):
        start()


def test_a_stopped_rank_ends_the_run_within_the_timeout(trainer):
    runs = trainer(zero_stage=2, save_every=5, timeout=6, steps=100_000)
    hung = runs.start("hung")
    hung.wait_for_step(7)
    os.kill(hung.workers()[1], signal.SIGSTOP)
    saved = hung.checkpoints()
    stopped = hung.workers()[1]
    try:
        assert _ends_within(hung, 40, stopped)
    finally:
        hung.kill()
    assert "rank 1 on" in hung.output
    assert "went silent" in hung.output
    assert hung.checkpoints()[:1] >= saved[:1]


def _ends_within(launch, seconds: float, stopped: int) -> bool:
    """Whether the launch ends by itself; torchrun cannot end a stopped worker by SIGTERM, so it is continued at last."""
    import time

    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if len(launch.workers()) < 2:
            os.kill(stopped, signal.SIGKILL)
            assert launch.wait() == 1
            return True
        time.sleep(0.2)
    return False


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_sigusr1_to_a_worker_or_the_launcher_saves(trainer, rank):
    runs = trainer(steps=100_000)
    warned = runs.start("warned")
    warned.wait_for_step(2)
    os.kill([warned.process.pid, warned.workers()[1]][rank], signal.SIGUSR1)
    assert warned.wait() == 143, warned.output
    assert warned.checkpoints() == [warned.rows()[-1]["step"]]


@pytest.mark.slow
def test_a_full_disk_keeps_the_last_checkpoint(trainer, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=700k", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no tmpfs may be mounted here: {mounted.stderr.decode().strip()}")
    try:
        full = trainer(zero_stage=2).train("full", code=1, run=disk / "run", save_every=1, keep=5)
        assert "MB" in full.output
        assert "the last checkpoint is untouched" in " ".join(full.output.split())
        launch = trainer().start("look", run=disk / "run")
        launch.kill()
        verify = subprocess.run(
            [sys.executable, "-m", "hyperofa.cli", "checkpoint", "verify", str(disk / "run")], check=False
        )
        assert verify.returncode == 0
    finally:
        subprocess.run(["umount", str(disk)], check=True)
        shutil.rmtree(disk)


@pytest.fixture(scope="module")
def torn_saves() -> list[bool]:
    """Of every kill, whether it left a save half-written."""
    return []


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_sigkill_at_any_moment_loses_nothing(trainer, straight, torn_saves, seed):
    import random
    import time

    choose = random.Random(seed)
    runs = trainer(zero_stage=2, save_every=1, keep=2)
    killed = runs.start("killed")
    killed.wait_for_step(choose.randrange(1, 30))
    time.sleep(choose.random() * 0.2)
    workers = killed.workers()
    if len(workers) == 2:
        os.kill(workers[choose.randrange(2)], signal.SIGKILL)
    killed.wait()
    torn_saves.append(bool(list(killed.run.glob("step_*.tmp"))))
    resumed = runs.train("killed")
    assert resumed.losses() == straight("encoder", 2).losses()
    assert resumed.same_weights(straight("encoder", 2))


@pytest.mark.slow
def test_some_of_the_kills_met_a_save(torn_saves):
    if len(torn_saves) < 20:
        pytest.skip("only some of the kills were run")
    assert any(torn_saves)
