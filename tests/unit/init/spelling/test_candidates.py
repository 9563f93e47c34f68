"""Where new tokens stand among the source's by frequency: at a share, or like the source tokens that the text lacks."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from hyperofa.init.spelling.candidates import _places, lacking_place


class Text:
    """A text that holds some tokens of each of two vocabularies."""

    def __init__(self, source, target):
        self.sizes = {"source": source, "target": target}

    def holds(self, tokenizer, size):
        found = np.zeros(size, dtype=bool)
        found[self.sizes[tokenizer.name]] = True
        return found


class Tokenizer(SimpleNamespace):
    def __len__(self):
        return 12

    def get_vocab(self):
        return {str(number): number for number in range(12)}


def problem(model):
    return SimpleNamespace(
        predict_ids=np.array([3, 7, 9]),
        model=model,
        source_tokenizer=Tokenizer(name="source"),
        target_tokenizer=Tokenizer(name="target"),
    )


def test_without_text_all_stand_at_the_share():
    order = np.linspace(-1, 1, 10).astype(np.float32)
    np.testing.assert_array_equal(_places(problem(None), order, np.arange(10), 0.3), order[[3, 3, 3]])


def test_tokens_that_the_text_lacks_stand_where_such_source_tokens_do():
    order = np.arange(10, dtype=np.float32)
    model = Text(source=[0, 1, 2, 6], target=[3, 9])
    ids = np.array([1, 4, 6, 8])  # of the tokens that are learned from, the text lacks 4 and 8
    np.testing.assert_array_equal(_places(problem(model), order, ids, 0.2), [2, 6, 2])


def test_a_text_that_lacks_no_source_token_gives_the_mean_place():
    order = np.array([0.0, 3.0, 6.0], dtype=np.float32)
    assert lacking_place(order, np.ones(3, dtype=bool)) == pytest.approx(3.0)
