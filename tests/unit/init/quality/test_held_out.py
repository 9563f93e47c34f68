"""A method tried on source tokens as if they were new."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from hyperofa.init.method import Method, make_settings
from hyperofa.init.quality.held_out import held_out_check
from hyperofa.init.registry import find_method


def asked(problem, name):
    method = find_method(name)
    return method, dataclasses.replace(problem, settings=make_settings(method, {}))


def test_a_method_that_knows_the_rows_is_first_and_one_that_knows_nothing_is_at_chance(problem):
    oracle = Method("oracle", "", lambda p: 0.5 * (problem.rows[p.predict_ids] - centre) + centre)
    centre = problem.anchor_rows.mean(axis=0)
    check = held_out_check(oracle, problem, 1000)
    assert (check["rank"], check["top1"], check["cosine"]) == (1.0, 1.0, 1.0)
    assert check["norm"] == pytest.approx(0.5, abs=1e-3)
    assert check["among"] == len(problem.anchor_ids)
    noise = Method("noise", "", lambda p: p.rng(9).normal(size=(len(p.predict_ids), 6)))
    ranks = [held_out_check(noise, dataclasses.replace(problem, seed=s), 1000)["rank"] for s in range(30)]
    assert np.mean(ranks) == pytest.approx(len(problem.anchor_ids) / 2, rel=0.25)


def test_the_held_out_tokens_and_their_other_cases_are_not_seen(problem):
    """Trap: a random split over tokens leaks ``dog`` through ``Dog``."""
    seen = []

    def spy(smaller):
        seen.append(smaller)
        return np.zeros((len(smaller.predict_ids), 6))

    held_out_check(Method("spy", "", spy), problem, 1000)
    (smaller,) = seen
    held = set(problem.source_groups[smaller.predict_ids].tolist())
    assert held
    assert not held & set(problem.source_groups[smaller.anchor_ids].tolist())
    assert (smaller.source_ids[smaller.predict_ids] == -1).all()
    assert problem.source_words.nnz > smaller.source_words.nnz  # and the problem itself is as it was


@pytest.mark.parametrize("name", ["ofa", "ridge", "focus", "wechsel", "mean", "multivariate"])
def test_every_method_that_needs_no_text_can_be_checked(problem, name):
    check = held_out_check(*asked(problem, name), 1000)
    assert 1 <= check["rank"] <= check["among"]
    assert held_out_check(*asked(problem, name), 0) is None


def test_what_cannot_be_checked_is_not(problem):
    assert held_out_check(*asked(problem, "subword-mean"), 1000) is None
    assert held_out_check(*asked(problem, "random"), 1000) is None
