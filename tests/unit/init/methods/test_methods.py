"""The methods in closed form against obvious references, one token at a time."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from hyperofa.init.method import make_settings, run_method
from hyperofa.init.methods.drawn import draw_like
from hyperofa.init.methods.focus import sparsemax
from hyperofa.init.methods.ridge import fit_ridge, rescale
from hyperofa.init.problem import subword_vectors
from hyperofa.init.registry import find_method


def solve(name, problem, **options):
    method = find_method(name)
    return run_method(method, dataclasses.replace(problem, settings=make_settings(method, options)))


def mean_vector(words, token, vectors):
    found = words[token].indices
    mean = vectors[found].mean(axis=0)
    return mean / np.linalg.norm(mean)


def reference_ofa(problem, neighbours=10, temperature=0.1):
    anchors = [s for s in range(len(problem.rows)) if problem.source_words[s].nnz]
    result = []
    for token in problem.predict_ids:
        query = mean_vector(problem.target_words, token, problem.vectors)
        cosines = [float(query @ mean_vector(problem.source_words, s, problem.vectors)) for s in anchors]
        best = sorted(range(len(anchors)), key=lambda i: -cosines[i])[:neighbours]
        weights = [np.exp(cosines[i] / temperature) for i in best]
        row = sum(w * problem.rows[anchors[i]] for w, i in zip(weights, best, strict=True)) / sum(weights)
        result.append(row)
    return np.array(result)


@pytest.mark.parametrize(("neighbours", "temperature"), [(10, 0.1), (1, 0.1), (3, 1.0), (1000, 0.1)])
def test_ofa_equals_the_per_token_loop(problem, neighbours, temperature):
    found = solve("ofa", problem, neighbours=neighbours, temperature=temperature)
    np.testing.assert_allclose(found, reference_ofa(problem, neighbours, temperature), atol=1e-5)


def test_subword_vectors_weigh_by_share_only_when_asked(problem):
    ids = problem.predict_ids
    plain = subword_vectors(problem.target_words, ids, problem.vectors)
    np.testing.assert_allclose(plain[0], mean_vector(problem.target_words, ids[0], problem.vectors), atol=1e-6)
    weighted = subword_vectors(problem.target_words, ids, problem.vectors, power=1.0)
    row = problem.target_words[ids[0]].toarray()[0] @ problem.vectors
    np.testing.assert_allclose(weighted[0], row / np.linalg.norm(row), atol=1e-6)


def test_ridge_equals_the_normal_equations(problem):
    x, y = problem.anchor_subwords.astype(np.float64), np.asarray(problem.anchor_rows, dtype=np.float64)
    weights, intercept = fit_ridge(problem.anchor_subwords, problem.anchor_rows, 0.3)
    xc, yc = x - x.mean(0), y - y.mean(0)
    expected = np.linalg.inv(xc.T @ xc + 0.3 * len(x) / x.shape[1] * np.eye(x.shape[1])) @ xc.T @ yc
    np.testing.assert_allclose(weights, expected, atol=1e-4)
    np.testing.assert_allclose(x.mean(0) @ weights + intercept, y.mean(0), atol=1e-4)


def test_ridge_is_the_same_for_any_number_of_columns_at_a_time(problem, monkeypatch):
    at_once = fit_ridge(problem.anchor_subwords, problem.anchor_rows, 0.3)
    monkeypatch.setattr("hyperofa.init.methods.ridge._COLUMNS", 4)
    in_parts = fit_ridge(problem.anchor_subwords, np.asarray(problem.anchor_rows), 0.3)
    for whole, part in zip(at_once, in_parts, strict=True):
        np.testing.assert_allclose(part, whole, rtol=1e-6)


def test_rescaled_rows_have_the_source_norm(problem):
    rows = np.random.default_rng(0).normal(size=(9, 6)).astype(np.float32)
    source = np.asarray(problem.rows)
    centre = source.mean(0)
    for origin in (None, centre):
        zero = 0 if origin is None else origin
        found = rescale(rows, source, origin)
        np.testing.assert_allclose(
            np.linalg.norm(found - zero, axis=1), np.linalg.norm(source - zero, axis=1).mean(), rtol=1e-5
        )


def test_sparsemax_is_the_projection_onto_the_simplex():
    scores = np.random.default_rng(0).normal(size=(20, 6))
    found = sparsemax(scores)
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-6)
    assert (found >= 0).all()
    for row, z in zip(
        found, scores, strict=True
    ):  # optimality: z_i - p_i is the same on the support, not larger off it
        on = row > 1e-9
        threshold = (z - row)[on]
        np.testing.assert_allclose(threshold, threshold[0], atol=1e-6)
        assert (z[~on] <= threshold[0] + 1e-6).all()


def test_drawn_rows_follow_each_dimension(problem):
    rows = np.random.default_rng(0).normal([5, -3, 0], [0.1, 2, 1], (4000, 3)).astype(np.float32)
    found = draw_like(rows, np.arange(20_000), np.random.default_rng(1))
    np.testing.assert_allclose(found.mean(0), rows.mean(0), atol=0.05)
    np.testing.assert_allclose(found.std(0), rows.std(0), rtol=0.03)


def test_rows_drawn_in_blocks_are_those_drawn_at_once(monkeypatch):
    rows = np.random.default_rng(0).normal(2, 3, (50, 4)).astype(np.float32)
    mean, deviation = rows.mean(axis=0, dtype=np.float64), rows.std(axis=0, dtype=np.float64)
    whole = np.random.default_rng(1).normal(mean, deviation, (23, 4)).astype(np.float32)
    monkeypatch.setattr("hyperofa.init.methods.drawn._ENTRIES", 7 * 4)
    for wanted in (np.arange(23), np.array([0, 6, 7, 13, 20, 22]), np.array([15]), np.array([], dtype=np.int64)):
        np.testing.assert_array_equal(draw_like(rows, wanted, np.random.default_rng(1)), whole[wanted])


def test_multivariate_at_scale_one_has_the_rows_covariance(problem):
    many = dataclasses.replace(problem, predict_ids=np.tile(problem.predict_ids, 1000))
    found = solve("multivariate", many, scale=1.0)
    np.testing.assert_allclose(np.cov(found.T), np.cov(np.asarray(problem.rows).T), atol=0.15)
    near_mean = solve("multivariate", many)
    np.testing.assert_allclose(near_mean, np.broadcast_to(problem.rows.mean(0), near_mean.shape), atol=1e-2)


@pytest.mark.parametrize("name", ["mean", "multivariate", "ofa", "focus", "wechsel", "ridge"])
def test_every_method_gives_the_same_rows_twice(problem, name):
    first, second = solve(name, problem), solve(name, problem)
    assert first.shape == (len(problem.predict_ids), 6)
    np.testing.assert_array_equal(first, second)


def test_random_leaves_the_rows_to_the_fallback(problem):
    assert solve("random", problem).shape == (0, 6)
