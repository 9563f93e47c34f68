"""Fitting over several processes, started by ``accelerate launch`` for real: what one process fits, and its errors."""

import dataclasses
import os

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix
from support import warm

from hyperofa.errors import HyperofaError, InputError
from hyperofa.init.hypernet.fit import FitData, fit
from hyperofa.init.hypernet.launch import fit_in_processes
from hyperofa.init.hypernet.sets import WordSets
from hyperofa.init.hypernet.settings import FitConfig, NetworkConfig

TOKENS = 61  # batches of 16 leave one of 13 or fewer, which two processes cannot share evenly
SHAPE = NetworkConfig(network="bilstm", layers=1, hidden=16, dropout=0.0)
CONFIG = FitConfig(epochs=3, batch_size=16, learning_rate=3e-3, held_out=0.1, device="cpu", processes=2, bf16=False)


@pytest.fixture
def task(monkeypatch):
    """(sets, targets, groups, vectors); every other word vector belongs to no token."""
    warm.stages_start_warm(monkeypatch)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setitem(os.environ, "CUDA_VISIBLE_DEVICES", "")
    rng = np.random.default_rng(5)
    vectors = rng.normal(size=(80, 6)).astype(np.float16)
    shares = np.zeros((TOKENS, 80), dtype=np.float32)
    for row in shares:
        row[2 * rng.choice(40, rng.integers(1, 6), replace=False)] = rng.uniform(0.2, 1)
    targets = rng.normal(size=(TOKENS, 4)).astype(np.float32)
    return FitData(WordSets(csr_matrix(shares), np.arange(TOKENS)), targets, np.arange(TOKENS), vectors)


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_a_batch_is_dealt_out_whole(task, size):
    sets = task[0]
    batch = sets.batch(np.arange(13), np.random.default_rng(0))
    parts = [batch.dealt(rank, size) for rank in range(size)]
    assert len({len(part.items) for part in parts}) == 1
    joined = np.stack([part.items for part in parts], axis=1).ravel()[:13]
    np.testing.assert_array_equal(joined, batch.items)
    for part in parts:
        rows = np.searchsorted(batch.items, part.items)
        width = part.words.shape[1]
        np.testing.assert_array_equal(part.words, batch.words[rows, :width])
        np.testing.assert_array_equal(part.shares, batch.shares[rows, :width])
        assert not batch.shares[rows, width:].any()


def test_two_processes_fit_what_one_fits_and_go_on_with_its_checkpoint(task, tmp_path):
    one, first = fit(task, SHAPE, CONFIG, seed=3)
    two, second = fit_in_processes(task, SHAPE, CONFIG, seed=3)
    assert (first.processes, second.processes) == (1, 2)
    np.testing.assert_allclose(second.train_loss, first.train_loss, rtol=1e-5)
    np.testing.assert_allclose(second.validation_loss, first.validation_loss, rtol=1e-5)
    assert second.train_loss[-1] < second.train_loss[0]
    for name, value in one.state_dict().items():
        torch.testing.assert_close(two.state_dict()[name], value, rtol=1e-4, atol=1e-5)
    # One process does the first epoch, two the others.
    room = tmp_path / "hypernet"
    begun = dataclasses.replace(CONFIG, processes=1)
    with pytest.raises(KeyboardInterrupt):
        fit(task, SHAPE, begun, seed=3, checkpoint=room, after_epoch=_interrupt)
    _, third = fit_in_processes(task, SHAPE, CONFIG, seed=3, checkpoint=room)
    assert third.train_loss[0] == first.train_loss[0]
    np.testing.assert_allclose(third.train_loss, first.train_loss, rtol=1e-5)
    assert [entry.name for entry in tmp_path.iterdir()] == ["hypernet"]  # nothing of the launch stays


def _interrupt(epochs):
    raise KeyboardInterrupt


def test_errors_of_the_processes_are_one_line(task, tmp_path):
    sets, targets, groups, vectors = task
    targets[0, 0] = np.nan
    with pytest.raises(HyperofaError, match="lower learning_rate"):
        fit_in_processes(FitData(sets, targets, groups, vectors), SHAPE, CONFIG, seed=3)
    targets[0, 0] = 0
    with pytest.raises(InputError, match="leaves no token to learn from"):
        fit_in_processes(task._replace(groups=0 * groups), SHAPE, dataclasses.replace(CONFIG, held_out=0.9), seed=3)
    (tmp_path / "file").touch()  # where the first process wants to make a folder
    with pytest.raises(HyperofaError, match="file: File exists"):
        fit_in_processes(task, SHAPE, CONFIG, seed=3, checkpoint=tmp_path / "file")
    broken = dataclasses.replace(CONFIG)
    object.__setattr__(broken, "learning_rate", "no number")  # a bug, which the process ends by
    with pytest.raises(HyperofaError, match="a process ended with code"):
        fit_in_processes(task, SHAPE, broken, seed=3)
    assert not list(tmp_path.glob("fit-*"))


def test_more_processes_than_gpus_are_refused(task, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(HyperofaError, match="2 processes but 1 GPUs"):
        fit_in_processes(task, SHAPE, dataclasses.replace(CONFIG, device="auto"), seed=3)
