"""Small models, tokenizers and data for the harness's tests, made in memory or written here."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

DATA = Path(__file__).parent / "small_data"


def small_tokenizer(extra: tuple[str, ...] = ()):
    """A BERT-like WordPiece tokenizer over single characters, trained on nothing."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    characters = sorted({c for path in DATA.rglob("*.*") for c in path.read_text("utf-8").lower() if not c.isspace()})
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *characters, *("##" + c for c in characters), *extra]
    backend = Tokenizer(models.WordPiece({p: i for i, p in enumerate(pieces)}, unk_token="[UNK]"))
    backend.normalizer = normalizers.Lowercase()
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    names = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, model_max_length=64, **{f"{key}_token": value for key, value in names.items()}
    )


def small_bert(tokenizer, seed: int = 0, **settings):
    """A four-block BERT with a masked-LM head, random weights, evaluation mode."""
    import torch
    from transformers import BertConfig, BertForMaskedLM

    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=4,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
        **settings,
    )
    return BertForMaskedLM(config).eval()


@pytest.fixture(scope="session")
def tokenizer():
    return small_tokenizer()


@pytest.fixture
def bert(tokenizer):
    return small_bert(tokenizer)


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory, tokenizer) -> Path:
    """A saved masked-LM checkpoint with its tokenizer."""
    folder = tmp_path_factory.mktemp("model")
    small_bert(tokenizer).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def data(tmp_path) -> Path:
    """A copy of the small data sets, free to be changed."""
    folder = tmp_path / "data"
    shutil.copytree(DATA, folder)
    return folder


@pytest.fixture
def byte_level():
    """Byte-level BPE whose only merges make ``dog`` and `` dog`` one token each; no prefix space of its own."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("d", "o"), ("do", "g"), ("Ġ", "dog")]
    pieces = ["<unk>", "<s>", "</s>", *letters, *(a + b for a, b in merges)]
    backend = Tokenizer(models.BPE({p: i for i, p in enumerate(pieces)}, merges))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>", bos_token="<s>", eos_token="</s>")


@pytest.fixture
def said():
    """The messages that the harness logs, whatever its commands have made of the log before."""
    import logging

    log = logging.getLogger("hyperofa_eval")
    messages = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    yield messages
    log.removeHandler(handler)
    log.setLevel(level)
