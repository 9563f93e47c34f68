"""The families table: for each, where its input and output embeddings are, and what lies between body and head."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from threading import RLock
from typing import Any, Literal

import torch
import transformers
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel

from hyperofa.base.modeltypes import PREFIX
from hyperofa.errors import InputError, unknown_name
from hyperofa.model.surgery import NAME, factorized_class, factorized_config_class

Objective = Literal["mlm", "causal"]


def _unchanged(model: Any, hidden: Tensor) -> Tensor:
    return hidden


def _bert_head(model: Any, hidden: Tensor) -> Tensor:
    return model.cls.predictions.transform(hidden)


def _roberta_head(model: Any, hidden: Tensor) -> Tensor:
    head = model.lm_head
    return head.layer_norm(nn.functional.gelu(head.dense(hidden)))


def _modernbert_head(model: Any, hidden: Tensor) -> Tensor:
    return model.head(hidden)


@dataclass(frozen=True)
class Family:
    """One model family of transformers.

    Attributes:
        model_type: its ``model_type`` in transformers; the factorised one is ``hyperofa_<model_type>``.
        prefix: how its classes are called: ``<prefix>Config``, ``<prefix>Model``, ``<prefix>ForMaskedLM``, …
        objective: ``mlm`` for encoders, ``causal`` for decoders.
        embedding: path of the input embedding inside the base model.
        head: path of the output embedding (scores of all tokens) inside the model with a language-model head.
        before_head: what the language-model head does to a hidden state before the scores.
        shifted_positions: position ids start behind the padding id (RoBERTa), so the position table follows it.
        classes: class names that do not follow from ``prefix``.
    """

    model_type: str
    prefix: str
    objective: Objective
    embedding: str
    head: str
    before_head: Callable[[Any, Tensor], Tensor] = _unchanged
    shifted_positions: bool = False
    classes: dict[str, str] = field(default_factory=dict)

    @property
    def config_class(self) -> Any:
        """The plain config class of transformers."""
        return getattr(transformers, self.classes.get("Config", f"{self.prefix}Config"))

    @property
    def lm_kind(self) -> str:
        """``ForMaskedLM`` or ``ForCausalLM``."""
        return "ForMaskedLM" if self.objective == "mlm" else "ForCausalLM"

    def plain_class(self, kind: str) -> Any:
        """The transformers class of a kind (``Model``, ``ForMaskedLM``, …), or None where the family has none."""
        return getattr(transformers, self.classes.get(kind, f"{self.prefix}{kind}"), None)

    @property
    def factorized_config(self) -> Any:
        """The config class with ``embedding_rank`` and ``head_rank``; the Auto classes know it."""
        return register(self.model_type)

    def factorized_class(self, kind: str, config: Any = None) -> type[PreTrainedModel] | None:
        """The factorised counterpart of :meth:`plain_class`; ``config`` is the config class while that is being registered."""
        plain, head = self.plain_class(kind), self.head if kind == self.lm_kind else None
        return plain and factorized_class(plain, config or self.factorized_config, self.embedding, head)


def _encoder(model_type: str, prefix: str, **more: Any) -> Family:
    return Family(model_type, prefix, "mlm", "embeddings.word_embeddings", **more)


def _decoder(model_type: str, prefix: str, **more: Any) -> Family:
    return Family(model_type, prefix, "causal", **{"embedding": "embed_tokens", "head": "lm_head", **more})


FAMILIES: dict[str, Family] = {
    family.model_type: family
    for family in (
        _encoder("bert", "Bert", head="cls.predictions.decoder", before_head=_bert_head),
        _encoder("roberta", "Roberta", head="lm_head.decoder", before_head=_roberta_head, shifted_positions=True),
        _encoder(
            "xlm-roberta", "XLMRoberta", head="lm_head.decoder", before_head=_roberta_head, shifted_positions=True
        ),
        Family("modernbert", "ModernBert", "mlm", "embeddings.tok_embeddings", "decoder", _modernbert_head),
        _decoder("llama", "Llama"),
        _decoder("mistral", "Mistral"),
        _decoder("qwen2", "Qwen2"),
        _decoder("qwen3", "Qwen3"),
        _decoder("gemma", "Gemma"),
        _decoder("gemma2", "Gemma2"),
        _decoder("gemma3_text", "Gemma3Text", classes={"ForCausalLM": "Gemma3ForCausalLM"}),
        _decoder("gpt2", "GPT2", embedding="wte", classes={"ForCausalLM": "GPT2LMHeadModel"}),
    )
}

AUTO_CLASSES = {
    "Model": transformers.AutoModel,
    "ForMaskedLM": transformers.AutoModelForMaskedLM,
    "ForCausalLM": transformers.AutoModelForCausalLM,
    "ForTokenClassification": transformers.AutoModelForTokenClassification,
    "ForSequenceClassification": transformers.AutoModelForSequenceClassification,
}


def family_of(config: PreTrainedConfig, where: object = None) -> Family:
    """The family of a plain or factorised config.

    Raises:
        InputError: the model type is not in the table.
    """
    name = str(config.model_type).removeprefix(PREFIX)
    if name not in FAMILIES:
        raise unknown_name("model family", name, FAMILIES, where=where)
    return FAMILIES[name]


def is_factorized(config: PreTrainedConfig) -> bool:
    """Whether a config belongs to a factorised model."""
    return str(config.model_type).startswith(PREFIX)


def lm_class(family: Family, *, factorized: bool) -> type[PreTrainedModel]:
    """The class with the family's language-model head."""
    model_class = family.factorized_class(family.lm_kind) if factorized else family.plain_class(family.lm_kind)
    if model_class is None:
        raise InputError(f"this version of transformers has no {family.prefix}{family.lm_kind}")
    return model_class


