"""Tiny models of every family and a tiny tokenizer, built in memory."""

from __future__ import annotations

import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import PreTrainedTokenizerFast

from hyperofa.model import SentenceModel, SentenceTargets, TrainingModel, assemble
from hyperofa.model.adapter import add_adapter
from hyperofa.model.families import FAMILIES, lm_class
from hyperofa.model.source import source_of

VOCABULARY, WIDTH = 40, 16
SIZE, RANK = 64, 5

SMALL = {
    "hidden_size": WIDTH,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 8,
    "intermediate_size": 24,
    "max_position_embeddings": 64,
    "vocab_size": VOCABULARY,
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 2,
}
GPT2 = {"n_embd": WIDTH, "n_layer": 2, "n_head": 2, "n_positions": 64, "vocab_size": VOCABULARY, "bos_token_id": 0}
EXTRA = {
    "modernbert": {"cls_token_id": 0, "sep_token_id": 2, "local_attention": 8, "global_attn_every_n_layers": 2},
    "gpt2": {"eos_token_id": 2, "pad_token_id": None},
}


def small_source(name: str, *, tied: bool = True):
    """A randomly initialised model of a family, with a head bias that is not zero."""
    family = FAMILIES[name]
    values = {**(GPT2 if name == "gpt2" else SMALL), **EXTRA.get(name, {})}
    torch.manual_seed(3)
    model = lm_class(family, factorized=False)(family.config_class(**values, tie_word_embeddings=tied))
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if parameter.dim() == 1 or "embed" in key or "wte" in key:
                parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


def new_embeddings(source, *, seed: int = 0, rank: int | None = RANK) -> dict[str, torch.Tensor | None]:
    """Random arguments of the right shapes for :func:`assemble`."""
    draw = torch.Generator().manual_seed(seed)

    def product(rank: int | None) -> tuple[torch.Tensor, torch.Tensor | None]:
        if rank is None:
            return torch.randn(SIZE, WIDTH, generator=draw) * 0.1, None
        return torch.randn(SIZE, rank, generator=draw) * 0.1, torch.randn(rank, WIDTH, generator=draw)

    values: dict[str, torch.Tensor | None] = {}
    values["coordinates"], values["primitives"] = product(rank)
    if source.output_embeddings is not None:
        values["output_coordinates"], values["output_primitives"] = product(None if rank is None else rank - 2)
    if source.head_bias is not None:
        values["head_bias"] = torch.randn(SIZE, generator=draw)
    return values


@pytest.fixture(params=sorted(FAMILIES))
def family_name(request) -> str:
    return request.param


@pytest.fixture
def target_tokenizer() -> PreTrainedTokenizerFast:
    """Sixty words; its padding id (4) and the other special ids are not the source's."""
    specials = ["[CLS]", "[SEP]", "[MASK]", "[UNK]", "[PAD]", "<s>", "</s>"]
    words = {token: i for i, token in enumerate([*specials, *(f"w{i}" for i in range(53))])}
    tokenizer = Tokenizer(WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        unk_token="[UNK]",
        pad_token="[PAD]",
        bos_token="<s>",
        eos_token="</s>",
    )


@pytest.fixture(params=[5, None], ids=["factorised", "plain"])
def rank(request) -> int | None:
    return request.param


def made(name: str, tokenizer, rank: int | None, *, tied: bool = True, **options) -> TrainingModel:
    """A small model of a family, wrapped for training; ``rank`` None is unfactorised."""
    source = source_of(small_source(name, tied=tied))
    pretrained = assemble(source, tokenizer, **new_embeddings(source, rank=rank))
    return TrainingModel(pretrained, **{"dropout": 0.0, **options})


def adapted(name: str, tokenizer, rank: int | None = 5, *, seed: int = 0, **options) -> TrainingModel:
    """A small model with adapters whose B is not zero, as after some steps."""
    model = made(name, tokenizer, rank)
    model.adapter = add_adapter(model, rank=3, alpha=6.0, seed=seed, **options)
    draw = torch.Generator().manual_seed(1)
    for key, parameter in model.named_parameters():
        if "lora_B" in key:
            parameter.data.copy_(torch.randn(parameter.shape, generator=draw))
    return model


@pytest.fixture
def batch() -> dict[str, torch.Tensor]:
    draw = torch.Generator().manual_seed(2)
    ids = torch.randint(7, 60, (3, 16), generator=draw)
    labels = torch.where(torch.rand(3, 16, generator=draw) < 0.3, ids, -100)
    labels[1] = -100
    return {"input_ids": ids, "labels": labels}


def sentence_targets(width: int = 16, **changes) -> SentenceTargets:
    draw = torch.Generator().manual_seed(5)
    values = {"pooling": "mean", "normalised": False, "mean": torch.randn(width, generator=draw), "variance": 3.0}
    return SentenceTargets(**{**values, **changes})


def sentence_model(target_tokenizer, rank=5, name: str = "bert", **changes) -> SentenceModel:
    plain = made(name, target_tokenizer, rank).pretrained
    return SentenceModel(plain, targets=sentence_targets(**changes), dropout=0.0).train()


@pytest.fixture
def pairs(batch):
    mask = torch.ones_like(batch["input_ids"])
    mask[0, 4:] = 0
    targets = torch.randn(len(mask), 16, generator=torch.Generator().manual_seed(6))
    return {"input_ids": batch["input_ids"], "attention_mask": mask, "targets": targets}
