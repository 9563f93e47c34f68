"""Steps saved at equal loss, with their intervals."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from hyperofa.experiment.results.savings import first_at_most, level, saved, steps_to, window_of


def curve(rate: float, steps: int = 1000) -> list[tuple[int, float]]:
    return [(step, 2 + 6 * math.exp(-rate * step)) for step in range(1, steps + 1)]


def cell(method: str, loss: list[tuple[int, float]], seconds: float = 3600.0) -> dict[str, Any]:
    way = {"seconds": seconds, "scores": {}, "tokens_per_second": None}
    return {"source": "s", "rank": 100, "method": method, "seed": 0, "loss": loss, "way": way}


def test_twice_as_fast_saves_half_the_steps() -> None:
    (row,) = saved([cell("random", curve(0.002)), cell("ours", curve(0.004), seconds=7200)], "random")
    assert row["window"] == window_of(1000) == 201
    assert row["steps"] == pytest.approx(500, abs=15)
    assert row["share"] == pytest.approx(0.5, abs=0.02)
    assert row["hours"] == pytest.approx(1.0, abs=0.05)
    assert row["of_hours"] == pytest.approx(1.0)
    assert row["ci95"] == pytest.approx([row["steps"]] * 2, abs=15)  # nothing is left over but the curves' bend


def test_a_loss_that_is_never_reached_is_said_to_be() -> None:
    (row,) = saved([cell("random", curve(0.004)), cell("ours", curve(0.001))], "random")
    assert row["steps"] is None
    assert row["ci95"] == [None, None]
    assert row["share"] is None
    assert row["final_loss"] > row["loss"]
    assert saved([cell("random", curve(0.004)), cell("ours", [])], "random") == []


def test_steps_that_one_run_skipped_are_left_out_of_both() -> None:
    theirs, own = curve(0.002), [point for point in curve(0.004) if point[0] % 7]
    (row,) = saved([cell("random", theirs), cell("ours", own)], "random")
    assert row["steps"] == pytest.approx(500, abs=15)
    assert row["of_steps"] == 1000
    assert saved([cell("random", theirs), cell("ours", own[:8])], "random") == []  # too few to draw a line through


def test_a_single_low_step_is_not_a_loss_that_was_reached() -> None:
    baseline, own = np.linspace(9, 7, 100), np.linspace(10, 9, 100)
    own[3] = 0.5
    assert steps_to(baseline, own)[0] == np.inf


def test_the_level_of_a_line_is_the_line() -> None:
    line = np.linspace(9, 7, 100)
    assert level(line) == pytest.approx(line)
    assert first_at_most(np.stack([line, line]), np.array([8.0, 6.0])).tolist() == [50, np.inf]


def test_the_interval_of_the_steps_covers_the_true_step() -> None:
    """Batches' own difficulty is common to both runs and large, what else differs is small: as in real runs."""
    draw, step = np.random.default_rng(0), np.arange(1, 301)
    baseline, own = 7.3 + 1.3 * np.exp(-step / 120), 7.25 + 1.35 * np.exp(-step / 100)
    true = int((own <= baseline[-1]).argmax())
    hits, found = 0, []
    for _ in range(200):
        batch = draw.normal(0, 0.2, 300)
        at, low, high = steps_to(*(each + batch + draw.normal(0, 0.035, 300) for each in (baseline, own)))
        hits += low <= true <= high
        found.append(at)
    assert 0.9 <= hits / 200 <= 0.995
    assert np.median(found) == pytest.approx(true, abs=10)
