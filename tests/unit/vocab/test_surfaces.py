"""Surfaces: the same (bytes, boundary) for the same token in every family."""

from __future__ import annotations

import copy

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from hyperofa.errors import InputError
from hyperofa.vocab.surfaces import Surface, byte_alphabet, readable_tokens, token_surfaces, tokens_with_text

NATIVE = {  # how each family spells " dog" and "dog" inside a word
    "wordpiece-uncased": ("dog", "##dog"),
    "wordpiece-cased": ("dog", "##dog"),
    "byte-level": ("Ġdog", "dog"),
    "byte-level-prefix": ("Ġdog", "dog"),
    "unigram": ("▁dog", "dog"),
    "unigram-bytes": ("▁dog", "dog"),
    "sentencepiece-bpe": ("▁dog", "dog"),
}


def test_one_form_for_all_families(tokenizer, family_name):
    surfaces = token_surfaces(tokenizer)
    start, inside = NATIVE[family_name]
    assert surfaces[tokenizer.convert_tokens_to_ids(start)][:2] == (b"dog", True)
    assert surfaces[tokenizer.convert_tokens_to_ids(inside)][:2] == (b"dog", False)
    assert len(surfaces) == max(tokenizer.get_vocab().values()) + 1


def test_concatenated_surfaces_are_the_text(tokenizer, family_name):
    """Property over families: the surfaces of a text's tokens, boundaries as spaces, are its bytes."""
    surfaces = token_surfaces(tokenizer)
    text = "dog government dogs" if "uncased" in family_name else "Dog governments the собака"
    ids = tokenizer.encode(text, add_special_tokens=False)
    raw = b"".join((b" " if surfaces[i].boundary else b"") + surfaces[i].text for i in ids)
    assert raw.decode().strip() == text


def test_partial_bytes_stay_apart(families):
    """Trap: compared by decode(id), every partial byte is one U+FFFD."""
    for name in ("byte-level", "unigram-bytes", "sentencepiece-bpe"):
        texts = [s.text for s in token_surfaces(families[name]) if len(s.text) == 1 and s.text[0] >= 0x80]
        assert len(set(texts)) == 128, name


def test_byte_pieces_are_named(families):
    tokenizer = families["unigram-bytes"]
    surface = token_surfaces(tokenizer)[tokenizer.convert_tokens_to_ids("<0xE4>")]
    assert surface == Surface(b"\xe4", False, None, "byte")


def test_angle_brackets_are_text_without_byte_fallback():
    backend = Tokenizer(models.Unigram([("<unk>", 0.0), ("<0xE4>", -1.0)], unk_id=0))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>")
    assert token_surfaces(tokenizer)[1] == Surface(b"<0xE4>", False)


def test_a_full_stop_and_a_space_with_one_differ(families):
    tokenizer = families["unigram"]
    surfaces = token_surfaces(tokenizer)
    assert surfaces[tokenizer.convert_tokens_to_ids(".")][:2] == (b".", False)
    assert surfaces[tokenizer.convert_tokens_to_ids("▁")][:2] == (b"", True)


def test_wordpiece_punctuation_is_isolated_and_its_continuation_unreachable(families):
    tokenizer = families["wordpiece-cased"]
    surfaces = token_surfaces(tokenizer)
    assert surfaces[tokenizer.convert_tokens_to_ids(",")] == Surface(b",", True, None, "isolated")
    assert surfaces[tokenizer.convert_tokens_to_ids("政")] == Surface("政".encode(), True, None, "isolated")
    assert surfaces[tokenizer.convert_tokens_to_ids("##,")].kind == "unreachable"
    assert surfaces[tokenizer.convert_tokens_to_ids("##s")].kind == "piece"


def test_special_tokens_carry_their_role(families):
    tokenizer = families["unigram"]
    surfaces = token_surfaces(tokenizer)
    assert [s.role for s in surfaces[:4]] == ["cls", "pad", "sep", "unk"]
    assert surfaces[tokenizer.mask_token_id].role == "mask"


def test_added_tokens_are_literal_and_added_specials_other(family_name):
    from tests.unit.vocab.conftest import MAKERS

    tokenizer = MAKERS[family_name]()
    tokenizer.add_tokens(["Bundestag"])
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|user|>"]})
    surfaces = token_surfaces(tokenizer)
    assert surfaces[tokenizer.convert_tokens_to_ids("Bundestag")].text == b"Bundestag"
    assert surfaces[tokenizer.convert_tokens_to_ids("<|user|>")].role == "other"


def test_holes_in_the_ids():
    backend = Tokenizer(models.WordPiece({"[UNK]": 0, "dog": 5}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    surfaces = token_surfaces(PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]"))
    assert [s.kind for s in surfaces] == ["special", "hole", "hole", "hole", "hole", "piece"]


def test_an_unknown_family_is_refused():
    backend = Tokenizer(models.BPE({"a": 0}, []))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    with pytest.raises(InputError, match=r"no known way.*Metaspace"):
        token_surfaces(PreTrainedTokenizerFast(tokenizer_object=backend))


def test_the_byte_alphabet_is_that_of_tokenizers():
    assert set(byte_alphabet()) == set(pre_tokenizers.ByteLevel.alphabet())
    assert sorted(byte_alphabet().values()) == list(range(256))


def test_tokens_with_text_are_those_whose_surface_has_some(tokenizer):
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.add_tokens(["  ", "\t", " added", "▁▁", "[x]"])
    tokenizer.add_special_tokens({"additional_special_tokens": ["<lang>"]})
    wanted = [s.role is None and bool(s.text.strip()) for s in token_surfaces(tokenizer)]
    assert tokens_with_text(tokenizer).tolist() == wanted
    assert not all(wanted)


def test_tokens_of_byte_level_bpe_can_be_read(families):
    tokenizer = families["byte-level"]
    ids = list(range(len(tokenizer)))
    pieces, read = tokenizer.convert_ids_to_tokens(ids), readable_tokens(tokenizer, ids)
    assert {"政府", "Ġ政府", "Ġdog", "dog", "<s>"} <= set(read)
    changed = {piece: text for piece, text in zip(pieces, read, strict=True) if piece != text}
    assert all(any(ord(letter) > 0x7F for letter in piece) for piece in changed)
    assert "Ċ" in read, "what cannot be printed stays as it is"
    assert "æ" in read, "and so does a part of a character"
    for name in ("unigram", "wordpiece-cased"):
        other = families[name]
        ids = list(range(len(other)))
        assert readable_tokens(other, ids) == other.convert_ids_to_tokens(ids)
