"""A tiny masked source and a tiny decoder, each extended, with kept-out text in two languages."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, BertConfig, BertForMaskedLM, BertTokenizerFast, LlamaConfig, LlamaForCausalLM

import hyperofa
from hyperofa.data.given_text import GivenText
from hyperofa.data.parallel import ParallelText
from hyperofa.init.quality.kept_out import Side
from hyperofa.model import load_source
from hyperofa.model.source import source_of

ENGLISH = ["dog", "cat", "house", "red", "water", "walk", "sun", "fire", "moon", "tree", "dogs", "walking"]
GERMAN = ["hund", "katze", "haus", "rot", "wasser", "geht", "sonne", "feuer", "mond", "baum", "hunde", "gehend"]


def sentences(n: int) -> dict[str, dict[int, str]]:
    """Pairs of different lengths, word by word, by language and number."""
    rng = np.random.default_rng(3)
    drawn = [rng.integers(0, len(ENGLISH), 2 + number % 5) for number in range(n)]
    return {
        name: {number: " ".join(words[i] for i in one) for number, one in enumerate(drawn)}
        for name, words in (("eng", ENGLISH), ("deu", GERMAN))
    }


@pytest.fixture(scope="session")
def text() -> GivenText:
    """24 pairs, four lines of a third language, and twelve of a fourth in letters that neither tokenizer has."""
    lines = {"fra": ["rot dog", "dog sun rot", "moon", "cat rot"], "kat": [f"წყალი {word}" for word in ENGLISH]}
    return GivenText(lines, ParallelText(sentences(24), 24))


@pytest.fixture(scope="session")
def masked(rooms, tmp_path_factory) -> tuple[Any, Any, Any, Any]:
    """Source, its tokenizer (English words and letters), the extended model and its tokenizer."""
    folder = tmp_path_factory.mktemp("spelling")
    pieces = [*ENGLISH[:8], *"abcdefghijklmnopqrstuvwxyz", *(f"##{c}" for c in "abcdefghijklmnopqrstuvwxyz")]
    vocabulary = {piece: i for i, piece in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *pieces])}
    roles = {f"{role}_token": f"[{role.upper()}]" for role in ("pad", "unk", "cls", "sep", "mask")}
    tokenizer = BertTokenizerFast(vocab=vocabulary, **roles)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(1)
    small = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    BertForMaskedLM(BertConfig(vocab_size=len(tokenizer), max_position_embeddings=32, **small)).save_pretrained(folder)
    made = hyperofa.initialise(folder, rooms / "target", method="subword-mean", rank=8)
    return load_source(str(folder)), AutoTokenizer.from_pretrained(folder), made.model, made.tokenizer


@pytest.fixture(scope="session")
def causal(masked) -> tuple[Any, Any, Any, Any]:
    """The same of a decoder, whose extended model has weights of its own."""

    def decoder(tokenizer: Any) -> LlamaForCausalLM:
        torch.manual_seed(len(tokenizer))
        small = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32}
        return LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), max_position_embeddings=64, **small)).eval()

    _, tokenizer, _, other = masked
    return source_of(decoder(tokenizer)), tokenizer, decoder(other), other


@pytest.fixture
def sides(masked) -> tuple[Side, Side]:
    """Both masked models."""
    source, tokenizer, model, other = masked
    return Side(source.model, tokenizer, "own"), Side(model, other, "extended")
