"""A tiny source, text in three parts, and a start of random rows of which those of new tokens may move."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from hyperofa.data.given_text import GivenText, PartedText, part_text
from hyperofa.data.parallel import ParallelText
from hyperofa.init.refine.body import Body
from hyperofa.init.refine.learned_rows import Start
from hyperofa.model import load_source
from hyperofa.model.source import Source, source_of

WORDS = {
    "dog": "hund",
    "cat": "katze",
    "house": "haus",
    "red": "rot",
    "water": "wasser",
    "fire": "feuer",
    "walk": "walk",
}
ENGLISH = [f"{a} {b} {c}" for a in WORDS for b in WORDS for c in ("sun", "moon") if a != b]
GERMAN = [" ".join(WORDS.get(word, word) for word in line.split()) for line in ENGLISH]
TEXT = ParallelText({"eng": dict(enumerate(ENGLISH)), "deu": dict(enumerate(GERMAN))}, len(ENGLISH))
CPU = torch.device("cpu")


class Parts(NamedTuple):
    """What an objective is made of."""

    source: Source
    tokenizers: tuple[Any, Any]
    start: Start
    given: PartedText

    def body(self, **options: Any) -> Body:
        """The frozen body in float32."""
        return Body(self.source, None, CPU, **{"bf16": False, **options})


def start_of(size: int, width: int, movable: slice) -> Start:
    """Random rows; two of the new tokens and one that is in no text have word vectors."""
    rng = np.random.default_rng(0)
    new = np.zeros(size, dtype=bool)
    new[movable] = True
    return Start(
        rows=rng.normal(0, 0.02, (size, width)).astype(np.float32),
        primitives=None,
        movable=new,
        scale=np.full(width, 0.02, dtype=np.float32),
        length=0.08,
        predicted_ids=np.array([7, 8, 20]),
        predicted_vectors=rng.normal(size=(3, 5)).astype(np.float32),
    )


@pytest.fixture
def parts(rooms) -> Parts:
    """An encoder."""
    source = load_source(str(rooms / "source"))
    tokenizers = tuple(AutoTokenizer.from_pretrained(rooms / name) for name in ("source", "target"))
    return Parts(source, tokenizers, start_of(len(tokenizers[1]), 16, slice(5, 15)), part_text(GivenText({}, TEXT), 0))


def decoder(size: int, *, tied: bool = True) -> Source:
    """A tiny decoder with ``size`` tokens."""
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = LlamaConfig(vocab_size=size, max_position_embeddings=64, tie_word_embeddings=tied, **shape)
    return source_of(LlamaForCausalLM(config))
