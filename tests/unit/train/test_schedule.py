from __future__ import annotations

import pytest

from hyperofa.train.schedule import SCHEDULES, learning_rate


def rates(**settings):
    return [learning_rate(step, peak=1.0, steps=100, **settings) for step in range(101)]


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_warms_up_along_a_line_to_the_peak(schedule):
    found = rates(schedule=schedule, warmup_steps=9, decay_steps=20 if schedule == "wsd" else 0)
    assert found[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
    assert max(found) == 1.0
    assert found[0] > 0


def test_linear_and_cosine_fall_to_the_minimum_by_the_last_step():
    for schedule in ("linear", "cosine"):
        found = rates(schedule=schedule, minimum=0.1)
        assert found[0] == 1.0
        assert found[50] == pytest.approx(0.55)
        assert found[100] == pytest.approx(0.1)
        assert found == sorted(found, reverse=True)
    assert rates(schedule="cosine")[25] == pytest.approx(0.5 + 0.5 * 2**-0.5)


def test_wsd_is_flat_and_falls_at_the_end():
    found = rates(schedule="wsd", warmup_steps=10, decay_steps=20)
    assert set(found[10:81]) == {1.0}
    assert found[90] == pytest.approx(0.5)
    assert found[100] == 0.0


def test_constant_stays():
    assert set(rates(schedule="constant")) == {1.0}


def test_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match="longer than the run"):
        learning_rate(0, peak=1.0, steps=10, warmup_steps=6, decay_steps=5, schedule="wsd")
    with pytest.raises(ValueError, match="unknown schedule"):
        learning_rate(0, peak=1.0, steps=10, schedule="step")
