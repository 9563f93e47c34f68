"""The numerical pieces against the plainest way."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix
from scipy.sparse import random as random_sparse

from hyperofa.base.rows import RowTable
from hyperofa.init.linalg import combine, nearest, softmax, sparse_times_vectors


@pytest.mark.parametrize(("keys", "k"), [(1, 1), (5, 10), (64, 3), (65, 10), (700, 10), (3000, 100)])
@pytest.mark.parametrize("shifted", [False, True])
def test_nearest_equals_sorting_all_scores(keys, k, shifted):
    """Group borders, fewer keys than asked for, several blocks of queries, and scores all below zero."""
    rng = np.random.default_rng(keys)
    queries, table = rng.normal(size=(37, 8)).astype(np.float32), rng.normal(size=(keys, 8)).astype(np.float32)
    offset = (rng.normal(size=keys) - 30).astype(np.float32) if shifted else None
    full = queries @ table.T + (offset if shifted else 0)
    wanted = np.argsort(-full, axis=1)[:, : min(k, keys)]
    indices, scores = nearest(queries, table, k, offset=offset, budget=1 << 15)
    expected = np.take_along_axis(full, wanted, axis=1)
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(np.take_along_axis(full, indices, axis=1), expected, rtol=1e-4, atol=1e-5)
    assert all(len(set(row)) == len(row) for row in indices.tolist())


def test_nearest_with_one_group_that_holds_all_the_best():
    table = np.zeros((1000, 2), dtype=np.float32)
    table[128:138, 0] = np.arange(10, 0, -1)
    indices, _ = nearest(np.array([[1.0, 0.0]], dtype=np.float32), table, 10)
    assert indices[0].tolist() == list(range(128, 138))


def test_sparse_products_read_only_what_is_used():
    words = random_sparse(20, 500, density=0.02, format="csr", dtype=np.float32, random_state=0)
    vectors = np.random.default_rng(0).normal(size=(500, 7)).astype(np.float16)
    unused = np.setdiff1d(np.arange(500), words.indices)
    spoiled = vectors.copy()
    spoiled[unused] = np.nan
    expected = words.toarray() @ vectors.astype(np.float32)
    np.testing.assert_allclose(sparse_times_vectors(words, spoiled), expected, atol=1e-4)


def test_sparse_times_a_table_of_rows_reads_few_at_a_time(monkeypatch):
    monkeypatch.setattr("hyperofa.init.linalg._ENTRIES", 9 * 4)
    rng = np.random.default_rng(0)
    rows = torch.from_numpy(rng.normal(size=(50, 4))).to(torch.bfloat16)
    weights = csr_matrix((rng.random((7, 50)) < 0.4) * rng.random((7, 50)).astype(np.float32))
    read: list[int] = []

    class Counted(RowTable):
        def __getitem__(self, index):
            read.append(len(index))
            return super().__getitem__(index)

    found = sparse_times_vectors(weights, Counted(rows))
    np.testing.assert_allclose(found, weights @ rows.float().numpy(), rtol=1e-5)
    assert max(read) == 9


def test_combine_is_the_weighted_sum():
    rng = np.random.default_rng(0)
    rows, picks = rng.normal(size=(30, 4)).astype(np.float32), rng.integers(0, 30, (6, 3))
    weights = softmax(rng.normal(size=(6, 3)), 0.3)
    expected = [sum(w * rows[i] for w, i in zip(ws, ps, strict=True)) for ws, ps in zip(weights, picks, strict=True)]
    np.testing.assert_allclose(combine(weights, picks, rows), expected, atol=1e-5)
