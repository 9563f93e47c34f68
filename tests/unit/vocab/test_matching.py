"""Matching: equal to a plain loop over all spellings, in every family."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from hyperofa.base.wordkeys import KeyScheme
from hyperofa.vocab.matching import match, match_words
from hyperofa.vocab.surfaces import token_surfaces
from tests.unit.vocab.conftest import MAKERS

KEYS = [
    "eng:dog",
    "deu:Dog",
    "eng:government",
    "dogs",
    "eng:$dog$",
    "cmn:政府",
    "eng:$the$dog",
    "tur:istanbul",
    "rus:собака",
]
BAD = [
    "a:b:c",
    "eng:a:b",
    "eng:",
    "eng:$",
    "$",
    "",
    "eng:a\nb",
    "eng: dog",
    "Not-a-language!:dog",
    "eng:$$",
    "eng:\ue0ff",
]


def pieces(matrix, tokenizer, column):
    return set(tokenizer.convert_ids_to_tokens(matrix.tocsc()[:, [column]].tocoo().row.tolist()))


def reference(keys, tokenizer, name):
    """(token, column) pairs by the plainest way: text in, ids out, for tokenizers that keep a leading space."""
    surfaces = token_surfaces(tokenizer)
    pairs = set()
    for column, key in enumerate(keys):
        language, separator, word = key.partition(":")
        word = word if separator else language
        starts, text = word.startswith("$"), " ".join(word.replace("$", " ").split())
        first = {"i": "İ"}.get(text[0], text[0].upper()) if language == "tur" else text[0].upper()
        for spelling in (text, first + text[1:]):
            for boundary in (True, False):
                if not boundary and (starts or "wordpiece" in name):
                    continue
                # A full stop before it takes a text's first word inside a word; it is a token of its own here.
                given = f". {spelling}" if boundary else f".{spelling}"
                ids = tokenizer.encode(given, add_special_tokens=False)
                texts = [surfaces[i] for i in ids]
                at = next(i for i, s in enumerate(texts) if s.text == b".") + 1
                pairs |= {(i, column) for i in ids[at:] if surfaces[i].role is None and surfaces[i].text.strip()}
    return pairs


def test_equals_a_plain_loop(tokenizer, family_name):
    matrix = match_words(KEYS, tokenizer)
    assert matrix.shape == (len(token_surfaces(tokenizer)), len(KEYS))
    assert matrix.dtype == np.float32
    assert matrix.has_sorted_indices
    assert set(matrix.data.tolist()) == {1.0}
    rows, columns = matrix.nonzero()
    assert set(zip(rows.tolist(), columns.tolist(), strict=True)) == reference(KEYS, tokenizer, family_name)


def test_all_spellings(families):
    tokenizer = families["unigram"]
    matrix = match_words(["eng:dog"], tokenizer)
    assert pieces(matrix, tokenizer, 0) >= {"dog", "▁dog", "Dog", "▁Dog"}


def test_a_boundary_mark_is_one_boundary(families):
    """Trap: ``' ' + word`` for a word with a boundary doubles it, and the bare space matches millions of words."""
    for name, start in (("unigram", "▁"), ("byte-level", "Ġ"), ("sentencepiece-bpe", "▁")):
        tokenizer = families[name]
        matrix = match_words(["eng:$dog$", "eng:dog", "cmn:政府"], tokenizer)
        assert pieces(matrix, tokenizer, 0) == {f"{start}dog", f"{start}Dog"}, name
        assert matrix[tokenizer.convert_tokens_to_ids(start)].nnz == 0, name


def test_malformed_keys_are_counted_reported_and_skipped(families, caplog):
    """Trap: one malformed key kills an hours-long run."""
    logging.getLogger("hyperofa").propagate = True
    with caplog.at_level(logging.WARNING, logger="hyperofa"):
        result = match([*BAD, "eng:dog"], families["unigram"])
    assert result.malformed == len(BAD)
    assert result.examples[0] == "a:b:c"
    assert result.matrix[:, :-1].nnz == 0
    assert result.matrix[:, [-1]].nnz > 0
    assert f"skipped {len(BAD)} malformed of {len(BAD) + 1} keys" in caplog.text


def test_the_unknown_token_matches_nothing(families):
    tokenizer = families["unigram"]
    matrix = match_words(["kat:მთავრობა"], tokenizer)
    assert matrix.nnz == 0


def test_other_key_schemes(families):
    tokenizer = families["unigram"]
    bare = match(["dog", "a:b"], tokenizer, scheme=KeyScheme(separator=None, boundary=None)).matrix
    assert "▁dog" in pieces(bare, tokenizer, 0)
    strict = match(["dog"], tokenizer, scheme=KeyScheme(default_language=None))
    assert strict.malformed == 1


def test_share_of_the_spelling(families):
    tokenizer = families["unigram"]
    matrix = match(["eng:dog", "eng:dogs"], tokenizer).matrix
    dog = tokenizer.convert_tokens_to_ids("▁dog")
    assert matrix[dog, 0] == 1.0
    assert matrix[dog, 1] == pytest.approx(0.5)
    assert (match_words(["eng:dog", "eng:dogs"], tokenizer) != (matrix > 0)).nnz == 0


def test_an_unknown_piece_is_part_of_the_spelling(families):
    tokenizer = families["unigram"]
    ids = tokenizer("dogმ", add_special_tokens=False)["input_ids"]
    assert ids == [tokenizer.convert_tokens_to_ids("▁dog"), tokenizer.unk_token_id]
    matrix = match(["eng:dogმ", "eng:dog"], tokenizer).matrix
    assert matrix[ids[0]].toarray().tolist() == [[0.5, 1.0]]


def test_added_words_match(family_name):
    tokenizer = MAKERS[family_name]()
    tokenizer.add_tokens(["bundestag"])
    matrix = match_words(["deu:bundestag"], tokenizer)
    ids = [i for i, s in enumerate(token_surfaces(tokenizer)) if s.text == b"bundestag"]
    assert matrix[ids].nnz == 1


def test_added_words_match_behind_added_specials():
    """As Qwen has them: special tokens beyond the model's own entries, then added words."""
    tokenizer = MAKERS["byte-level"]()
    before = match_words(KEYS, tokenizer)
    tokenizer.add_special_tokens({"eos_token": "<|end|>", "extra_special_tokens": ["<|start|>"]})
    tokenizer.add_tokens(["bundestag"])
    matrix = match_words([*KEYS, "deu:bundestag", "eng:<|end|>"], tokenizer)
    assert "bundestag" in pieces(matrix, tokenizer, len(KEYS))
    assert "<|end|>" not in pieces(matrix, tokenizer, len(KEYS) + 1)
    assert (matrix[: before.shape[0], : len(KEYS)] != before).nnz == 0