_REGISTERING = RLock()


def register(name: str) -> Any:
    """Register a family's factorised classes with transformers' Auto classes (once); returns the config class."""
    with _REGISTERING:
        return _register(name)


@cache
def _register(name: str) -> Any:
    family = FAMILIES[name]
    config = factorized_config_class(family.config_class, PREFIX + name, __name__)
    transformers.AutoConfig.register(config.model_type, config)
    for kind, auto in AUTO_CLASSES.items():
        model = family.factorized_class(kind, config)
        if model is not None and not (kind == "ForCausalLM" and family.objective == "mlm"):
            auto.register(config, model)
    return config


def register_all() -> None:
    """Register every family."""
    for name in FAMILIES:
        register(name)


def __getattr__(name: str) -> Any:
    """A factorised class by its name, where pickle looks for it: another process may not have made it yet."""
    plain = name.removeprefix(NAME) if name.startswith(NAME) else None
    for family in FAMILIES.values() if plain else ():
        if plain == family.config_class.__name__:
            return family.factorized_config
        for kind in AUTO_CLASSES:
            if plain == getattr(family.plain_class(kind), "__name__", None):
                return family.factorized_class(kind)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def input_embedding(model: PreTrainedModel) -> Any:
    """The module that embeds token ids."""
    return model.base_model.get_submodule(family_of(model.config).embedding)


def output_head(model: PreTrainedModel) -> Any:
    """The module that scores all tokens; ``model`` has a language-model head."""
    return model.get_submodule(family_of(model.config).head)


def is_tied(model: PreTrainedModel) -> bool:
    """Whether the rows of the input embedding are the very parameter that the output head scores with."""
    inputs = {id(parameter) for parameter in input_embedding(model).parameters(recurse=False)}
    return any(id(p) in inputs for p in output_head(model).parameters(recurse=False))


def final_softcap(config: PreTrainedConfig) -> float | None:
    """The cap on the scores that some families (Gemma 2) apply."""
    return getattr(config, "final_logit_softcapping", None)


def parameter_dtype(model: nn.Module) -> torch.dtype:
    """The dtype of the first floating-point parameter."""
    return next(p.dtype for p in model.parameters() if p.is_floating_point())
