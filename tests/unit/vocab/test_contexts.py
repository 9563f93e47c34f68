"""Spelling a text at the start of a word or inside one, in every family."""

from __future__ import annotations

import pytest

from hyperofa.vocab.contexts import spell
from hyperofa.vocab.surfaces import token_surfaces

TEXTS = ["dog", "government", "s", "ern", "dogs", "ment", "er", "governments"]


@pytest.mark.parametrize("starts", [True, False])
def test_a_spelling_reads_back_as_its_text_and_starts_a_word_only_where_asked(tokenizer, starts):
    surfaces = token_surfaces(tokenizer)
    for text, ids in zip(TEXTS, spell(tokenizer, TEXTS, [starts] * len(TEXTS)), strict=True):
        found = [surfaces[token] for token in ids]
        assert b"".join(surface.text for surface in found).decode() == text
        assert found[0].boundary is starts
        assert not any(surface.boundary for surface in found[1:])


def test_both_kinds_are_spelled_in_one_call_in_their_order(tokenizer):
    mixed = spell(tokenizer, ["dog", "dog", "s", "dog"], [True, False, False, True])
    (start,), (inside,) = spell(tokenizer, ["dog"], [True]), spell(tokenizer, ["dog"], [False])
    assert mixed == [start, inside, *spell(tokenizer, ["s"], [False]), start]
    assert start != inside


def test_what_wordpiece_always_starts_a_word_with_is_not_continued(families):
    tokenizer = families["wordpiece-uncased"]
    chinese, stop, accented, nothing = spell(tokenizer, ["政府", "dog.", "Éer", ""], [False] * 4)
    names = [tokenizer.convert_ids_to_tokens(ids) for ids in (chinese, stop, accented, nothing)]
    assert names == [["政", "府"], ["##dog", "."], ["##e", "##er"], []]


def test_an_unknown_text_inside_a_word_is_unknown(families):
    tokenizer = families["wordpiece-cased"]
    assert spell(tokenizer, ["მ"], [False]) == [[tokenizer.unk_token_id]]
