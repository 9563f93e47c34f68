"""Fitting a hypernetwork: what it learns, holds out, keeps and takes over; and predicting with it."""

from __future__ import annotations

import dataclasses
import sys

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix

from hyperofa.base.device import multiplies_bfloat16
from hyperofa.errors import HyperofaError
from hyperofa.init.hypernet.fit import FitData, fit, predict, split_groups
from hyperofa.init.hypernet.networks import NETWORKS
from hyperofa.init.hypernet.sets import WordSets
from hyperofa.init.hypernet.settings import FitConfig, NetworkConfig

SMALL = NetworkConfig(network="bilstm", layers=2, hidden=8, dropout=0.3)


def _task(count=160):
    """Rows that are a linear function of the mean word vector: learnable."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(300, 6)).astype(np.float32)
    dense = np.zeros((count, 300), dtype=np.float32)
    for row in dense:
        row[rng.choice(300, rng.integers(1, 4), replace=False)] = 1
    words = csr_matrix(dense)
    mean = (dense / dense.sum(1, keepdims=True)) @ vectors
    return words, vectors, (mean @ rng.normal(size=(6, 4))).astype(np.float32)


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_a_fit_learns(name):
    words, vectors, rows = _task()
    sets = WordSets(words, np.arange(160))
    config = FitConfig(epochs=25, batch_size=32, learning_rate=5e-3, held_out=0.2, thin=0.0)
    shape = NetworkConfig(network=name, layers=1, hidden=32, dropout=0.0)
    _, report = fit(FitData(sets, rows, np.arange(160), vectors), shape, config, seed=0)
    assert report.train_loss[-1] < 0.8 * report.train_loss[0]
    assert report.held_out_cosine > 0.5
    assert report.held_out == 32


def test_products_are_bfloat16s_where_the_device_has_them_and_nothing_else_was_asked(tmp_path):
    words, vectors, rows = _task(64)
    sets, groups = WordSets(words, np.arange(64)), np.arange(64)
    here = multiplies_bfloat16(torch.device("cpu"))

    def fitted(bf16):
        config = FitConfig(epochs=3, batch_size=16, learning_rate=1e-3, held_out=0.2, device="cpu", bf16=bf16)
        return fit(FitData(sets, rows, groups, vectors), SMALL, config, seed=3)

    (network, default), (explicit, asked), (_, other) = fitted(None), fitted(here), fitted(not here)
    assert (default.bf16, asked.bf16, other.bf16) == (here, here, not here)
    for one, two in zip(network.parameters(), explicit.parameters(), strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=0)
    assert default.train_loss != other.train_loss
    np.testing.assert_allclose(default.train_loss, other.train_loss, rtol=5e-3)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [("fpu avx512f avx512_bf16", True), ("fpu amx_bf16 amx_tile", True), ("fpu avx2 avx512f", False), (None, False)],
)
def test_a_processors_flags_tell_whether_it_multiplies_bfloat16(flags, expected, tmp_path):
    cpuinfo = tmp_path / "cpuinfo"
    if flags is not None:
        cpuinfo.write_text(f"flags\t: {flags}\n")
    assert multiplies_bfloat16(torch.device("cpu"), cpuinfo) is expected
    assert not multiplies_bfloat16(torch.device("meta"), cpuinfo)


def test_an_interrupted_fit_ends_where_an_undisturbed_one_does(tmp_path):
    words, vectors, rows = _task(64)
    sets, groups = WordSets(words, np.arange(64)), np.arange(64)
    config = FitConfig(epochs=6, batch_size=16, learning_rate=1e-3, held_out=0.1)
    straight, report = fit(FitData(sets, rows, groups, vectors), SMALL, config, seed=3)
    # An interruption: the same question, stopped from outside after its second epoch.
    room = sys.modules[fit.__module__]

    save, saved = room.save_fit, []

    def stop_after_two(*arguments):
        save(*arguments)
        saved.append(1)
        if len(saved) == 2:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, "save_fit", stop_after_two)
        with pytest.raises(KeyboardInterrupt):
            fit(FitData(sets, rows, groups, vectors), SMALL, config, seed=3, checkpoint=tmp_path)
    resumed, second = fit(FitData(sets, rows, groups, vectors), SMALL, config, seed=3, checkpoint=tmp_path)
    assert second.train_loss == report.train_loss
    for name, value in straight.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    np.testing.assert_array_equal(
        predict(straight, sets, vectors, config, seed=1), predict(resumed, sets, vectors, config, seed=1)
    )


def test_a_shorter_fit_is_the_beginning_of_a_longer_one(tmp_path):
    words, vectors, rows = _task(64)
    data = FitData(WordSets(words, np.arange(64)), rows, np.arange(64), vectors)
    config = {epochs: FitConfig(epochs=epochs, batch_size=16) for epochs in (1, 3)}
    fit(data, SMALL, config[1], seed=3, checkpoint=tmp_path)
    longer = fit(data, SMALL, config[3], seed=3, checkpoint=tmp_path)[1]
    assert longer.train_loss == fit(data, SMALL, config[3], seed=3)[1].train_loss
    shorter = fit(data, SMALL, config[1], seed=3, checkpoint=tmp_path)[1]
    assert shorter.train_loss == longer.train_loss[:1]  # not the longer one's state


def test_a_checkpoint_holds_no_word_vectors_and_serves_only_its_question(tmp_path):
    words, vectors, rows = _task(64)
    sets = WordSets(words, np.arange(64))
    config = FitConfig(epochs=1, batch_size=16)
    fit(FitData(sets, rows, np.arange(64), vectors), SMALL, config, seed=3, checkpoint=tmp_path)
    (file,) = tmp_path.glob("*.safetensors")
    from safetensors import safe_open

    with safe_open(file, "pt") as tensors:
        assert all(tuple(tensors.get_slice(name).get_shape()) != vectors.shape for name in tensors.keys())  # noqa: SIM118
        assert {name.partition(".")[0] for name in tensors.keys()} == {"model", "optimizer"}  # noqa: SIM118
    _, other = fit(
        FitData(sets, rows, np.arange(64), vectors),
        SMALL,
        dataclasses.replace(config, epochs=2),
        seed=4,
        checkpoint=tmp_path,
    )
    assert len(other.train_loss) == 2  # nothing was taken over from seed 3


@pytest.mark.parametrize("changed", ["vectors", "shares", "groups", "nothing", "unused vectors"])
def test_a_checkpoint_made_from_other_input_is_not_taken_over(tmp_path, changed):
    words, vectors, rows = _task(64)
    vectors[299] = 1
    words = csr_matrix(words.toarray() * (np.arange(300) != 299))
    groups, config = np.arange(64) // 2, FitConfig(epochs=2, batch_size=16, held_out=0.2)

    def fitted(folder):
        data = FitData(WordSets(words, np.arange(64)), rows, groups, vectors)
        shape = NetworkConfig(network="deep-sets", layers=1, hidden=8, dropout=0.0)
        return fit(data, shape, config, seed=3, checkpoint=folder)[1]

    first = fitted(tmp_path / "a")
    if changed == "vectors":
        vectors = vectors[::-1].copy()
    elif changed == "shares":
        words.data[::2] = 0.25
    elif changed == "groups":
        groups = np.arange(64) // 4
    elif changed == "unused vectors":  # what no token has cannot matter
        vectors[299] = 7
    again = fitted(tmp_path / "a")
    assert again.train_loss == fitted(tmp_path / "b").train_loss
    assert (again.train_loss == first.train_loss) == (changed in {"nothing", "unused vectors"})


class _Seen(WordSets):
    """Word sets that note which tokens an epoch is trained on and which are validated."""

    def __init__(self, *arguments, **settings):
        super().__init__(*arguments, **settings)
        self.trained, self.validated, self._training = set(), [], False

    def epoch(self, items, *arguments, **settings):
        self.trained |= set(items.tolist())
        self._training = True
        yield from super().epoch(items, *arguments, **settings)
        self._training = False

    def batch(self, items, *arguments, **settings):
        if not self._training:
            self.validated += items.tolist()
        return super().batch(items, *arguments, **settings)


def test_a_fit_holds_out_whole_groups_and_validates_every_held_out_token():
    """Traps: a split over tokens leaks ``dog`` through ``Dog``; a loader that drops the last batch may validate nothing."""
    words, vectors, rows = _task(64)
    groups = np.arange(64) // 4
    for batch_size in (5, 64):  # the last batch is short, or the only one
        sets = _Seen(words, np.arange(64))
        config = FitConfig(epochs=1, batch_size=batch_size, held_out=0.2)
        shape = NetworkConfig(network="deep-sets", layers=1, hidden=8, dropout=0.0)
        _, report = fit(FitData(sets, rows, groups, vectors), shape, config, seed=3)
        assert report.held_out == 12  # 3 of 16 groups
        assert sorted(sets.validated) == sorted(2 * list(set(range(64)) - sets.trained))  # in the epoch, and at the end
        assert not {groups[i] for i in sets.validated} & {groups[i] for i in sets.trained}


def test_prediction_samples_a_tokens_words_by_the_seed():
    """Trap: the first words of a token are always the same arbitrary ones."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(60, 5)).astype(np.float32)
    sets = WordSets(csr_matrix(np.ones((8, 60), dtype=np.float32)), np.arange(8), limit=3)
    config = FitConfig(epochs=0)
    model, _ = fit(
        FitData(sets, np.zeros((8, 4), np.float32), np.arange(8), vectors),
        NetworkConfig(network="deep-sets", layers=1, hidden=8, dropout=0.0),
        config,
        seed=0,
    )
    one, again, two = (predict(model, sets, vectors, config, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert not np.allclose(one, two)
    assert len(np.unique(one.round(5), axis=0)) == 8  # nor the same for all tokens


def test_early_stopping_keeps_the_best_epoch():
    words, vectors, rows = _task(64)
    noise = np.random.default_rng(9).normal(size=rows.shape).astype(np.float32)  # nothing to learn: held-out loss rises
    config = FitConfig(epochs=60, batch_size=16, learning_rate=2e-2, held_out=0.3, patience=3)
    _, report = fit(FitData(WordSets(words, np.arange(64)), noise, np.arange(64), vectors), SMALL, config, seed=0)
    assert len(report.validation_loss) < 60
    assert report.best_epoch == int(np.argmin(report.validation_loss)) + 1
    assert len(report.validation_loss) == report.best_epoch + 3


def test_a_diverging_fit_says_so():
    words, vectors, rows = _task(64)
    rows[0, 0] = np.nan
    with pytest.raises(HyperofaError, match="lower learning_rate"):
        fit(FitData(WordSets(words, np.arange(64)), rows, np.arange(64), vectors), SMALL, FitConfig(epochs=2), seed=0)


def test_groups_never_lie_on_both_sides():
    groups = np.random.default_rng(0).integers(0, 100, 500)
    train, held = split_groups(groups, 0.2, np.random.default_rng(1))
    assert len(train) + len(held) == 500
    assert not set(groups[train]) & set(groups[held])
    assert len(set(groups[held])) == 20
