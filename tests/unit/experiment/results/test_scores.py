"""Intervals over seeds."""

from __future__ import annotations

import math
import random

import pytest

from hyperofa.experiment.results.scores import over_seeds


def test_one_seed_keeps_its_interval() -> None:
    assert over_seeds([20.0], [[18.0, 23.0]]) == {"mean": 20.0, "ci95": [18.0, 23.0], "seeds": 1}


def test_items_and_seeds_are_added_in_quadrature() -> None:
    found = over_seeds([10.0, 12.0, 14.0], [[9.0, 11.0], [11.0, 13.0], [13.0, 15.0]])
    assert found["mean"] == pytest.approx(12.0)
    half = math.hypot(1.0, 4.302652729911275 * 2 / math.sqrt(3))  # Student's t for two degrees of freedom
    assert found["ci95"] == pytest.approx([12 - half, 12 + half])


def test_the_interval_over_seeds_covers_the_mean_nineteen_times_in_twenty() -> None:
    draw, hits, trials = random.Random(0), 0, 2000
    for _ in range(trials):
        item = draw.gauss(0, 1.0)
        values = [item + draw.gauss(0, 0.7) for _ in range(3)]
        low, high = over_seeds(values, [[value - 1.96, value + 1.96] for value in values])["ci95"]
        hits += low <= 0 <= high
    assert 0.95 <= hits / trials <= 0.999
