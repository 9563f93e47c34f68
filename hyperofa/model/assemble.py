"""Putting new embeddings into a source model, and writing a factorised model as a plain transformers one."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.initialization import no_init_weights

from hyperofa.errors import InputError
from hyperofa.model.factorized import FactorizedEmbedding, FactorizedHead
from hyperofa.model.families import family_of, input_embedding, is_factorized, lm_class, output_head, parameter_dtype
from hyperofa.model.source import Source
from hyperofa.model.surgery import without_pooler
from hyperofa_eval.text.tokenizer import rows_needed

ROLES = ("bos", "eos", "pad", "cls", "sep", "unk", "mask")
TWINS = {"bos": "cls", "cls": "bos", "eos": "sep", "sep": "eos"}
"""Roles that stand in for each other when a tokenizer of another family lacks one."""


class _Rows(NamedTuple):
    """The new embeddings, as :func:`assemble` takes them."""

    coordinates: Tensor
    primitives: Tensor | None
    output_coordinates: Tensor | None
    output_primitives: Tensor | None
    head_bias: Tensor | None


def assemble(
    source: Source,
    target_tokenizer: Any,
    *,
    coordinates: Tensor,
    primitives: Tensor | None,
    output_coordinates: Tensor | None = None,
    output_primitives: Tensor | None = None,
    head_bias: Tensor | None = None,
) -> PreTrainedModel:
    """A copy of the source model with the target vocabulary's embeddings.

    Args:
        source: from :func:`hyperofa.model.load_source`; it is left as it is.
        target_tokenizer: decides the special ids and the least number of rows.
        coordinates: (V_t, r) with ``primitives`` (r, D), or (V_t, D) rows with ``primitives`` None (unfactorised).
            V_t may exceed the tokenizer's size: rows appended so that a matrix divides evenly.
        primitives: (r, D) or None.
        output_coordinates: the same for an untied head; None ties the head to the input, and must be None just when the
            source is tied.
        output_primitives: the same for an untied head.
        head_bias: (V_t,), needed just when the source's head has a bias.

    Returns:
        A model with language-model head, in the source's dtype and in evaluation mode. Special ids are set by role in
        its config, its generation config and its embedding's padding index.

    Raises:
        InputError: a shape does not fit the tokenizer or the model, or the tokenizer lacks a token the model needs.
    """
    family = source.family
    rows = _Rows(coordinates, primitives, output_coordinates, output_primitives, head_bias)
    _check(source, target_tokenizer, rows)
    config = _target_config(source, target_tokenizer, rows)
    model = _blank(lm_class(family, factorized=primitives is not None), config, parameter_dtype(source.model)).eval()
    state = _body(source.model)
    if family.shifted_positions:
        _shift_positions(state, source.model.config.pad_token_id, config.pad_token_id)
    _load(model, state, given=("coordinates", "primitives", *_per_token_keys(model)))
    with torch.no_grad():
        _fill(input_embedding(model), coordinates, primitives)
        head = output_head(model)
        if output_coordinates is not None:
            _fill(head, output_coordinates, output_primitives)
        if head_bias is not None:
            head.bias.copy_(head_bias)
    if source.model.can_generate():
        model.generation_config = type(source.model.generation_config).from_dict(
            source.model.generation_config.to_dict()
        )
        for role in ("bos", "eos", "pad"):
            setattr(model.generation_config, f"{role}_token_id", getattr(config, f"{role}_token_id", None))
    return model


def export_dense(model: PreTrainedModel) -> PreTrainedModel:
    """The same model as a plain transformers one, with E = F P (V, D) multiplied out.

    Works for every registered class, with or without a language-model head. The result shares no memory with ``model``;
    a model that is plain already is returned as it is.

    Raises:
        InputError: it is no model.
    """
    if not hasattr(model, "config"):
        raise InputError(f"{type(model).__name__} is no transformers model", where="model", todo="load it first")
    if not is_factorized(model.config):
        return model
    family = family_of(model.config)
    config = family.config_class.from_dict(_plain_values(model.config))
    bare = without_pooler(model.plain_class) if getattr(model, "pooler", None) is None else {}
    dense = _blank(model.plain_class, config, parameter_dtype(model), **bare).train(model.training)
    state = {
        key: value for key, value in model.state_dict().items() if not key.endswith((".coordinates", ".primitives"))
    }
    for name, module in model.named_modules():
        if isinstance(module, FactorizedEmbedding | FactorizedHead):
            coordinates, primitives = module.coordinates.detach(), module.primitives.detach()
            state[f"{name}.weight"] = (coordinates.float() @ primitives.float()).to(coordinates.dtype)
    twin = f"{family.head.rpartition('.')[0]}.bias"  # the second name of the head's bias in BERT and RoBERTa
    if twin in dense.state_dict():
        state.setdefault(twin, state[f"{family.head}.bias"])
    _load(dense, state)
    if model.can_generate():
        dense.generation_config = model.generation_config
    return dense


def _plain_values(config: PreTrainedConfig) -> dict[str, Any]:
    values = config.to_dict()
    for key in ("model_type", "architectures", "transformers_version", "embedding_rank", "head_rank"):
        values.pop(key, None)
    return values


def _target_config(source: Source, tokenizer: Any, rows: _Rows) -> PreTrainedConfig:
    family, old = source.family, source.model.config
    values = _plain_values(old)
    values["vocab_size"] = rows.coordinates.shape[0]
    values["tie_word_embeddings"] = rows.output_coordinates is None
    if rows.primitives is not None:
        values["embedding_rank"] = rows.primitives.shape[0]
        values["head_rank"] = None if rows.output_primitives is None else rows.output_primitives.shape[0]
    ids = {role: getattr(tokenizer, f"{role}_token_id", None) for role in ROLES}
    for role in ROLES:
        name = f"{role}_token_id"
        if name not in values:
            continue
        twin = ids[TWINS[role]] if role in TWINS and values[name] is not None else None
        values[name] = twin if ids[role] is None else ids[role]
    if family.shifted_positions:
        values["max_position_embeddings"] = old.max_position_embeddings - old.pad_token_id + values["pad_token_id"]
    config_class = family.config_class if rows.primitives is None else family.factorized_config
    return config_class.from_dict(values)


def _blank(model_class: Any, config: PreTrainedConfig, dtype: torch.dtype, **options: Any) -> PreTrainedModel:
    """A model without initialised weights, all of which are to be loaded.

    The dtype is set while it is built, as ``from_pretrained`` does: casting it afterwards would round the rotary
    frequencies, which stay float32.
    """
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with no_init_weights():
            model = model_class(config, **options)
    finally:
        torch.set_default_dtype(before)
    model.tie_weights()
    return model


def _load(model: PreTrainedModel, state: dict[str, Tensor], given: tuple[str, ...] = ()) -> None:
    """Load ``state``, which holds every parameter but those whose names end with one of ``given``."""
    missing, unexpected = model.load_state_dict(state, strict=False)
    lost = [key for key in missing if not key.endswith(given)]
    if lost or unexpected:
        raise RuntimeError(f"the model does not take the weights: missing {lost}, unexpected {unexpected}")


def _per_token_keys(model: PreTrainedModel) -> list[str]:
    """Names of a plain model's embeddings and of its head's bias (of which BERT and RoBERTa keep two)."""
    family = family_of(model.config)
    around = family.head.rpartition(".")[0]
    embedding = f"{model.base_model_prefix}.{family.embedding}.weight"
    return [embedding, f"{family.head}.weight", f"{family.head}.bias", *([f"{around}.bias"] if around else [])]


def _body(source: PreTrainedModel) -> dict[str, Tensor]:
    """Everything of the source but what has one entry per token."""
    per_token = set(_per_token_keys(source))
    return {key: value for key, value in source.state_dict().items() if key not in per_token}


def _shift_positions(state: dict[str, Tensor], old_padding: int, new_padding: int) -> None:
    """RoBERTa's positions start behind the padding id: move the table's rows with it."""
    if old_padding == new_padding:
        return
    (key,) = (key for key in state if key.endswith("position_embeddings.weight"))
    used = state[key][old_padding + 1 :]
    state[key] = torch.cat([used.new_zeros(new_padding + 1, used.shape[1]), used])


def _fill(module: Any, coordinates: Tensor, primitives: Tensor | None) -> None:
    if primitives is None:
        module.weight.copy_(coordinates)
    else:
        module.coordinates.copy_(coordinates)
        module.primitives.copy_(primitives)


def _check(source: Source, tokenizer: Any, rows: _Rows) -> None:
    size, width = rows.coordinates.shape[0], source.input_embeddings.shape[1]
    if rows_needed(tokenizer) > size:
        what = f"the tokenizer's ids need {rows_needed(tokenizer):,} rows, the embeddings have {size:,}"
        raise InputError(what, todo="make the embeddings for this tokenizer")
    _check_product("input", size, width, rows.coordinates, rows.primitives)
    tied = source.output_embeddings is None
    if (rows.output_coordinates is None) != tied:
        raise InputError(f"the source's head is {'tied: give no' if tied else 'not tied: give'} output embeddings")
    if rows.output_coordinates is not None:
        _check_product("output", size, width, rows.output_coordinates, rows.output_primitives)
        if (rows.output_primitives is None) != (rows.primitives is None):
            raise InputError("input and output embeddings must both be factorised, or neither")
    if (rows.head_bias is None) != (source.head_bias is None):
        raise InputError(f"the source's head has {'no' if source.head_bias is None else 'a'} bias per token")
    if rows.head_bias is not None and rows.head_bias.shape != (size,):
        raise InputError(f"the head's bias has shape {tuple(rows.head_bias.shape)}, the embeddings {size:,} rows")
    check_roles(source, tokenizer)


def check_roles(source: Source, tokenizer: Any) -> None:
    """Refuse, as :class:`InputError`, a target tokenizer without a special token that the source's kind of model needs."""
    needed = ("pad", "mask") if source.family.objective == "mlm" else ()
    for role in needed:
        if getattr(tokenizer, f"{role}_token_id", None) is None:
            what = f"the target tokenizer has no {role} token, which a masked language model needs"
            raise InputError(what, where="--tokenizer", todo=f"add a {role}_token to its tokenizer_config.json")


def _check_product(what: str, size: int, width: int, coordinates: Tensor, primitives: Tensor | None) -> None:
    rank = width if primitives is None else primitives.shape[0]
    if coordinates.shape != (size, rank) or (primitives is not None and primitives.shape != (rank, width)):
        shapes = f"{tuple(coordinates.shape)} x {None if primitives is None else tuple(primitives.shape)}"
        raise InputError(f"the {what} embeddings have shapes {shapes}; the model needs {size:,} rows of width {width}")
