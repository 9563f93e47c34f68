"""Words cut by a tokenizer as it stands, against a loop over words and spellings with transformers' own ``encode``."""

from __future__ import annotations

import numpy as np
import pytest

from hyperofa.vocab.spelled import count_spellings
from tests.unit.vocab.conftest import make_byte_level, make_unigram, make_wordpiece

KEYS = ["eng:dog", "eng:$dog$", "deu:government", "cmn:政府", "a:b:c", "eng:", "tur:ist", "eng:the gov", "eng:ə"]
TEXTS = ["dog", "dog", "government", "政府", None, None, "ist", "the gov", "ə"]
CAPITALS = ["Dog", "Dog", "Government", "政府", None, None, "İst", "The gov", "Ə"]


@pytest.mark.parametrize("make", [make_wordpiece, make_byte_level, make_unigram])
@pytest.mark.parametrize("capitalised", [False, True])
def test_a_token_counts_once_for_each_spelling_that_holds_it(make, capitalised):
    tokenizer = make()
    expected = np.zeros((len(tokenizer), len(KEYS)))
    for column, (text, capital) in enumerate(zip(TEXTS, CAPITALS, strict=True)):
        spellings = [] if text is None else [text, f" {text}", *([capital] if capitalised else [])]
        for spelling in spellings:
            for token in set(tokenizer.encode(spelling, add_special_tokens=False)):
                expected[token, column] += 1
    found = count_spellings(KEYS, tokenizer, capitalised=capitalised)
    assert found.has_sorted_indices
    np.testing.assert_array_equal(found.toarray(), expected)


def test_what_the_file_says_of_lengths_is_no_part_of_a_word():
    plain, asked = make_wordpiece(), make_wordpiece()
    asked.backend_tokenizer.enable_truncation(max_length=1)
    asked.backend_tokenizer.enable_padding(length=4, pad_id=0)
    before = asked.backend_tokenizer.truncation, asked.backend_tokenizer.padding
    found = count_spellings(KEYS, asked, capitalised=False)
    np.testing.assert_array_equal(found.toarray(), count_spellings(KEYS, plain, capitalised=False).toarray())
    assert (asked.backend_tokenizer.truncation, asked.backend_tokenizer.padding) == before


def test_no_words_have_no_tokens():
    assert count_spellings([], make_wordpiece(), capitalised=True).shape == (len(make_wordpiece()), 0)
