"""Committed checkpoints: a folder whose manifest holds, each damage named, and what is pruned or set aside."""

from __future__ import annotations

import json
import shutil

import pytest

from hyperofa.errors import HyperofaError, InputError
from hyperofa.train.checkpoint import manifest as checkpoint
from tests.unit.train.conftest import SHARDS


def test_a_committed_checkpoint_verifies(write_checkpoint):
    folder = write_checkpoint(4)
    assert checkpoint.committed(folder.parent) == [folder]
    assert checkpoint.verify(folder, "ours") is None
    assert all(checkpoint.verify(folder, "ours", rank=rank, world_size=3) is None for rank in range(3))
    paths = [folder / name for name in checkpoint.files_below(folder)]
    assert checkpoint.read_manifest(folder).size == sum(path.stat().st_size for path in paths)


def flip(folder):
    path = folder / SHARDS[1]
    data = bytearray(path.read_bytes())
    data[7] ^= 1
    path.write_bytes(data)


def edit(folder, **changes):
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def forget(folder, name):
    files = json.loads((folder / "manifest.json").read_text())["files"]
    edit(folder, files={key: value for key, value in files.items() if key != name})


def stray(path):
    path.write_bytes(b"left over")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (flip, f"{SHARDS[1]} does not match its SHA-256"),
        (lambda folder: (folder / SHARDS[2]).write_bytes(b"short"), f"{SHARDS[2]} has 5 bytes, not"),
        (lambda folder: (folder / SHARDS[0]).unlink(), f"{SHARDS[0]} is missing"),
        (lambda folder: (folder / "manifest.json").write_text('{"format": 1,'), "not valid JSON"),
        (lambda folder: (folder / "manifest.json").write_text("[]"), "not a manifest"),
        (lambda folder: edit(folder, format=9), "format 9"),
        (lambda folder: edit(folder, step=5), "is of step 5"),
        (lambda folder: edit(folder, run_id="theirs"), "from another run (theirs"),
        (lambda folder: edit(folder, files={"../secret": {"size": 1, "sha256": "0"}}), "leaves its folder"),
        (lambda folder: edit(folder, files={"/etc/passwd": {"size": 1, "sha256": "0"}}), "leaves its folder"),
        (lambda folder: edit(folder, files={SHARDS[0]: {"size": "many", "sha256": "0"}}), "files"),
        (lambda folder: edit(folder, files={}), "optimizer shards of 0 ranks, not of 2"),
        (lambda folder: edit(folder, world_size=3), "optimizer shards of 2 ranks, not of 3"),
        (lambda folder: edit(folder, universal=True), "lists no whole.json"),
        (lambda folder: forget(folder, SHARDS[0]), "lists no model shard"),
        (lambda folder: forget(folder, SHARDS[2]), "optimizer shards of 1 ranks, not of 2"),
        (lambda folder: edit(folder, norms={}), "norms are of nothing, not of weights, exp_avg, exp_avg_sq"),
        (lambda folder: edit(folder, norms={"weights": 1.0, "luck": 2.0}), "norms are of luck, weights, not of"),
        (
            lambda folder: (folder / "shards" / "mp_rank_01_model_states.pt").write_bytes(b"x"),
            "_01_model_states.pt is not",
        ),
        (
            lambda folder: (folder / "shards" / "deep").mkdir() or stray(folder / "shards/deep/a.pt"),
            "a.pt is not in its",
        ),
    ],
)
def test_each_damage_gives_its_line(write_checkpoint, damage, said):
    folder = write_checkpoint(4)
    damage(folder)
    problem = checkpoint.verify(folder, "ours")
    assert problem is not None
    assert said in problem
    assert "\n" not in problem


def test_the_ranks_together_read_every_file(write_checkpoint):
    folder = write_checkpoint(4)
    flip(folder)
    found = [checkpoint.verify(folder, rank=rank, world_size=3) for rank in range(3)]
    assert sorted(problem is None for problem in found) == [False, True, True]


