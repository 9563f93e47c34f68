"""A portable copy that cannot be written, which checkpoint a start goes on from, and norms that are not the saved ones."""

from __future__ import annotations

import shutil
from types import SimpleNamespace

import pytest

from hyperofa.errors import HyperofaError
from hyperofa.train.checkpoint import manifest as checkpoint
from hyperofa.train.checkpoint.saving import Saver, norms_differ, write_universal


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), RuntimeError("a bug"), KeyboardInterrupt()])
def test_a_portable_copy_that_fails_leaves_the_checkpoint_alone(write_checkpoint, monkeypatch, error):
    folder = write_checkpoint(4)

    def fail(temporary, state):
        (temporary / "whole-00001.safetensors").write_bytes(b"half")
        raise error

    monkeypatch.setattr("hyperofa.train.checkpoint.saving.read_shards", lambda folder, names: None)
    monkeypatch.setattr("hyperofa.train.checkpoint.saving.write_unsharded", fail)
    expected = HyperofaError if isinstance(error, OSError) else type(error)
    with pytest.raises(expected, match=r"needs 0\.0 MB" if expected is HyperofaError else None):
        write_universal(folder, checkpoint.read_manifest(folder))
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
    assert checkpoint.verify(folder, "ours") is None


def found(run):
    """The folder that a start in ``run`` goes on from."""
    engine = SimpleNamespace(is_main=True, rank=0, world_size=1, gather=lambda value: [value], barrier=lambda: None)
    engine.main_first = lambda work: work()
    newest = Saver(SimpleNamespace(run=run), engine, "ours", "data").find()
    return None if newest is None else newest[0]


def test_a_start_goes_on_from_a_whole_checkpoint_that_lacks_its_name(write_checkpoint):
    write_checkpoint(4)
    folder = write_checkpoint(8)
    shutil.copytree(folder, folder.with_name("step_00000008.skipped"))
    folder.rename(folder.with_name("step_00000008.tmp"))
    assert found(folder.parent) == folder
    assert sorted(path.name for path in folder.parent.iterdir()) == [
        "step_00000004",
        "step_00000008",
        "step_00000008.skipped",
    ]


@pytest.mark.parametrize("lacks", ["manifest.json", "shards/mp_rank_00_model_states.pt"])
def test_a_start_goes_on_from_no_torn_checkpoint(write_checkpoint, lacks):
    folder, torn = write_checkpoint(4), write_checkpoint(8)
    (torn / lacks).unlink()
    torn.rename(torn.with_name("step_00000008.tmp"))
    assert found(folder.parent) == folder
    assert not torn.with_name("step_00000008.tmp").exists()


def test_a_committed_checkpoint_is_not_replaced_by_an_unfinished_copy(write_checkpoint):
    folder = write_checkpoint(4)
    copy = shutil.copytree(folder, folder.with_name("step_00000004.tmp"))
    (copy / "manifest.json").write_text("{}")
    assert found(folder.parent) == folder
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_two_swapped_tensors_are_noticed(write_checkpoint):
    import dataclasses
    import math

    norms = dict.fromkeys(checkpoint.NORMS, 5.0)
    each = {"a": (3.0, 1.0, 1.0), "b": (4.0, 1.0, 1.0)}
    manifest = dataclasses.replace(checkpoint.read_manifest(write_checkpoint(4)), norms=norms, parameter_norms=each)
    assert norms_differ(manifest, norms, each) is None
    swapped = {"a": each["b"], "b": each["a"]}
    assert "the norm of a (weights) is 4.0, but 3.0 was saved" in norms_differ(manifest, norms, swapped)
    assert "the norm of b (weights) is None" in norms_differ(manifest, norms, {"a": each["a"]})
    assert "the norm of weights is nan" in norms_differ(manifest, {**norms, "weights": math.nan}, each)