def test_same_word_in_many_languages_is_spelled_once(families):
    result = match([f"{language}:dog" for language in ("eng", "deu", "fra", "spa")], families["unigram"])
    assert result.spellings == 2
    assert len({result.matrix[:, [i]].nnz for i in range(4)}) == 1


def test_no_words(families):
    assert match_words([], families["unigram"]).shape[1] == 0


class TestCache:
    def test_second_time_from_disk(self, families, tmp_path, monkeypatch):
        first = match(KEYS + BAD, families["unigram"], cache=tmp_path)
        monkeypatch.setattr("hyperofa.vocab.matching._match", None)  # calling it would fail
        second = match(KEYS + BAD, families["unigram"], cache=tmp_path)
        assert (first.matrix != second.matrix).nnz == 0
        assert (first.malformed, first.examples, first.spellings) == (
            second.malformed,
            second.examples,
            second.spellings,
        )

    def test_any_change_misses(self, families, tmp_path):
        match(KEYS, families["unigram"], cache=tmp_path)
        match(KEYS, families["unigram"], cache=tmp_path)
        assert len(list(tmp_path.iterdir())) == 1
        match(KEYS[1:], families["unigram"], cache=tmp_path)
        match(KEYS, families["unigram-bytes"], cache=tmp_path)
        match(KEYS, families["unigram"], cache=tmp_path, scheme=KeyScheme(boundary=None))
        assert len(list(tmp_path.iterdir())) == 4

    def test_a_damaged_file_is_made_again(self, families, tmp_path):
        first = match(KEYS, families["unigram"], cache=tmp_path)
        (file,) = tmp_path.iterdir()
        file.write_bytes(file.read_bytes()[:-7])
        again = match(KEYS, families["unigram"], cache=tmp_path)
        assert (first.matrix != again.matrix).nnz == 0
