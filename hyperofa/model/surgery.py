"""Making factorised counterparts of transformers' classes by replacing their input and output embeddings."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel

from hyperofa.errors import InputError
from hyperofa.model.factorized import FactorizedEmbedding, FactorizedHead, embedding_scale

NAME = "Hyperofa"
"""Begins the name of every factorised class."""
FACTORS = ("coordinates", "primitives")
UNREAD = (r"^(cls|lm_head|head|decoder)\.",)
"""The language-model heads of the families: a class without one leaves them unread, and there is nothing to report."""


@cache
def factorized_config_class(plain: type[PreTrainedConfig], model_type: str, module: str) -> type[PreTrainedConfig]:
    """``plain`` with two more fields: ``embedding_rank`` and, for untied heads, ``head_rank``.

    ``module`` names the module in which pickle finds the class by its name.
    """
    fields = {
        "__module__": module,
        "__doc__": f"{plain.__name__} of a model with factorised embeddings.",
        "__annotations__": {"embedding_rank": "int", "head_rank": "int | None"},
        "model_type": model_type,
        "embedding_rank": 100,
        "head_rank": None,
    }
    return type(NAME + plain.__name__, (plain,), fields)


@cache
def factorized_class(
    plain: type[PreTrainedModel], config_class: type[PreTrainedConfig], embedding: str, head: str | None
) -> type[PreTrainedModel]:
    """A subclass of ``plain`` whose embedding at ``embedding`` (inside the base model) and ``head`` are factorised.

    Pickle finds it where it finds the config's class.
    """
    known = plain._keys_to_ignore_on_load_unexpected or ()
    fields = {
        "__module__": config_class.__module__,
        "__doc__": f"{plain.__name__} with factorised embeddings.",
        "config_class": config_class,
        "_keys_to_ignore_on_load_unexpected": [*known, *(UNREAD if head is None else ())],
        "plain_class": plain,
        "embedding_path": embedding,
        "head_path": head,
        "_tied_weights_keys": _tied_keys(plain, embedding, head),
    }
    return type(NAME + plain.__name__, (_Factorized, plain), fields)


def without_pooler(model_class: Any) -> dict[str, Any]:
    """The option that leaves the pooler out of a base model: a checkpoint with a language-model head holds none.

    transformers would otherwise draw one at random, and report it, at every load.
    """
    accepted = inspect.signature(model_class.__init__).parameters
    return {"add_pooling_layer": False} if "add_pooling_layer" in accepted else {}


def _tied_keys(plain: Any, embedding: str, head: str | None) -> dict[str, str] | None:
    """The tied keys of ``plain``, with the head's weight replaced by its two factors."""
    if head is None:
        return plain._tied_weights_keys
    source = f"{plain.base_model_prefix}.{embedding}"
    other = {k: v for k, v in (plain._tied_weights_keys or {}).items() if k != f"{head}.weight"}
    return {**{f"{head}.{factor}": f"{source}.{factor}" for factor in FACTORS}, **other}


class _Factorized:
    """What every factorised class adds to the transformers class that follows it in the inheritance order."""

    embedding_path: str
    head_path: str | None
    plain_class: type[PreTrainedModel]
    _operated = False

    def __init__(self, config: Any, *arguments: Any, **options: Any) -> None:
        if not arguments:
            options = {**without_pooler(self.plain_class), **options}
        with _least_vocabulary(config):
            super().__init__(config, *arguments, **options)  # type: ignore[call-arg]
        base = self.base_model  # type: ignore[attr-defined]
        old = base.get_submodule(self.embedding_path)
        width = old.embedding_dim
        new = FactorizedEmbedding(
            config.vocab_size, width, config.embedding_rank, config.pad_token_id, embedding_scale(old)
        )
        base.set_submodule(self.embedding_path, new)
        if self.head_path is not None:
            old_head = self.get_submodule(self.head_path)  # type: ignore[attr-defined]
            rank = config.embedding_rank if config.tie_word_embeddings else config.head_rank
            if rank is None:
                raise InputError("head_rank is not set, and tie_word_embeddings is false", where=config.model_type)
            head = FactorizedHead(width, config.vocab_size, rank, bias=old_head.bias is not None)
            self.set_submodule(self.head_path, head)  # type: ignore[attr-defined]
            _match_twin_bias(self, self.head_path, head, tied=config.tie_word_embeddings)
        for module in self.modules():  # type: ignore[attr-defined]
            if isinstance(getattr(module, "vocab_size", None), int):
                module.vocab_size = config.vocab_size
        self._operated = True
        self.post_init()

    def post_init(self) -> None:
        """Tie and initialise the weights, once the factors are in place (the plain class calls this too early)."""
        if self._operated:
            super().post_init()  # type: ignore[misc]

    def resize_token_embeddings(self, *arguments: Any, **options: Any) -> nn.Module:
        """Refused: the factors of new tokens come from ``hyperofa init``."""
        what, todo = "a factorised model cannot be resized", "use hyperofa init with a tokenizer"
        raise InputError(what, where=type(self).__name__, todo=todo)


def _match_twin_bias(model: Any, head_path: str, head: FactorizedHead, *, tied: bool) -> None:
    """BERT and RoBERTa name the head's bias twice: make it one parameter, or drop the second if nothing is tied."""
    around = model.get_submodule(head_path.rpartition(".")[0])
    if around is model or "bias" not in around._parameters:
        return
    if tied:
        around.bias = head.bias
    else:  # without tying, transformers would save the one and miss the other
        del around.bias


@contextmanager
def _least_vocabulary(config: Any) -> Iterator[None]:
    """Let the plain class build the smallest embedding it can: it is thrown away at once, and could be gigabytes."""
    size = config.vocab_size
    config.vocab_size = max(config.pad_token_id or 0, 0) + 1
    try:
        yield
    finally:
        config.vocab_size = size
