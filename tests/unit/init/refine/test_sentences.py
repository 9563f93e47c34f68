"""Which sentences a batch holds."""

from __future__ import annotations

import numpy as np
import pytest

from hyperofa.init.refine.sentences import Draws, rare_first


def test_draws_are_functions_of_seed_and_step_and_even_out_languages():
    groups = np.repeat([0, 1], [900, 100])
    lengths = np.random.default_rng(0).integers(3, 50, 1000)
    one, two = (Draws(groups, lengths, np.ones(1000), 16, 5, smoothing=0.5) for _ in range(2))
    batches = [one.batch(step) for step in range(64)]
    np.testing.assert_array_equal(two.batch(40), batches[40])
    share = (groups[np.concatenate(batches)] == 1).mean()
    assert share == pytest.approx(0.25, abs=0.05)  # sqrt(100) / (sqrt(100) + sqrt(900))
    assert np.mean([np.ptp(lengths[batch]) for batch in batches]) < 12  # of 47


def test_a_sentence_is_drawn_by_its_weight():
    groups, weights = np.array([1, 0, 1, 0]), np.array([3.0, 1.0, 1.0, 4.0])
    draws = Draws(groups, np.ones(4), weights, 32, 0, smoothing=1.0)
    drawn = np.bincount(np.concatenate([draws.batch(step) for step in range(64)]), minlength=4) / (64 * 32)
    np.testing.assert_allclose(drawn, weights / weights.sum(), atol=0.03)


def test_rare_new_tokens_are_drawn_first():
    rows = [np.array([1, 5, 5]), np.array([1, 5]), np.array([6, 1]), np.array([1, 2])]
    learning = np.arange(8) >= 5
    np.testing.assert_allclose(rare_first(rows, learning, 1.0), [1 / 2, 1 / 2, 1, 1 / 4])
    np.testing.assert_allclose(rare_first(rows, learning, 0.5), [2**-0.5, 2**-0.5, 1, 1 / 2])
