"""Tokenizers that fail on characters which they lack are refused in one line, before any text is read."""

from __future__ import annotations

import logging

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from hyperofa import cli
from hyperofa.errors import InputError
from hyperofa.vocab.report import load_tokenizer
from hyperofa_eval.cli import main as evaluate
from tests.unit.vocab.conftest import MAKERS

LETTERS = ["▁", *"abcdefghijklmnopqrstuvwxyz"]


def unigram(**settings):
    backend = Tokenizer(models.Unigram([(letter, -1.0) for letter in LETTERS], unk_id=None, **settings))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    return backend


def wordpiece(kind=models.WordPiece):
    pieces = [*LETTERS, *(f"##{letter}" for letter in LETTERS)]
    backend = Tokenizer(kind({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return backend


def bpe(unk):
    vocabulary = {letter: i for i, letter in enumerate(LETTERS)}
    backend = Tokenizer(models.BPE(vocabulary, [], **({"unk_token": unk} if unk else {})))
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    return backend


FAILING = {
    "unigram without unk_id": unigram,
    "WordPiece without [UNK]": wordpiece,
    "whole words without [UNK]": lambda: wordpiece(models.WordLevel),
    "BPE whose unknown token is no entry": lambda: bpe("<unk>"),
}


@pytest.fixture(params=list(FAILING))
def failing(request, tmp_path):
    PreTrainedTokenizerFast(tokenizer_object=FAILING[request.param]()).save_pretrained(tmp_path / "source")
    return tmp_path / "source"


@pytest.mark.parametrize("command", ["tokenizer extend", "corpus prepare", "init"])
def test_refused_in_one_line(failing, command, tmp_path, capsys):
    text = tmp_path / "kat.txt"
    text.write_text("მთავრობა\n" * 200, encoding="utf-8")
    arguments = {
        "tokenizer extend": ["--source", failing, "--text", text, "--vocab-size", "300"],
        "corpus prepare": ["--tokenizer", failing, "--text", text],
        "init": ["--source", failing, "--tokenizer", failing, "--method", "random"],
    }[command]
    words = command.split()
    assert cli.main([*words, *map(str, arguments), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err.strip()
    assert error.count("\n") == 0
    assert "fails on every character that it lacks" in error
    assert str(failing) in error
    assert "unk_token in tokenizer.json" in error
    assert not (tmp_path / "out").exists()


def test_the_harness_refuses_it_too(failing, tmp_path, capsys):
    from transformers import BertConfig, BertModel

    small = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    BertModel(BertConfig(vocab_size=80, **small)).save_pretrained(failing)
    data = "tests/unit/eval/small_data"
    out = str(tmp_path / "results")
    assert evaluate(["run", str(failing), "--data", data, "--tasks", "sr-t", "--out", out]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert "fails on every character that it lacks" in error


def test_what_spells_all_text_is_taken(families, family_name, tmp_path):
    families[family_name].save_pretrained(tmp_path)
    load_tokenizer(str(tmp_path))


def test_a_byte_level_unigram_needs_no_unknown_token(tmp_path):
    pieces = [(character, -1.0) for character in pre_tokenizers.ByteLevel.alphabet()]
    backend = Tokenizer(models.Unigram(pieces, unk_id=None))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    PreTrainedTokenizerFast(tokenizer_object=backend).save_pretrained(tmp_path)
    assert load_tokenizer(str(tmp_path)).tokenize("ა")


def test_bytes_do_not_help_a_unigram_without_unk_id(tmp_path):
    PreTrainedTokenizerFast(tokenizer_object=unigram(byte_fallback=True)).save_pretrained(tmp_path)
    with pytest.raises(InputError, match="unk_id"):
        load_tokenizer(str(tmp_path))


def test_characters_that_vanish_are_told(tmp_path, caplog):
    PreTrainedTokenizerFast(tokenizer_object=bpe(None)).save_pretrained(tmp_path)
    with caplog.at_level(logging.WARNING):
        load_tokenizer(str(tmp_path))
    assert "leave no token" in caplog.text
    caplog.clear()
    MAKERS["byte-level"]().save_pretrained(tmp_path / "bytes")
    load_tokenizer(str(tmp_path / "bytes"))
    assert not caplog.text
