"""A tiny source model, two tokenizers of different families, and word vectors, all built in memory."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerFast

from hyperofa.cli import main
from hyperofa.commands.init import Init, run
from hyperofa.init.problem import Problem
from hyperofa.vectors.store import write_store

SOURCE_PIECES = ["dog", "cat", "house", "red", "water", "##s", "##ing", "walk", "sun", "fire", "1", "2", "moon", "tree"]
TARGET_PIECES = ["▁dog", "▁cat", "▁hund", "▁katze", "▁haus", "▁rot", "▁wasser", "s", "▁1", "▁zzz", "▁walk", "▁feuer"]
WORDS = {
    "eng": ["dog", "cat", "house", "red", "water", "walk", "sun", "fire", "moon", "tree", "dogs"],
    "deu": ["hund", "katze", "haus", "rot", "wasser", "feuer"],
}
TRANSLATION = {
    "hund": "dog",
    "katze": "cat",
    "haus": "house",
    "rot": "red",
    "wasser": "water",
    "feuer": "fire",
    "dogs": "dog",
}


def wordpiece_tokenizer(*, holes: int = 0, more: Sequence[str] = ()) -> PreTrainedTokenizerFast:
    """A tokenizer whose vocabulary leaves ``holes`` ids out before its tenth piece, as a repeated line of a vocab.txt does."""
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *SOURCE_PIECES, *more]
    vocabulary = {piece: i + (holes if i >= 10 else 0) for i, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )


def unigram_tokenizer(words: list[str] = TARGET_PIECES, first: Sequence[str] = ()) -> PreTrainedTokenizerFast:
    """Pieces ``words`` and letters; ``first`` come before them with a score of 0, as the specials have."""
    pieces = [(piece, 0.0) for piece in ("<s>", "<pad>", "</s>", "<unk>", "<mask>", *first)]
    pieces += [(piece, -2.0 - 0.1 * i) for i, piece in enumerate(words)]
    pieces += [(letter, -9.0) for letter in "▁abcdefghiklmnoprtuwxyz"]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=3))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        cls_token="<s>",
        eos_token="</s>",
        sep_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        mask_token="<mask>",
    )


def word_vectors(width: int = 12) -> tuple[list[str], np.ndarray]:
    """Keys ``lang:word`` and vectors: a translation lies close to its English word."""
    rng = np.random.default_rng(1)
    english = {word: rng.normal(size=width) for word in WORDS["eng"]}
    english["dogs"] = english["dog"] + 0.05 * rng.normal(size=width)
    keys, rows = [], []
    for language, words in WORDS.items():
        for word in words:
            base = english[TRANSLATION.get(word, word)] if language != "eng" else english[word]
            keys.append(f"{language}:{word}")
            rows.append(base + (0.05 * rng.normal(size=width) if language != "eng" else 0))
    return keys, np.array(rows, dtype=np.float32)


def asked(source: Any, tokenizer: Any, vectors: Path | None, out: Path, method: str = "ofa", **settings: Any) -> Init:
    """The options of ``hyperofa init``."""
    return Init(source=str(source), tokenizer=str(tokenizer), vectors=vectors, out=out, method=method, **settings)


def written(options: Init) -> dict[str, Any]:
    """What ``hyperofa init`` records of the model that it writes."""
    folder = options.out.resolve()
    run(options)
    record: dict[str, Any] = json.loads((folder / "init.json").read_text())
    return record


@pytest.fixture(scope="session")
def rooms(tmp_path_factory):
    """A folder with ``source`` (model and tokenizer), ``target`` (tokenizer) and ``vectors``."""
    root = tmp_path_factory.mktemp("init")
    tokenizer = wordpiece_tokenizer()
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=32,
        pad_token_id=0,
    )
    torch.manual_seed(0)
    model = BertForMaskedLM(config)
    with torch.no_grad():
        model.cls.predictions.bias.copy_(torch.linspace(-1, 1, len(tokenizer)))
    model.save_pretrained(root / "source")
    tokenizer.save_pretrained(root / "source")
    unigram_tokenizer().save_pretrained(root / "target")
    words, vectors = word_vectors()
    write_store(root / "vectors", words, vectors, {}, dtype="float32")
    return root


@pytest.fixture
def problem() -> Problem:
    """40 source tokens of rank 6, 30 target tokens, 50 words; every source token but the first 5 has words."""
    rng = np.random.default_rng(2)
    source = (rng.random((40, 50)) < 0.12).astype(np.float32)
    target = (rng.random((30, 50)) < 0.12).astype(np.float32)
    source[:5] = 0
    target[:3] = 0
    source[np.arange(5, 40), rng.integers(0, 50, 35)] = 0.5
    target[np.arange(3, 30), rng.integers(0, 50, 27)] = 0.5
    source_ids = np.full(30, -1, dtype=np.int64)
    source_ids[:8] = np.arange(8)
    return Problem(
        rows=rng.normal(1, 2, (40, 6)).astype(np.float32),
        vectors=rng.normal(size=(50, 7)).astype(np.float32),
        source_words=csr_matrix(source),
        target_words=csr_matrix(target),
        source_ids=source_ids,
        predict_ids=np.arange(8, 30),
        source_groups=np.arange(40) // 2,
        seed=5,
    )


@pytest.fixture
def refused(rooms, tmp_path, capsys, monkeypatch):
    """Run ``init`` with further words; its one line. ``PAR`` is aligned text; the folder beside ``--out`` stays as it was."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    given = tmp_path / "given"
    for name, german in (("par", "hund\nkatze\n"), ("ragged", "hund\n")):
        (given / name).mkdir(parents=True)
        (given / name / "eng.txt").write_text("dog\ncat\n")
        (given / name / "deu.txt").write_text(german)

    def run(*more, code=2, source="source", tokenizer="target", vectors="vectors", method="ofa"):
        places = {"PAR": given / "par", "RAGGED": given / "ragged"}
        words = ["init", "--source", rooms / source, "--tokenizer", rooms / tokenizer]
        words += ["--vectors", rooms / vectors] if vectors else []
        words += ["--method", method, "--out", tmp_path / "room" / "out", *(places.get(word, word) for word in more)]
        assert main([str(word) for word in words]) == code
        line = capsys.readouterr().err
        assert line.count("\n") == 1, line
        assert list((tmp_path / "room").rglob("*")) == []
        return line

    return run
