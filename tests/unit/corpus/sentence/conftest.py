"""A tiny sentence encoder of the kind that sentence-transformers saves, and parallel text that it partly knows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer, BertConfig, BertModel

from hyperofa.corpus.sentence.prepare import prepare_sentences
from hyperofa.corpus.sentence.source import SourceVectors
from hyperofa.corpus.settings import CorpusSettings

PROMPT = "the dog "
ENGLISH = [f"the {animal} sees number {i}" for i in range(12) for animal in ("dog", "cat")]
SWAHILI = [f"mbwa anaona namba {i}" for i in range(24)]
PARALLEL = {"eng": dict(enumerate(ENGLISH)), "swh": {n: text for n, text in enumerate(SWAHILI) if n % 5}}


def write_source(folder: Path, tokenizer, *, pooling: str = "mean_tokens", normalise: bool = True) -> Path:
    """A one-block BERT with the modules beside it."""
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24}
    BertModel(BertConfig(vocab_size=len(tokenizer), max_position_embeddings=40, **shape)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    kinds = {"": "Transformer", "1_Pooling": "Pooling", **({"2_Normalize": "Normalize"} if normalise else {})}
    modules = [{"path": path, "type": f"sentence_transformers.models.{kind}"} for path, kind in kinds.items()]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir(exist_ok=True)
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({f"pooling_mode_{pooling}": True}))
    prompts = {"prompts": {"query": PROMPT}, "default_prompt_name": "query"}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(prompts))
    return folder


@pytest.fixture(scope="session")
def source(tmp_path_factory, tokenizer_directory) -> Path:
    return write_source(tmp_path_factory.mktemp("encoder"), AutoTokenizer.from_pretrained(tokenizer_directory))


@pytest.fixture(scope="session")
def sentences(source, tokenizer_directory, tmp_path_factory):
    """A corpus in which English learns itself and Swahili learns English."""
    out = tmp_path_factory.mktemp("sentences") / "corpus"
    settings = CorpusSettings(length=24, own_vectors=False)
    return prepare_sentences(tokenizer_directory, {}, PARALLEL, SourceVectors(str(source), prompt=None), out, settings)
