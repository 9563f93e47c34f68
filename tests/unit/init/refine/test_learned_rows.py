"""Rows that learn: what a row is, what its limit cuts, and what gets a gradient."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from hyperofa.init.refine.learned_rows import LearnedRows


def moved(start, share=1.0, **options):
    """Rows 7, 8 and 12 with random changes, what they should be, and tokens that they are looked up by."""
    rows = LearnedRows(start, np.array([0, 2, 7, 8, 12]), sparse=True, **options)
    torch.manual_seed(1)
    with torch.no_grad():
        rows.own[1:] = torch.randn(3, rows.own.shape[1])
        rows.shared.copy_(torch.randn(rows.shared.shape))
    rows.share = share
    expected = start.rows[:].copy()
    for place, token in enumerate((7, 8, 12)):
        vector = np.zeros(5) if token == 12 else start.predicted_vectors[list(start.predicted_ids).index(token)]
        expected[token] += (
            share * start.scale * (rows.own[place + 1].detach().numpy() + vector @ rows.shared.detach().numpy())
        )
    expected[20] += share * start.scale * (start.predicted_vectors[2] @ rows.shared.detach().numpy())
    return rows, expected


@pytest.mark.parametrize("share", [1.0, 0.35])
def test_rows_are_the_start_and_a_share_of_the_change(parts, share):
    rows, expected = moved(parts.start, share)
    ids = torch.tensor([[0, 7, 12], [8, 2, 8]])
    np.testing.assert_allclose(rows(ids).detach().numpy(), expected[ids.numpy()], atol=1e-6)
    np.testing.assert_allclose(rows.refined(parts.start)[:], expected, atol=1e-6)
    np.testing.assert_allclose(rows.learned().detach().numpy(), expected[[7, 8, 12]], atol=1e-6)


@pytest.mark.parametrize("factorised", [False, True])
def test_a_row_is_no_longer_than_its_limit(parts, factorised):
    primitives = np.random.default_rng(3).normal(size=(16, 24)).astype(np.float32) if factorised else None
    start = dataclasses.replace(parts.start, primitives=primitives, length=0.01)
    embedded = (lambda rows: rows @ primitives) if factorised else (lambda rows: rows)
    _, expected = moved(start)
    rows, _ = moved(start, longest=1.2)
    before, after = (np.linalg.norm(embedded(r), axis=1) for r in (start.rows[:], expected))
    cut = np.minimum(1, 1.2 * before / after)
    assert (cut[[7, 8, 12]] < 1).any()
    written = rows.refined(start)[:]
    for token in (7, 8, 12):
        np.testing.assert_allclose(written[token], cut[token] * expected[token], rtol=1e-4)
        looked_up = rows(torch.tensor([[token]])).detach().numpy()[0, 0]
        np.testing.assert_allclose(looked_up, embedded(written[token]), rtol=1e-3, atol=1e-6)
    np.testing.assert_array_equal(written[:5], start.rows[:5])


@pytest.mark.parametrize("longest", [None, 1.2])
def test_a_tied_head_scores_the_rows_that_are_looked_up(parts, longest):
    rows, _ = moved(dataclasses.replace(parts.start, length=0.01), longest=longest)
    looked_up = rows(torch.tensor([[7, 8, 12]]))[0]
    torch.testing.assert_close(rows.learned(), looked_up, atol=1e-6, rtol=1e-4)
    rows.learned().sum().backward()
    assert float(rows.shared.grad.abs().max()) > 0


def test_gradients_of_a_lookup_are_of_the_batch_alone(parts):
    rows = LearnedRows(parts.start, np.arange(20), sparse=True)
    rows(torch.tensor([[0, 7, 9]])).sum().backward()
    assert rows.own.grad.is_sparse
    assert set(rows.own.grad.coalesce().indices()[0].tolist()) == {
        3,
        5,
    }  # 7 and 9 are the third and fifth that may move
