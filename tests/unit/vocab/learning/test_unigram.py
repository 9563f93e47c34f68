"""The unigram trainer: its EM step against a plain recursion, and what it finds."""

from __future__ import annotations

import math
import random
from collections import Counter
from functools import cache

import numpy as np
import pytest

from hyperofa.vocab.learning import unigram
from hyperofa.vocab.learning.unigram import train_unigram


def texts_of(alphabet, text, pieces):
    spell = "".join(alphabet[c] for c in text.characters)
    return [spell[p : p + n] for p, n in zip(pieces.place, pieces.length, strict=True)]


def reference_counts(words, score):
    """Expected counts by enumerating segmentations of each word recursively."""

    @cache
    def paths(word):
        if not word:
            return [()]
        return [(word[:n], *rest) for n in range(1, len(word) + 1) if word[:n] in score for rest in paths(word[n:])]

    counts = dict.fromkeys(score, 0.0)
    for word, weight in words.items():
        weights = [math.exp(sum(score[piece] for piece in path)) for path in paths(word)]
        for path, w in zip(paths(word), weights, strict=True):
            for piece in path:
                counts[piece] += weight * w / sum(weights)
    return counts


def some_words(seed=0):
    random_ = random.Random(seed)
    stems = ["dog", "cat", "gov", "ern", "ment", "a", "be"]
    words = {"".join(random_.choices(stems, k=random_.randint(1, 3))) for _ in range(60)}
    return {f"▁{word}": float(random_.randint(1, 9)) for word in sorted(words)}


def test_expected_counts_equal_the_enumeration():
    words = {word: weight for word, weight in some_words().items() if len(word) < 10}
    alphabet, text = unigram._lay_out(words, 1.0)
    pieces = unigram._seed(text, 8, 10_000)
    names = texts_of(alphabet, text, pieces)
    assert len(set(names)) == len(names)
    counts = unigram._Lattice.of(text, pieces.at).expected_counts(pieces.score)
    expected = reference_counts(words, dict(zip(names, pieces.score.tolist(), strict=True)))
    np.testing.assert_allclose(counts, [expected[name] for name in names], rtol=1e-9)


@pytest.mark.parametrize("size", [1, 40, 41, 1000])
def test_a_lattice_in_stretches_expects_what_the_whole_one_does(monkeypatch, size):
    _, text = unigram._lay_out(some_words(), 1.0)
    pieces = unigram._seed(text, 8, 10_000)
    whole = unigram._Lattice.of(text, pieces.at).expected_counts(pieces.score)
    monkeypatch.setattr(unigram, "_CHARACTERS_AT_A_TIME", size)
    np.testing.assert_allclose(unigram._expected(text, pieces, None), whole, rtol=1e-9)


def test_seeds_are_the_substrings_that_repeat():
    words = some_words(1)
    alphabet, text = unigram._lay_out(words, 1.0)
    names = texts_of(alphabet, text, unigram._seed(text, 5, 10_000))
    seen = Counter()
    for word, weight in words.items():
        for n in range(1, 6):
            for i in range(len(word) - n + 1):
                seen[word[i : i + n]] += weight
    assert set(names) == {s for s, weight in seen.items() if len(s) == 1 or weight >= 2}


def test_alternative_spelling_is_the_best_without_the_piece_itself():
    words = some_words(2)
    alphabet, text = unigram._lay_out(words, 1.0)
    pieces = unigram._seed(text, 6, 10_000)
    names = texts_of(alphabet, text, pieces)
    score = dict(zip(names, pieces.score.tolist(), strict=True))

    def best(word, whole):
        if not word:
            return 0.0
        heads = [word[:n] for n in range(1, len(word) + 1) if word[:n] in score and word[:n] != whole]
        return max((score[h] + best(word[len(h) :], whole) for h in heads), default=-math.inf)

    for name, value in zip(names, unigram._without_itself(pieces), strict=True):
        assert value == pytest.approx(best(name, name) if len(name) > 1 else -math.inf)


def test_finds_the_stems():
    random_ = random.Random(0)
    stems = ["dog", "cat", "gov", "ern", "ment", "a", "be"]
    words = {"▁" + "".join(random_.choices(stems, k=random_.randint(2, 5))): 1.0 for _ in range(400)}
    pieces = dict(train_unigram(words, 30))
    assert len(pieces) == 30
    assert {"dog", "cat", "gov", "ern", "ment"} <= {piece.removeprefix("▁") for piece in pieces}
    assert sum(math.exp(score) for score in pieces.values()) == pytest.approx(1.0, abs=0.1)


def test_same_text_same_pieces_in_any_order():
    words = some_words(3)
    backwards = dict(reversed(words.items()))
    assert train_unigram(words, 25) == train_unigram(backwards, 25)


def test_rare_characters_are_left_out_but_their_words_are_not():
    words = {"▁dogs": 1000.0, "▁dog": 1000.0, "▁dogΩ": 1.0}
    pieces = [piece for piece, _ in train_unigram(words, 20, coverage=0.999)]
    assert not any("Ω" in piece for piece in pieces)
    assert "▁dog" in pieces


def test_long_runs_do_not_underflow():
    words = {"▁" + "".join(random.Random(i).choices("政府水家犬猫見欲", k=200)): 2.0 for i in range(20)}
    pieces = train_unigram(words, 60)
    assert len(pieces) == 60
    assert all(math.isfinite(score) for _, score in pieces)


def test_nothing_and_too_little():
    assert train_unigram({}, 10) == []
    assert [piece for piece, _ in train_unigram({"ab": 1.0}, 1)] == ["a", "b"]


def test_pieces_longer_than_any_word_cost_nothing():
    assert train_unigram(some_words(), 60, longest=10**12) == train_unigram(some_words(), 60, longest=32)
