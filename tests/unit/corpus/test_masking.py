"""Masks: their rates, what they may touch, and that only the key decides them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperofa.corpus.masking import IGNORED, LONGEST_WORD, Masker, Masking, TokenTable

SIZE, MASK = 100, 4


def table(continuation: set[int] = frozenset()) -> TokenTable:
    special = np.zeros(SIZE, dtype=bool)
    special[:5] = True
    return TokenTable(special, np.isin(np.arange(SIZE), list(continuation)), MASK)


def documents(length: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Two framed documents and some padding."""
    ids = np.random.default_rng(seed).integers(5, SIZE, length)
    segments = (np.arange(length) >= length // 2).astype(np.int16)
    ids[[0, length // 2]] = 0
    ids[[length // 2 - 1, -4]] = 2
    ids[-3:], segments[-3:] = 1, -1
    return ids, segments


def test_rates_are_those_asked_for():
    masker = Masker(Masking(rate=0.2, mask_share=0.7, random_share=0.2), table())
    ids, segments = np.full(400_000, 50), np.zeros(400_000, dtype=np.int16)
    inputs, labels = masker(ids, segments, key=1)
    chosen = labels != IGNORED
    assert chosen.mean() == pytest.approx(0.2, abs=0.003)
    assert (inputs[chosen] == MASK).mean() == pytest.approx(0.7, abs=0.01)
    changed = (inputs != ids) & (inputs != MASK)
    # One in 95 random tokens is the old one again.
    assert changed[chosen].mean() == pytest.approx(0.2 * 94 / 95, abs=0.006)
    assert not changed[~chosen].any()
    replaced = np.bincount(inputs[changed], minlength=SIZE)[5:]
    assert replaced[replaced > 0].size == 94
    even = replaced[replaced > 0]
    assert np.abs(even - even.mean()).max() < 5 * even.mean() ** 0.5


@given(key=st.integers(0, 2**63 - 1), rate=st.floats(0.01, 0.99), whole=st.booleans())
def test_special_tokens_and_padding_are_never_touched_nor_drawn(key, rate, whole):
    ids, segments = documents(64)
    masker = Masker(Masking(rate=rate, mask_share=0.3, random_share=0.6, whole_words=whole), table({7, 8, 9, 60, 61}))
    inputs, labels = masker(ids, segments, key)
    protected = (ids < 5) | (segments < 0)
    assert (labels[protected] == IGNORED).all()
    assert (inputs[protected] == ids[protected]).all()
    changed = (inputs != ids) & (inputs != MASK)
    assert (inputs[changed] >= 5).all()
    wanted = labels != IGNORED
    assert (labels[wanted] == ids[wanted]).all()


def test_only_the_key_decides():
    ids, segments = documents(64)
    masker = Masker(Masking(), table())
    first, again, other = masker(ids, segments, 5), masker(ids, segments, 5), masker(ids, segments, 6)
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert (first[1] != other[1]).any()


@given(key=st.integers(0, 2**63 - 1))
def test_whole_words_are_masked_together(key):
    ids = np.array([0, 10, 90, 91, 11, 92, 12, 13, 90, 2, 0, 90, 14, 2])
    segments = np.array([0] * 10 + [1] * 4)
    words = np.array([-1, 0, 0, 0, 1, 1, 2, 3, 3, -1, -1, 4, 5, -1])
    _, labels = Masker(Masking(rate=0.5, whole_words=True), table({90, 91, 92}))(ids, segments, key)
    chosen = labels != IGNORED
    for word in range(6):
        assert len(set(chosen[words == word].tolist())) == 1


def test_very_long_words_are_cut():
    ids, segments = np.full(4000, 90), np.zeros(4000, dtype=np.int16)
    _, labels = Masker(Masking(whole_words=True), table({90}))(ids, segments, key=3)
    chosen = (labels != IGNORED).reshape(-1, LONGEST_WORD)
    assert (chosen.all(axis=1) | ~chosen.any(axis=1)).all()
    assert chosen.mean() == pytest.approx(0.15, abs=0.05)


def test_a_tokenizer_without_a_mask_token_is_refused():
    with pytest.raises(ValueError, match="no mask token"):
        Masker(Masking(), TokenTable(np.zeros(3, bool), np.zeros(3, bool), None))


@pytest.mark.parametrize("wrong", [{"rate": 0.0}, {"rate": 1.0}, {"mask_share": 0.95}, {"random_share": -0.1}])
def test_shares_that_make_no_whole_are_refused(wrong):
    with pytest.raises(ValueError, match=r"rate|shares"):
        Masking(**wrong)