def test_a_torn_save_is_no_checkpoint(write_checkpoint):
    good = write_checkpoint(4)
    shutil.copytree(good, good.with_name("step_00000008.tmp"))
    bare = good.with_name("step_00000012")
    shutil.copytree(good, bare)
    (bare / "manifest.json").unlink()
    assert checkpoint.committed(good.parent) == [good]
    assert checkpoint.uncommitted(good.parent) == [bare]


def test_prune_keeps_the_newest(write_checkpoint):
    folders = [write_checkpoint(step) for step in (2, 10, 4, 8)]
    run = folders[0].parent
    checkpoint.prune(run, keep=2)
    assert [checkpoint.step_of(folder) for folder in checkpoint.committed(run)] == [10, 8]


@pytest.mark.parametrize("moment", ["unlink", "rmtree"])
def test_a_prune_that_is_killed_leaves_nothing_that_stays(write_checkpoint, monkeypatch, moment):
    old, new, newest = (write_checkpoint(step) for step in (2, 4, 8))

    def die(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(type(old) if moment == "unlink" else shutil, moment, die)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.prune(old.parent, keep=2)
    assert checkpoint.uncommitted(old.parent) == []  # which the next start would set aside for good
    checkpoint.finish_renames(old.parent)
    left = [old] if moment == "unlink" else []
    assert checkpoint.committed(old.parent) == [newest, new, *left]
    assert all(checkpoint.verify(folder, "ours") is None for folder in left)


def test_what_is_set_aside_is_kept_but_not_counted(write_checkpoint):
    folder = write_checkpoint(4)
    aside = checkpoint.set_aside(folder)
    assert aside.is_dir()
    assert checkpoint.committed(folder.parent) == []
    again = write_checkpoint(4)
    assert checkpoint.set_aside(again) != aside


def test_a_file_nobody_vouches_for_stops_the_commit(tmp_path, write_checkpoint):
    manifest = checkpoint.read_manifest(write_checkpoint(4))
    stray = tmp_path / "run" / "step_00000008.tmp"
    stray.mkdir()
    (stray / "left.pt").write_bytes(b"?")
    with pytest.raises(HyperofaError, match=r"left\.pt"):
        checkpoint.commit(stray, tmp_path / "run" / "step_00000008", manifest)
    assert not (tmp_path / "run" / "step_00000008").exists()


def test_choosing_a_step_names_what_there_is(write_checkpoint):
    run = write_checkpoint(4).parent
    write_checkpoint(8)
    assert checkpoint.select_folder(run, None).name == "step_00000008"
    assert checkpoint.select_folder(run, 4).name == "step_00000004"
    with pytest.raises(InputError, match=r"there are: \[8, 4\]"):
        checkpoint.select_folder(run, 5)


def test_what_nfs_keeps_of_a_removed_file_is_no_stray(write_checkpoint):
    folder = write_checkpoint(4)
    stray(folder / "shards" / ".nfs0000000000a1b2c3")
    assert checkpoint.verify(folder, "ours") is None


def test_a_rename_that_fails_puts_the_old_checkpoint_back(write_checkpoint, monkeypatch, tmp_path):
    folder = write_checkpoint(4)
    other = shutil.copytree(folder, tmp_path / "other")
    (other / "manifest.json").unlink()
    rename = type(folder).rename

    def fail(path, target):
        if path == other:
            raise OSError(5, "Input/output error")
        return rename(path, target)

    monkeypatch.setattr(type(folder), "rename", fail)
    with pytest.raises(OSError, match="Input/output"):
        checkpoint.commit(other, folder, checkpoint.read_manifest(folder), replaces=True)
    assert checkpoint.verify(folder, "ours") is None


def test_an_unreadable_manifest_hides_no_other(write_checkpoint):
    good, bad = write_checkpoint(4), write_checkpoint(8)
    (bad / "manifest.json").write_text("{")
    rows = [checkpoint.describe(folder) for folder in checkpoint.committed(good.parent)]
    assert [row["step"] for row in rows] == [8, 4]
    assert "not valid JSON" in rows[0]["problem"]
    assert rows[1]["problem"] is None
