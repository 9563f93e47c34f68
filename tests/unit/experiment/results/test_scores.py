"""Intervals over seeds, and scores on the way through training."""

from __future__ import annotations

import math
import random

import pytest

from hyperofa.experiment.results.scores import from_the_start, over_seeds
from hyperofa.report.tables import scores_by_step


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


def test_replayed_languages_have_their_own_rows_from_the_start() -> None:
    alike = {"metric": "bits_per_character", "n_languages": 2, "limit": None, "protocol": "default"}
    english, other = {"value": 1.52, "ci95": [1.5, 1.54]}, {"value": 1.6131, "ci95": [1.6, 1.62]}
    points = [{"step": 5, **alike, "mean": 2.5, "ci95": [2.4, 2.6], "beside": {"eng": other}}]
    row = {**english, "chance": None, "n": 9}
    before = {"lm": {**alike, "mean": 3.0, "ci95": [2.9, 3.1], "languages": {"eng": row, "kat": row}}}
    way = from_the_start({"scores": {"lm": points}}, before)
    assert way["scores"]["lm"][0]["beside"] == {"eng": english}
    table = scores_by_step({"ofa": way["scores"]["lm"], "random": [{"step": 5, **alike, "mean": 4.0}]})
    assert table.head == ["method", "step 0", "step 5"]
    assert table.rows == [["ofa", "3.000", "2.500"], ["ofa, eng", "1.520", "1.613"], ["random", "", "4.000"]]
