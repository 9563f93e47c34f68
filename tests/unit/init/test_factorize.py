"""The factorisation against numpy's full SVD."""

from __future__ import annotations

import numpy as np
import pytest

from hyperofa.errors import InputError
from hyperofa.init.factorize import factorize


@pytest.fixture
def embeddings():
    rng = np.random.default_rng(0)
    return (rng.normal(size=(300, 24)) * np.geomspace(3, 0.05, 24) + 0.3).astype(np.float32)


@pytest.mark.parametrize("algorithm", ["gram", "randomized", "svd"])
@pytest.mark.parametrize("split", [0.0, 0.5, 1.0])
def test_product_is_the_best_approximation_of_its_rank(embeddings, algorithm, split):
    u, s, vt = np.linalg.svd(embeddings.astype(np.float64), full_matrices=False)
    best = u[:, :8] * s[:8] @ vt[:8]
    found = factorize(embeddings, rank=8, scale_split=split, algorithm=algorithm)
    assert found.coordinates.shape == (300, 8)
    np.testing.assert_allclose(found.coordinates @ found.primitives, best, atol=2e-4)
    assert found.energy == pytest.approx((s[:8] ** 2).sum() / (s**2).sum(), rel=1e-5)


def test_split_says_where_the_scale_lies(embeddings):
    s = np.linalg.svd(embeddings, compute_uv=False)[:8]
    all_in_f = factorize(embeddings, rank=8, scale_split=1.0)
    np.testing.assert_allclose(np.linalg.norm(all_in_f.coordinates, axis=0), s, rtol=1e-3)
    np.testing.assert_allclose(all_in_f.primitives @ all_in_f.primitives.T, np.eye(8), atol=1e-4)
    all_in_p = factorize(embeddings, rank=8, scale_split=0.0)
    np.testing.assert_allclose(np.linalg.norm(all_in_p.coordinates, axis=0), 1, rtol=1e-3)
    np.testing.assert_allclose(np.linalg.norm(all_in_p.primitives, axis=1), s, rtol=1e-3)


def test_energy_keeps_the_fewest_columns_that_reach_it(embeddings):
    s = np.linalg.svd(embeddings, compute_uv=False).astype(np.float64)
    kept = np.cumsum(s**2) / (s**2).sum()
    found = factorize(embeddings, energy=0.95)
    assert found.energy >= 0.95
    assert found.rank == int((kept < 0.95).sum()) + 1


def test_no_rank_or_a_full_one_leaves_the_matrix_alone(embeddings):
    for rank in (None, 24, 100):
        found = factorize(embeddings, rank=rank)
        assert found.primitives is None
        np.testing.assert_array_equal(found.coordinates, embeddings)


def test_a_matrix_of_lower_rank_than_asked_gives_finite_factors():
    rng = np.random.default_rng(1)
    thin = (rng.normal(size=(50, 3)) @ rng.normal(size=(3, 10))).astype(np.float32)
    for split in (0.0, 1.0):
        found = factorize(thin, rank=6, scale_split=split)
        assert np.isfinite(found.coordinates).all()
        assert np.isfinite(found.primitives).all()
        np.testing.assert_allclose(found.coordinates @ found.primitives, thin, atol=1e-3)


def test_nan_is_refused(embeddings):
    embeddings[3, 4] = np.nan
    with pytest.raises(InputError, match="NaN"):
        factorize(embeddings, rank=3)


@pytest.mark.parametrize("algorithm", ["gram", "randomized", "svd"])
@pytest.mark.parametrize("split", [0.0, 0.5, 1.0])
def test_a_matrix_of_lower_rank_gives_bounded_factors(algorithm, split):
    """What is left beyond its rank is rounding: divided by its own size it would be anything."""
    rng = np.random.default_rng(0)
    flat = (rng.normal(size=(200, 10)) @ rng.normal(size=(10, 48))).astype(np.float32)
    found = factorize(flat, rank=30, scale_split=split, algorithm=algorithm)
    np.testing.assert_allclose(found.embed(found.coordinates), flat, atol=1e-3)
    assert np.abs(found.coordinates[:, :10]).max() < 100
    assert np.abs(found.coordinates[:, 10:]).max() < 2
    empty = factorize(np.zeros((30, 8), np.float32), rank=4, scale_split=split, algorithm=algorithm)
    assert not empty.embed(empty.coordinates).any()


@pytest.mark.parametrize("algorithm", ["gram", "randomized", "svd"])
def test_a_rank_between_the_rows_and_their_width_is_refused(algorithm):
    few = np.random.default_rng(0).normal(size=(19, 48)).astype(np.float32)
    with pytest.raises(InputError, match="rank 30 is above the number of source tokens, 19"):
        factorize(few, rank=30, algorithm=algorithm)
    np.testing.assert_allclose(
        (found := factorize(few, rank=19, algorithm=algorithm)).embed(found.coordinates), few, atol=1e-4
    )
    assert factorize(few, rank=48, algorithm=algorithm).primitives is None
