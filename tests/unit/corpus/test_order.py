"""Permutations, quotas and draws: complete, without repeats, and independent of how they are asked for."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperofa.corpus.order import Order, ReplayOrder, order_of, permute, quotas, stream_key


@given(size=st.integers(1, 700), key=st.integers(0, 2**63 - 1))
def test_a_permutation_is_one(size, key):
    assert sorted(permute(np.arange(size), size, key)) == list(range(size))


def test_a_permutation_is_computed_element_by_element():
    size = 10**12 + 39
    index = np.array([0, 5, size - 1])
    together = permute(index, size, 7)
    assert [int(permute(np.array([i]), size, 7)[0]) for i in index] == together.tolist()
    assert len(set(together.tolist())) == 3


def test_permutations_look_random():
    size = 4096
    image = permute(np.arange(size), size, stream_key("look"))
    assert abs(np.corrcoef(np.arange(size), image)[0, 1]) < 0.05
    assert abs(np.corrcoef(image, permute(np.arange(size), size, stream_key("other")))[0, 1]) < 0.05
    # Neighbours part: a random permutation keeps |image[i + 1] - image[i]| near size / 3.
    assert np.abs(np.diff(image)).mean() == pytest.approx(size / 3, rel=0.05)


def test_an_index_outside_is_refused():
    with pytest.raises(ValueError, match=r"outside range\(4\)"):
        permute(np.array([4]), 4, 0)


def test_keys_depend_on_every_part():
    keys = [stream_key(*parts) for parts in [(1, 2), (2, 1), (12,), (1, "2"), ("1", 2), (0, 1, 2)]]
    assert len(set(keys)) == len(keys)
    assert stream_key(1, "mask", 2) == 2_570_189_285_347_550_912  # the same on every machine and in every version


@given(
    counts=st.lists(st.integers(1, 10_000), min_size=1, max_size=12),
    temperature=st.floats(0.5, 20.0),
)
def test_quotas_fill_the_epoch(counts, temperature):
    found = quotas(counts, None, temperature)
    assert found.sum() == sum(counts)
    assert (found >= 1).all()


def test_natural_quotas_are_the_counts():
    assert quotas([7, 1, 30]).tolist() == [7, 1, 30]


def test_temperature_lifts_small_languages_and_weights_scale():
    assert quotas([900, 100], None, 1e9).tolist() == [500, 500]
    assert quotas([500, 500], [3.0, 1.0]).tolist() == [750, 250]
    assert quotas([500, 500], [1.0, 0.0]).tolist() == [1000, 0]


def test_no_weight_and_no_power_is_too_large():
    assert quotas([500, 500], [1.5e308, 0.5e308]).tolist() == [750, 250]
    assert quotas([10**9, 3], None, 1e-3).tolist() == [10**9 + 2, 1]
    assert quotas([100, 100], [1e308, 1e-308]).tolist() == [199, 1]


@pytest.mark.parametrize(
    ("weights", "temperature"),
    [
        ([-1.0, 1.0], 1.0),
        ([0.0, 0.0], 1.0),
        ([math.inf, 1.0], 1.0),
        ([math.nan, 1.0], 1.0),
        ([1.0, 1.0], 0.0),
        ([1.0, 1.0], math.nan),
        ([1.0, 1.0], math.inf),
    ],
)
def test_senseless_sampling_is_refused(weights, temperature):
    with pytest.raises(ValueError, match=r"positive|finite"):
        quotas([5, 5], weights, temperature)


def test_an_epoch_draws_every_sequence_once():
    order = Order([7, 1, 30], seed=3)
    for epoch in range(3):
        samples, visits = order.draw(epoch * 38 + np.arange(38))
        assert sorted(samples.tolist()) == list(range(38))
        assert (visits == epoch).all()
    first, second = order.draw(np.arange(38))[0], order.draw(38 + np.arange(38))[0]
    assert first.tolist() != second.tolist()


def test_a_lifted_language_sees_all_its_sequences_before_any_again():
    order = Order([90, 10], seed=0, temperature=1e9)
    samples, visits = order.draw(np.arange(100))
    small = samples >= 90
    assert small.sum() == 50
    for visit in range(5):
        assert sorted(samples[small & (visits == visit)].tolist()) == list(range(90, 100))


@settings(max_examples=40)
@given(seed=st.integers(0, 2**31), cuts=st.lists(st.integers(0, 120), max_size=5))
def test_draws_do_not_depend_on_how_they_are_split(seed, cuts):
    order = Order([20, 5, 9], seed, [1.0, 2.0, 0.5], 2.0)
    whole = order.draw(np.arange(120))
    edges = [0, *sorted(cuts), 120]
    parts = [order.draw(np.arange(a, b)) for a, b in pairwise(edges)]
    for i in range(2):
        assert np.concatenate([part[i] for part in parts]).tolist() == whole[i].tolist()


def test_seeds_give_other_orders():
    orders = {tuple(Order([50], seed).draw(np.arange(50))[0].tolist()) for seed in range(5)}
    assert len(orders) == 5


COUNTS, TOKENS = [40, 7, 300], [4000, 350, 24000]  # 100, 50 and 80 tokens a sequence


def replayed(replay, seed=5, weights=(1.0, 1.0, 1.0), temperature=1.0):
    return ReplayOrder(COUNTS, seed, weights, temperature, replay=replay, tokens=TOKENS)


def language_of(samples):
    return np.searchsorted(np.cumsum(COUNTS), samples, side="right")


@pytest.mark.parametrize("replay", [(0.0, 0.0, 0.2), (0.35, 0.0, 0.0), (0.0, 0.05, 0.1)])
def test_replayed_languages_make_up_their_share_of_the_tokens(replay):
    order = replayed(replay)
    languages = language_of(order.draw(np.arange(40_000))[0])
    drawn = np.bincount(languages, minlength=3) * np.array(TOKENS) / np.array(COUNTS)
    for share, wanted in zip(drawn / drawn.sum(), replay, strict=True):
        assert not wanted or share == pytest.approx(wanted, abs=2e-3)
    assert order.shares == pytest.approx(np.bincount(languages, minlength=3) / 40_000, abs=2e-3)


def test_every_stretch_of_draws_has_the_share_to_within_one_sequence():
    order = replayed((0.0, 0.0, 0.2))
    hits = np.cumsum(language_of(order.draw(np.arange(5_000))[0]) == 2)
    exact = order.shares[2] * np.arange(1, 5_001)
    assert (np.abs(hits - exact) <= 1).all()


def test_what_is_replayed_leaves_the_other_languages_order_alone():
    samples, visits = replayed((0.0, 0.0, 0.2)).draw(np.arange(200))
    others = samples < 47
    alone = Order(COUNTS[:2], 5, [1.0, 1.0]).draw(np.arange(others.sum()))
    assert samples[others].tolist() == alone[0].tolist()
    assert visits[others].tolist() == alone[1].tolist()
    middle = replayed((0.0, 0.3, 0.0)).draw(np.arange(200))[0]
    alone = Order([40, 300], 5, [1.0, 1.0]).draw(np.arange(200))[0]
    kept = middle[language_of(middle) != 1]
    assert kept.tolist() == np.where(alone < 40, alone, alone + 7)[: len(kept)].tolist()


def test_a_replayed_language_sees_all_its_sequences_before_any_again():
    samples, visits = replayed((0.5, 0.0, 0.0)).draw(np.arange(400))
    for visit in range(3):
        assert sorted(samples[(samples < 40) & (visits == visit)].tolist()) == list(range(40))


@settings(max_examples=30)
@given(seed=st.integers(0, 2**31), start=st.integers(0, 2**38), cut=st.integers(0, 64))
def test_replayed_draws_are_a_function_of_the_position_alone(seed, start, cut):
    order = replayed((0.0, 0.1, 0.15), seed)
    whole = order.draw(start + np.arange(64))
    for i in range(2):
        parts = [order.draw(start + np.arange(a, b))[i] for a, b in ((0, cut), (cut, 64))]
        assert np.concatenate(parts).tolist() == whole[i].tolist()


@pytest.mark.parametrize(
    ("replay", "said"),
    [
        ((0.5, 0.0, 0.5), "sum to less than 1"),
        ((0.2, 0.2, 0.2), "every language is replayed"),
        ((-0.1, 0.0, 0.0), "must be positive"),
        ((float("nan"), 0.0, 0.0), "must be positive"),
        ((0.1, 0.0), "2 languages, but 3"),
    ],
)
def test_senseless_replay_is_refused(replay, said):
    with pytest.raises(ValueError, match=said):
        replayed(replay)


def test_without_replay_the_order_is_the_plain_one():
    sampling = {"weights": [1.0, 1.0, 1.0], "temperature": 1.0, "replay": [0.0, 0.0, 0.0]}
    assert isinstance(order_of(COUNTS, TOKENS, sampling, 0), Order)
