"""What the network is told of a token, against a loop over tokens; standard rows; hidden pieces."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hyperofa.base.rows import RowTable
from hyperofa.init.spelling import learner as module
from hyperofa.init.spelling.learner import (
    Evidence,
    Known,
    Learner,
    Scale,
    StandardRows,
    finer_like,
    hidden_at_random,
    mean_of_pieces,
    order_of,
    ridge,
)
from hyperofa.init.spelling.settings import NetworkSettings
from hyperofa.init.spelling.spell import Spellings

SMALL = NetworkSettings(hidden=4, layers=1, device="cpu", bf16=False)


@pytest.fixture
def rows():
    return np.random.default_rng(0).normal(size=(9, 5)).astype(np.float32)


def test_vectors_hold_mean_first_last_inside_and_evidence(rows):
    hint = np.array([[1, 2], [3, 4], [5, 6]], dtype=np.float32)
    told = Evidence("hint", hint, np.array([True, False, True]))
    known = Known(Spellings.of([[1, 2, 3], [4], []]), Spellings.of([[5, 6], [], []]), np.array([0.5, 0, 1]), [told])
    found = Learner(rows, [2], SMALL, 0).vectors(known)
    none = np.zeros(5)
    for i, (pieces, inside, evidence) in enumerate(
        [([1, 2, 3], [5, 6], [1, 2, 1]), ([4], [], [0, 0, 0]), ([], [], [5, 6, 1])]
    ):
        ends = [rows[pieces].mean(0), rows[pieces[0]], rows[pieces[-1]]] if pieces else [none, none, none]
        within = rows[inside].mean(0) if inside else none
        expected = [*ends, within, [bool(pieces)], [np.log2(max(len(pieces), 1))], [known.order[i]], evidence]
        np.testing.assert_allclose(found[i], np.concatenate(expected), atol=1e-6)


def test_wide_rows_are_seen_in_their_main_directions(rows, monkeypatch):
    monkeypatch.setattr(module, "MOST_COLUMNS", 2)
    flat = rows[:, :2] @ np.random.default_rng(1).normal(size=(2, 5)).astype(np.float32)
    seen = Learner(flat, [], SMALL, 0).seen
    assert seen.shape == (9, 2)
    np.testing.assert_allclose(seen @ seen.T, flat @ flat.T, atol=1e-3)  # nothing of two dimensions is lost


@pytest.mark.parametrize("most", [2, 5])
def test_stored_rows_are_read_as_the_array_that_they_stand_for(rows, monkeypatch, most):
    monkeypatch.setattr(module, "MOST_COLUMNS", most)
    monkeypatch.setattr(module, "_BLOCK", 4)
    table = RowTable(torch.from_numpy(rows).to(torch.bfloat16))
    scale = Scale(table)
    whole, lazy = scale.enter(table[:]), StandardRows(table, scale)
    assert scale.deviation == pytest.approx(np.square(table[:] - table[:].mean(axis=0)).mean() ** 0.5, rel=1e-6)
    assert np.square(whole).mean() == pytest.approx(1, abs=1e-5)
    learner, other = Learner(lazy, [], SMALL, 0), Learner(whole, [], SMALL, 0)
    np.testing.assert_array_equal(learner.seen, other.seen)
    assert isinstance(learner.rows, np.ndarray) == (most == 5)
    spelled = Spellings.of([[1, 2, 3], [4], [], [8, 8]])
    np.testing.assert_allclose(mean_of_pieces(learner.rows, spelled), mean_of_pieces(whole, spelled), atol=1e-6)
    ids = np.array([7, 0, 3])
    np.testing.assert_array_equal(lazy.take(ids)[1:], whole[[0, 3]])


def test_ridge_is_the_same_for_any_number_of_columns_at_a_time(rows, monkeypatch):
    at_once = ridge(rows[:, :2], rows, 1.0)
    monkeypatch.setattr(module, "_COLUMNS", 2)
    for whole, part in zip(at_once, ridge(rows[:, :2], rows, 1.0), strict=True):
        np.testing.assert_allclose(part, whole, rtol=1e-5, atol=1e-6)


def test_ridge_is_the_normal_equations(rows):
    wanted = np.random.default_rng(2).normal(size=(9, 3)).astype(np.float32)
    weights, intercept = ridge(rows, wanted, 2.0)
    x, y = rows - rows.mean(0), wanted - wanted.mean(0)
    penalty = 2.0 * np.diag(x.T @ x).mean() / 9 * 5
    np.testing.assert_allclose(weights, np.linalg.solve(x.T @ x + penalty * np.eye(5), x.T @ y), atol=1e-4)
    np.testing.assert_allclose(rows.mean(0) @ weights + intercept, wanted.mean(0), atol=1e-5)


def test_order_grows_and_is_standard():
    found = order_of(100)
    assert (np.diff(found) > 0).all()
    assert found.mean() == pytest.approx(0, abs=1e-5)
    assert found.std() == pytest.approx(1, abs=1e-5)


def test_pieces_are_hidden_until_tokens_have_as_many_as_new_ones():
    rng = np.random.default_rng(0)
    table = Spellings.of([[]] * 50 + [rng.integers(50, 1050, 2).tolist() for _ in range(1000)])
    share = finer_like(table, Spellings.of([[0, 1, 2]] * 3 + [[0, 1]] * 7 + [[]]))
    assert share == pytest.approx(0.15)
    assert finer_like(table, Spellings.of([[0]])) == 0
    assert finer_like(table, Spellings.of([[0] * 9])) == 0.5
    own = table.chosen(np.arange(50, 1050))
    found = own.finer(rng.random(len(own.pieces)) < share, table)
    assert found.counts.mean() == pytest.approx(2.3, abs=0.05)


def test_standard_rows_come_back(rows):
    scale = Scale(rows * 3 + 2)
    assert np.square(scale.enter(rows * 3 + 2)).mean() == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(scale.leave(scale.enter(rows)), rows, atol=1e-5)


def test_hidden_pieces_are_spelled_and_nothing_as_long_stays_inside():
    # Tokens 0-3 are letters; 4 = 01, 5 = 23, 6 = 12, 7 = 012.
    spelled = [[], [], [], [], [0, 1], [2, 3], [1, 2], [4, 2]]
    table = Spellings(Spellings.of(spelled).starts, Spellings.of(spelled).pieces, np.array([1, 1, 1, 1, 2, 2, 2, 3]))
    known = Known(Spellings.of([[4, 5]] * 400), Spellings.of([[7, 5]] * 400), np.zeros(400))
    settings = NetworkSettings(finer=0.5)
    found = hidden_at_random(known, table, settings, np.random.default_rng(0))
    seen = {(tuple(found.spelled.of_token(i)), tuple(found.inside.of_token(i))) for i in range(400)}
    cut = (4, 2, 2, 3)  # 7 and 5 are as long as a hidden piece: what spells them stands in their place
    assert seen == {((4, 5), (7, 5)), ((0, 1, 5), cut), ((4, 2, 3), cut), ((0, 1, 2, 3), cut)}
