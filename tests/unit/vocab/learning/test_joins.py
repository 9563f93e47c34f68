"""New pieces join only what pieces of the source join."""

from __future__ import annotations

import re

import pytest

from hyperofa.vocab.learning.charclasses import byte_units, character_class
from hyperofa.vocab.learning.joins import Joins
from hyperofa.vocab.surfaces import backend_spec, byte_alphabet, family, token_surfaces
from hyperofa_eval.text.tokenizer import rows_needed
from tests.unit.vocab.conftest import MAKERS, WORDS, extended

TEXT = "mwaka 2017 na 1000 watu 2017 a4 l'homme м'яч (kwa) ២០១៧ კატა1 ძაღლი! катаmaji"


def joins(source, kind=None):
    spec = backend_spec(source)
    return Joins(source, kind or family(spec), spec["model"].get("continuing_subword_prefix") or "")


def spelled(source, text):
    """``text`` as the pieces of ``source`` spell it."""
    if family(backend_spec(source)) == "byte-level":
        characters = {byte: character for character, byte in byte_alphabet().items()}
        return "".join(characters[byte] for byte in text.encode())
    return text.replace(" ", "▁")


def new_pieces(source, text, tmp_path, number=60):
    (tmp_path / "text.txt").write_text("\n".join([text] * 30), encoding="utf-8")
    size = rows_needed(source)
    grown = extended(source, {"swh": [tmp_path / "text.txt"]}, size + number, coverage=1.0)
    return grown, [surface.text.decode("utf-8", "replace") for surface in token_surfaces(grown)[size:]]


def test_what_the_source_keeps_apart_stays_apart(family_name, tmp_path):
    grown, pieces = new_pieces(MAKERS[family_name](), TEXT, tmp_path)
    assert any(len(piece) > 2 for piece in pieces)  # letters are joined all the same
    for piece in pieces:
        assert not re.search(r"\d\d|\d\w|\w\d", piece), piece
        assert not re.search(r"\w[^\w\s�]|[^\w\s�]\w", piece), piece
        assert not re.search(r"[а-я][a-z]|[ა-ჰ][a-z0-9]|[a-z][а-яა-ჰ]", piece), piece
    digits = [token for token in grown.tokenize("mwaka 1000") if re.search(r"\d", token)]
    assert [token.strip("▁Ġ#") for token in digits] == ["1", "0", "0", "0"]


@pytest.mark.parametrize("name", ["byte-level", "sentencepiece-bpe", "unigram", "wordpiece-cased"])
def test_what_the_source_joins_is_joined(name, tmp_path):
    """Numbers of up to four digits, and letters with digits, where the source has both."""
    source = MAKERS[name](words=[*WORDS, "2015", "12", "a1"])
    found = joins(source)
    assert found.digits_in_a_row == 4
    for text, allowed in [("2017", True), ("20171", False), ("b7", True), ("7b", False), ("б7", False)]:
        assert found.allows(spelled(source, text)) is allowed, text


@pytest.mark.parametrize("name", ["sentencepiece-bpe", "unigram"])
def test_an_apostrophe_inside_words_is_joined_where_the_source_does(name):
    """In any script: what counts is the sign and that letters stand beside it."""
    without, having = MAKERS[name](), MAKERS[name](words=[*WORDS, "don't"])
    for text in ("м'яч", "yeɣ'li", "d'a"):
        assert not joins(without).allows(text)
        assert joins(having).allows(text)
    assert not joins(having).allows("a-b")  # another sign


def test_letters_and_marks_of_one_script_are_joined_though_the_source_has_none(families, family_name):
    source = families[family_name]
    found = joins(source)
    for text in (
        "ខ្មែរ",
        "កម្ពុជា",
        "हिन्दी",
        "ქართული",
        "食べる",
        "カタカナ語",
        "ไทย",
        "العربيّة",
        "می\u200cخواهم",
        "Việt",
        "étude",
    ):
        assert found.allows(spelled(source, text)), text
        assert found.allows(spelled(source, f" {text}")) or family(backend_spec(source)) == "wordpiece", text
    for text in ("ខa", "хa", "กa", "ខ១", "a²", "½a"):
        assert not found.allows(spelled(source, text)), text


@pytest.mark.parametrize("word", ["ខ្មែរ", "中文", "ქართული", "العربية", "собака"])
def test_bytes_of_one_script_are_joined(families, word):
    """Byte-level merges make characters out of bytes; a character's last byte may still be missing."""
    source = families["byte-level"]
    found = joins(source)
    for end in range(1, len(word) + 1):
        raw = spelled(source, word[:end])
        assert found.allows(raw)
        assert found.allows(raw[:-1])
        assert found.allows(raw[1:])


def test_bytes_of_another_script_are_not(families):
    source = families["byte-level"]
    found = joins(source)
    khmer = spelled(source, "ខ")
    assert not found.allows("a" + khmer[:2])
    assert not found.allows("a" + khmer)
    assert not found.allows(khmer[-1] + "a")
    assert not found.allows(spelled(source, "1") + khmer[:2])


def test_a_few_stray_pieces_show_nothing(monkeypatch):
    import hyperofa.vocab.learning.joins as module

    source = MAKERS["unigram"](words=[*WORDS, "2015"])
    assert joins(source).allows("2017")
    monkeypatch.setattr(module, "_ENTRIES_PER_CASE", 5)
    assert not joins(source).allows("2017")


def test_placeholders_show_nothing():
    """BERT's ``[unused12]``, or entries to which no merges lead, are cut from no text."""
    source = MAKERS["wordpiece-cased"](words=[*WORDS, "[unused12]", "[unused13]"])
    assert not joins(source).allows("a[")
    assert not joins(source).allows("[a")


@pytest.mark.parametrize(
    ("character", "name"),
    [
        ("a", "letter:LATIN"),
        ("ａ", "letter:LATIN"),
        ("ж", "letter:CYRILLIC"),
        ("あ", "letter:HAN"),
        ("ー", "letter:HAN"),
        ("々", "letter:HAN"),
        ("ʼ", "joiner"),
        ("\u0301", "joiner"),
        ("\u200d", "joiner"),
        ("٣", "digit"),
        ("²", "digit"),
        ("’", "sign"),
        ("€", "sign"),
        ("\u3000", "space"),
        ("\t", "control"),
    ],
)
def test_character_classes(character, name):
    assert character_class(character) == name


def test_bytes_that_are_no_text_have_no_units():
    assert byte_units(b"a\xe1\xe1b") is None
    assert byte_units(b"\x80\x80\x80\x80") is None
    assert byte_units(b"\xff\xff") is None
    for byte in range(256):
        byte_units(bytes([byte]))
        byte_units(bytes([0x61, byte]))
        byte_units(bytes([byte, 0x80]))
