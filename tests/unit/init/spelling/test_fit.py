"""The network learns what a linear map cannot, sees the pieces' order, and goes on from where it was."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hyperofa.errors import HyperofaError, InputError
from hyperofa.init.spelling import fit as module
from hyperofa.init.spelling.fit import fit
from hyperofa.init.spelling.learner import Evidence, Known, Learner, cosines
from hyperofa.init.spelling.settings import NetworkSettings
from hyperofa.init.spelling.spell import Spellings

PLAIN = {"hidden": 16, "layers": 1, "batch_size": 64, "bf16": False, "device": "cpu", "dropout": 0.0, "finer": 0.0}


@pytest.fixture
def task():
    """60 source tokens of width 6, and 300 tokens of two or three pieces; a row depends on the first piece's sign."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(60, 6)).astype(np.float32)
    pieces = [rng.integers(0, 60, rng.integers(2, 4)).tolist() for _ in range(300)]
    wanted = np.array([np.abs(rows[p[0]]) - 0.8 - 0.2 * rows[p[-1]] for p in pieces], dtype=np.float32)
    return rows, Known(Spellings.of(pieces), Spellings.of([[]] * 300), np.zeros(300)), wanted, Spellings.of([[]] * 60)


def learn(task, *, epochs=6, checkpoint=None, **options):
    rows, known, wanted, table = task
    features = [one.features.shape[1] for one in known.evidence]
    learner = Learner(rows, features, NetworkSettings(**{**PLAIN, "learning_rate": 1e-2, **options}), 0)
    history, held = fit(learner, known, wanted, table, np.arange(300), epochs, seed=0, checkpoint=checkpoint)
    return learner, history, held


def test_it_learns_more_than_the_linear_map_it_begins_as(task):
    before, _, held = learn(task, epochs=0, held_out=15)
    learner, history, again = learn(task, epochs=30, held_out=15)
    np.testing.assert_array_equal(held, again)
    errors = [1 - cosines(one.predict(task[1].chosen(held)), task[2][held]).mean() for one in (before, learner)]
    assert errors[1] < 0.8 * errors[0]
    assert errors[1] == pytest.approx(min(history["validation"]), abs=1e-5)


@pytest.mark.parametrize("penalty", [1e-6, 1e6])
def test_before_it_learns_it_is_regression_drawn_to_the_mean_of_pieces(task, penalty):
    learner, _, _ = learn(task, epochs=0, held_out=0, ridge_penalty=penalty)
    rows, known, wanted, _ = task
    means = np.array([rows[known.spelled.of_token(i)].mean(axis=0) for i in range(300)])
    x = np.concatenate([learner.vectors(known), np.ones((300, 1))], axis=1)
    least_squares = x @ (np.linalg.pinv(x) @ wanted)
    expected = least_squares if penalty < 1 else means + (wanted - means).mean(axis=0)
    np.testing.assert_allclose(learner.predict(known), expected, atol=1e-3)


def test_a_row_does_not_depend_on_the_batch(task):
    learner, _, _ = learn(task, epochs=2)
    whole = learner.predict(task[1])
    np.testing.assert_allclose(learner.predict(task[1].chosen(np.array([7, 3]))), whole[[7, 3]], atol=1e-5)


def test_the_order_of_pieces_counts(task):
    learner, _, _ = learn(task, epochs=2)
    found = learner.predict(Known(Spellings.of([[1, 2, 3], [2, 1, 3]]), Spellings.of([[], []]), np.zeros(2)))
    assert np.abs(found[0] - found[1]).max() > 1e-3


def test_an_interrupted_fit_ends_where_an_undisturbed_one_does(task, tmp_path, monkeypatch):
    whole, _, _ = learn(task, epochs=4)
    keep, saves = module.save_fit, []

    def stopped(*given):
        keep(*given)
        saves.append(given)
        if len(saves) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(module, "save_fit", stopped)
    with pytest.raises(KeyboardInterrupt):
        learn(task, epochs=4, checkpoint=tmp_path)
    monkeypatch.setattr(module, "save_fit", keep)
    again, history, _ = learn(task, epochs=4, checkpoint=tmp_path)
    assert len(history["train"]) == 4
    for name, value in whole.network.state_dict().items():
        torch.testing.assert_close(again.network.state_dict()[name], value, rtol=0, atol=0)


def test_evidence_is_used_where_it_is(task):
    rows, known, wanted, table = task
    rng = np.random.default_rng(1)
    there = rng.random(300) < 0.7
    hint = np.where(there[:, None], rng.normal(size=(300, 3)), 0).astype(np.float32)
    told = wanted + np.pad(2 * hint, ((0, 0), (0, 3)))
    known = Known(known.spelled, known.inside, known.order, [Evidence("hint", hint, there)])
    learner, _, _ = learn((rows, known, told, table))
    without = Known(known.spelled, known.inside, known.order, [Evidence("hint", hint, np.zeros(300, dtype=bool))])
    errors = [np.square(learner.predict(one) - told).sum(axis=1)[there].mean() for one in (known, without)]
    assert errors[0] < 0.5 * errors[1]
    np.testing.assert_allclose(learner.predict(without)[~there], learner.predict(known)[~there], atol=1e-5)


def test_a_loss_that_is_no_number_is_one_line(task):
    with pytest.raises(HyperofaError, match="lower learning_rate"):
        learn(task, learning_rate=1e30)


def test_an_unknown_device_is_refused():
    with pytest.raises(InputError, match="device"):
        NetworkSettings(device="gpu9")
