"""Folders whose tokenizer is a SentencePiece file alone: read as that file cuts text, or refused with advice that helps."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
from transformers import AlbertConfig, BertConfig, LlamaConfig, MistralConfig, T5Config, XLMRobertaConfig

from hyperofa.errors import DataMissingError, InputError
from hyperofa.vocab.report import load_tokenizer
from hyperofa_eval.base.errors import InputError as EvalInputError
from hyperofa_eval.text import tokenizer as harness

spm = pytest.importorskip("sentencepiece", reason="sentencepiece is not installed")
LINES = ["mtoto anasoma kitabu shuleni leo", "το παιδί διαβάζει ένα βιβλίο", "the dog and the cat read a book"] * 40
TEXT = "the mtoto anasoma βιβλίο today"


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, Path]:
    """A unigram model, and BPE as Llama has it (bytes for what is unknown, spaces as they are)."""
    folder = tmp_path_factory.mktemp("sentencepiece")
    text = folder / "text.txt"
    text.write_text("\n".join(LINES), encoding="utf-8")
    quiet = {"input": str(text), "hard_vocab_limit": False, "minloglevel": 2}
    llama = {"normalization_rule_name": "identity", "remove_extra_whitespaces": False, "byte_fallback": True}
    kinds = {"unigram": {"vocab_size": 80}, "bpe": {"vocab_size": 340, **llama}, "char": {}, "word": {}}
    for kind, more in kinds.items():
        spm.SentencePieceTrainer.train(model_prefix=str(folder / kind), model_type=kind, **quiet, **more)
    return {kind: folder / f"{kind}.model" for kind in kinds}


def write(folder: Path, config, file: Path, name: str, tokenizer_class: str | None = None) -> str:
    folder.mkdir()
    config.save_pretrained(folder)
    shutil.copy(file, folder / name)
    if tokenizer_class is not None:
        (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": tokenizer_class}))
    return str(folder)


@pytest.mark.parametrize("load", [load_tokenizer, harness.load_tokenizer])
@pytest.mark.parametrize(
    ("config", "kind", "name", "tokenizer_class"),
    [
        (XLMRobertaConfig, "unigram", "sentencepiece.bpe.model", None),
        (BertConfig, "unigram", "sentencepiece.bpe.model", "XLMRobertaTokenizer"),
        (LlamaConfig, "bpe", "tokenizer.model", "LlamaTokenizer"),
    ],
)
def test_it_is_read_as_the_file_cuts_text(files, tmp_path, load, config, kind, name, tokenizer_class):
    folder = write(tmp_path / "model", config(), files[kind], name, tokenizer_class)
    expected = spm.SentencePieceProcessor(model_file=str(files[kind])).encode(TEXT, out_type=str)
    assert load(folder).tokenize(TEXT) == expected


@pytest.mark.parametrize("load", [load_tokenizer, harness.load_tokenizer])
@pytest.mark.parametrize("config", [LlamaConfig, MistralConfig])
def test_a_class_that_loses_the_mark_of_the_first_word_is_refused(files, tmp_path, load, config):
    folder = write(tmp_path / "model", config(), files["bpe"], "tokenizer.model")
    with pytest.raises((InputError, EvalInputError), match=r"otherwise than its tokenizer\.model") as caught:
        load(folder)
    assert "tokenizer.json" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("config", "kind", "name", "tokenizer_class"),
    [
        (LlamaConfig, "char", "tokenizer.model", None),
        (LlamaConfig, "word", "tokenizer.model", "LlamaTokenizer"),
        (T5Config, "unigram", "sentencepiece.bpe.model", None),
        (T5Config, "char", "sentencepiece.bpe.model", None),
    ],
    ids=["mark of the first word", "whole words", "pieces of a file it does not read", "letters of one"],
)
def test_a_class_that_loses_pieces_is_refused(files, tmp_path, config, kind, name, tokenizer_class):
    folder = write(tmp_path / "model", config(), files[kind], name, tokenizer_class)
    with pytest.raises(InputError, match="otherwise than its"):
        load_tokenizer(folder)


@pytest.mark.parametrize("load", [load_tokenizer, harness.load_tokenizer])
def test_a_file_that_the_model_family_does_not_read_gives_no_empty_tokenizer(files, tmp_path, load):
    folder = write(tmp_path / "model", BertConfig(), files["unigram"], "spiece.model")
    with pytest.raises((DataMissingError, EvalInputError), match=r"cannot read spiece\.model for this kind of model"):
        load(folder)


@pytest.mark.parametrize("load", [load_tokenizer, harness.load_tokenizer])
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"no model at all", "tokenizer.model is no SentencePiece file, or damaged"),
        (b"IQ== 0\nIg== 1\n", "tokenizer.model is a tiktoken file"),
    ],
)
def test_what_is_no_sentencepiece_file_is_told(tmp_path, load, content, said):
    (tmp_path / "file").write_bytes(content)
    folder = write(tmp_path / "model", LlamaConfig(), tmp_path / "file", "tokenizer.model", "LlamaTokenizer")
    with pytest.raises((DataMissingError, EvalInputError)) as caught:
        load(folder)
    assert said in str(caught.value)
    assert "pip install tiktoken" not in str(caught.value)


@pytest.mark.parametrize("load", [load_tokenizer, harness.load_tokenizer])
def test_a_file_that_transformers_cannot_convert_is_told(files, tmp_path, load):
    folder = write(tmp_path / "model", AlbertConfig(), files["unigram"], "spiece.model", "AlbertTokenizer")
    with pytest.raises((DataMissingError, EvalInputError), match=r"save a tokenizer\.json there"):
        load(folder)


def test_without_the_package_it_is_named(files, tmp_path, monkeypatch):
    folder = write(tmp_path / "model", XLMRobertaConfig(), files["unigram"], "sentencepiece.bpe.model")
    monkeypatch.setitem(sys.modules, "sentencepiece", None)
    assert "pip install sentencepiece" in str(harness.sentencepiece_problem(Path(folder)))
