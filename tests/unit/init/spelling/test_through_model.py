"""The network learns by the loss of a model that uses its rows; the best of start and steps by held-out tokens stays."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import pytest
import torch

from hyperofa.errors import HyperofaError
from hyperofa.init.spelling.learner import Known, Learner, Scale
from hyperofa.init.spelling.settings import NetworkSettings
from hyperofa.init.spelling.spell import Spellings
from hyperofa.init.spelling.through_model import Learnable, ModelRows, learn_through, losses_of

V, N = 90, 60


class Model:
    """It wants every row shifted by ``shift`` from what the source has: something that the rows alone do not tell."""

    unit, beside = "error", 1.0

    def __init__(self, rows, shift, *, there=True, scored=False):
        self.scored = scored
        self.wanted, self.there, self.asked = rows + shift, there, []

    def begin(self, learned, held):
        self.learned, self.held = learned, held
        return self.there

    @contextmanager
    def at_work(self):
        yield

    def batch(self, step):
        rng = np.random.default_rng(step)
        return [rng.integers(0, V, 12) for _ in range(3)]

    def loss(self, lines, ids, rows):
        self.asked.append(ids)
        return 20 * (rows - torch.from_numpy(self.wanted[ids])).square().mean()

    def held_out(self, held, rows_of):
        ids = np.flatnonzero(held)
        return float(self.loss([], ids, rows_of(ids)).detach())


@pytest.fixture
def task():
    """90 source tokens, the last 60 of which are spelled by the others; every tenth of them is held out."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(V, 6)).astype(np.float32)
    pieces = [rng.integers(0, V - N, 2).tolist() for _ in range(N)]
    ids = np.arange(V - N, V)
    known = Known(Spellings.of(pieces), Spellings.of([[]] * N), np.zeros(N, dtype=np.float32))
    table = Spellings.of([[]] * (V - N) + pieces)
    return rows, Learnable(ids, known, rows[ids], table, np.arange(0, N, 10), V)


def learn(task, model, steps=30, **options):
    rows, learnable = task
    plain = {"hidden": 16, "layers": 1, "batch_size": 16, "bf16": False, "device": "cpu", "dropout": 0.0, "finer": 0.0}
    settings = NetworkSettings(**{**plain, "model_learning_rate": 1e-2, **options})
    learner = Learner(rows, [], settings, 0)
    scale = Scale(rows)
    scale.mean, scale.deviation = np.zeros(6, dtype=np.float32), 1.0
    to_rows = ModelRows(learner, scale, rows.mean(axis=0), None)
    return learner, to_rows, learn_through(learner, learnable, to_rows, model, steps, 0)


def test_what_the_model_wants_is_learned_for_held_out_tokens(task):
    _, _, record = learn(task, Model(task[0], 2.0))
    (_, start), *_, (last, end) = record["looks"]
    assert record["taken"] == last == 30
    assert end < 0.6 * start


def test_the_start_stays_where_nothing_is_better(task):
    rows, learnable = task
    model = Model(rows, 0.0)
    worse = iter((0.1, 0.2, 0.3))
    model.held_out = lambda held, rows_of: next(worse)
    fresh, _, _ = learn(task, Model(rows, 0.0), steps=0)
    learner, _, record = learn(task, model)
    assert record["taken"] == 0
    np.testing.assert_array_equal(learner.predict(learnable.known), fresh.predict(learnable.known))


def test_held_out_tokens_are_never_learned_from(task):
    model = Model(*task[:1], 1.0)
    model.held_out = lambda held, rows_of: 1.0
    learn(task, model)
    held = task[1].ids[task[1].held]
    assert set(np.flatnonzero(model.held)) == set(held)
    assert not np.isin(np.concatenate(model.asked), held).any()
    assert np.isin(np.concatenate(model.asked), task[1].ids).all()


def test_under_a_tied_head_some_tokens_that_the_lines_lack_have_predicted_rows_too(task):
    lacking = []
    for scored in (False, True):
        model = Model(*task[:1], 1.0, scored=scored)
        model.held_out = lambda held, rows_of: 1.0
        learn(task, model)
        seen = [np.concatenate(model.batch(step)) for step in range(30)]
        others = [np.setdiff1d(ids, batch) for ids, batch in zip(model.asked, seen, strict=True)]
        lacking.append(sum(map(len, others)) / sum(len(np.setdiff1d(task[1].ids, batch)) for batch in seen))
        assert all((np.diff(ids) > 0).all() for ids in model.asked)
    assert lacking[0] == 0
    assert 0.01 < lacking[1] < 0.1


def test_without_text_of_its_tokens_nothing_is_learned(task):
    fresh, _, _ = learn(task, Model(task[0], 0.0), steps=0)
    learner, _, record = learn(task, Model(task[0], 5.0, there=False))
    assert record is None
    np.testing.assert_array_equal(learner.predict(task[1].known), fresh.predict(task[1].known))


def test_two_runs_are_equal_whatever_was_drawn_before(task):
    first, _, _ = learn(task, Model(task[0], 1.0), dropout=0.2)
    torch.rand(7)
    again, _, _ = learn(task, Model(task[0], 1.0), dropout=0.2)
    np.testing.assert_array_equal(first.predict(task[1].known), again.predict(task[1].known))


def test_a_loss_that_is_no_number_is_one_error(task):
    with pytest.raises(HyperofaError, match=r"became nan in step 1.*lower model_learning_rate"):
        learn(task, Model(task[0] * np.nan, 0.0))


def test_rows_are_at_the_wanted_length(task):
    rows, learnable = task
    learner, to_rows, _ = learn(task, Model(rows, 0.0), steps=0)
    centre = rows.mean(axis=0)
    scale = Scale(rows)
    at = ModelRows(learner, scale, centre, 3.0)(learnable.known).detach().numpy()
    np.testing.assert_allclose(np.linalg.norm(at - centre, axis=1), 3.0, rtol=1e-5)
    free = ModelRows(learner, scale, centre, None)(learnable.known).detach().numpy()
    np.testing.assert_allclose(free, scale.leave(learner.predict(learnable.known)), atol=1e-5)
    assert to_rows.of(torch.ones(1, 6)).tolist() == [[1.0] * 6]


def test_each_prediction_has_its_loss(task):
    rows, learnable = task
    _, to_rows, _ = learn(task, model := Model(rows, 0.0), steps=0)
    model.begin(learnable.mask(held=False), held := learnable.mask(held=True))
    names = {
        "true": lambda known: rows[np.flatnonzero(held)],
        "wrong": lambda known: np.zeros((len(known), 6), np.float32),
    }
    found = losses_of(learnable, to_rows, model, names)
    assert found["true"] == 0 < found["wrong"]


def test_predictions_go_where_the_network_is(task):
    rows, learnable = task
    learner, _, _ = learn(task, model := Model(rows, 0.0), steps=0)
    learner.device = torch.device("meta")  # stands for a GPU: nothing of it may meet what is on the CPU
    to_rows, seen = ModelRows(learner, Scale(rows), rows.mean(axis=0), 3.0), []
    model.held_out = lambda held, rows_of: seen.append(rows_of(np.flatnonzero(held)).device.type) or 0.0
    losses_of(learnable, to_rows, model, {"pieces": lambda known: np.ones((len(known), 6), np.float32)})
    assert seen == ["meta"]
