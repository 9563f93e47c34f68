"""Scores, their bootstrap, and the mean over languages."""

from __future__ import annotations

import numpy as np
import pytest

from hyperofa_eval.base.errors import InputError
from hyperofa_eval.results.summary import summarise_task
from hyperofa_eval.scoring.statistics import Items, draws_of, hits, interval, over_seeds, pack, unpack


def test_the_interval_has_the_width_of_sampling_theory():
    accuracy = hits(np.arange(1000) < 200)
    low, high = interval(draws_of(accuracy, "any"))
    width = 1.96 * 100 * np.sqrt(0.2 * 0.8 / 1000)
    assert low == pytest.approx(20 - width, abs=0.5)
    assert high == pytest.approx(20 + width, abs=0.5)


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    covered = 0
    for trial in range(200):
        low, high = interval(draws_of(hits(rng.random(300) < 0.3), f"trial {trial}", 500))
        covered += low <= 30 <= high
    assert 180 <= covered <= 199


def test_draws_pair_between_models_and_differ_between_languages():
    items = hits(np.random.default_rng(0).random(100) < 0.5)
    assert np.array_equal(draws_of(items, "a"), draws_of(items, "a"))
    assert not np.array_equal(draws_of(items, "a"), draws_of(items, "b"))
    better = Items(np.minimum(items.num + 0.25, 1), items.den)
    assert (draws_of(better, "a") >= draws_of(items, "a")).all()


def test_draws_equal_a_plain_loop():
    rng = np.random.default_rng(1)
    items = Items(rng.integers(0, 4, 30).astype(float), rng.integers(4, 9, 30).astype(float))
    import zlib

    generator = np.random.default_rng([zlib.crc32(b"x"), 30])
    picks = generator.integers(0, 30, (50, 30))
    expected = [100 * items.num[row].sum() / items.den[row].sum() for row in picks]
    assert np.allclose(draws_of(items, "x", 50), expected)


def test_seeds_widen_the_interval():
    base = draws_of(hits(np.arange(400) < 200), "x")
    narrow, wide = interval(over_seeds([base, base, base], "x")), interval(over_seeds([base - 9, base, base + 9], "x"))
    assert wide[1] - wide[0] > 1.5 * (narrow[1] - narrow[0])


@pytest.mark.parametrize(
    "values", [[0, 1, 1, 0], [1.0], [0.0], [10.0], [11, 0.5, 3], [[0, 1], [1, 0]], [[1.5, 2], [0, 7], [1, 1]]]
)
def test_packing_keeps_every_number(values):
    array = np.array(values, dtype=float)
    assert np.array_equal(unpack(pack(array)), array)


def make(language, share, *, limit=None, seed=0, n=500):
    num = pack((np.arange(n) < share * n).astype(float))
    value = {"value": 100 * share, "ci95": [0, 0], "chance": 1.0}
    return {
        "task": "sr-t", "language": language, "seed": seed, "protocol": "default", "metric": "top10", "unit": "percent",
        "values": {"top10": value}, "n": n, "limit": limit, "settings": {},
        "items": {"top10": {"num": num, "den": None, "scale": 100.0}},
    }  # fmt: skip


def test_the_mean_states_its_languages_and_is_narrower_than_theirs():
    entry = summarise_task([make("tur", 0.2), make("fry", 0.6, n=100)], ["jpn"])
    assert entry["mean"] == pytest.approx(40)
    assert entry["languages"] == ["tur", "fry"]
    assert entry["without_data"] == ["jpn"]
    low, high = entry["ci95"]
    frisian = entry["rows"][1]["ci95"]
    assert low < 40 < high
    assert high - low < frisian[1] - frisian[0]


def test_means_refuse_to_mix_limits():
    with pytest.raises(InputError, match="cannot share a mean"):
        summarise_task([make("tur", 0.2), make("ces", 0.2, limit=50)], [])


def test_paper_mean_misreads_exponents():
    from hyperofa_eval.results.summary import mean_read_from_text

    # 9.1e-05 as a share is 0.0091 %; the published code reads the digits before the exponent: 9.1, so 910 %.
    assert mean_read_from_text([0.0091, 20.0]) == pytest.approx((910 + 20) / 2)
    assert mean_read_from_text([10.0, 20.0]) == pytest.approx(15.0)
