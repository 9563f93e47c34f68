"""Reading pre-trained models from safetensors: a source with its language-model head, or any class's config and weights."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from transformers import AutoConfig, PreTrainedConfig, PreTrainedModel

from hyperofa.errors import DataMissingError, InputError
from hyperofa.model.assemble import export_dense
from hyperofa.model.families import family_of, is_factorized, lm_class
from hyperofa.model.source import Source, source_of
from hyperofa_eval.base.hub import check_name
from hyperofa_eval.base.quiet import quiet_transformers
from hyperofa_eval.text.filekinds import refuse_lfs_pointer

log = logging.getLogger(__name__)

_BROKEN = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    RuntimeError,
    ArithmeticError,
    SafetensorError,
    StrictDataclassError,
)
"""What transformers raises on a damaged config or damaged weights."""


def load_source(
    model: str | Path, *, head: str | None = None, seed: int = 0, dtype: torch.dtype | None = None
) -> Source:
    """Load a model (a directory, or a hub id the user named) with its language-model head, for initialisation.

    Args:
        model: directory or hub id; weights must be safetensors.
        head: ``mlm`` or ``causal`` to insist on one; None takes what the family has.
        seed: draws the parts of the head that the checkpoint lacks.
        dtype: of the parameters; None keeps the checkpoint's.

    Raises:
        DataMissingError: there is no such model, or it has no safetensors weights.
        InputError: the family is unknown, has another head than asked for, or the config does not fit the weights.
    """
    where = str(model)
    config = read_config(where)
    family = family_of(config, where)
    if head is not None and head != family.objective:
        raise InputError(f"a {family.model_type} model has a {family.objective} head, not {head}", where=where)
    plain = lm_class(family, factorized=is_factorized(config))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        loaded, missing = read_weights(plain, where, dtype=dtype or "auto")
    prefix = f"{loaded.base_model_prefix}."
    if any(key.startswith(prefix) for key in missing):
        raise InputError(f"the checkpoint lacks weights ({missing[0]} and {len(missing) - 1} more)", where=where)
    if missing:
        what = "%s: the checkpoint has no language-model head; made new with seed %d: %s"
        log.warning(what, where, seed, ", ".join(missing))
    if is_factorized(config):
        loaded = export_dense(loaded)
    return source_of(loaded, head_is_new=bool(missing))


def read_config(where: str) -> PreTrainedConfig:
    """The config of a model directory or hub id; raises :class:`DataMissingError` where there is none or it is damaged."""
    check_name(where)
    if Path(where).is_dir() and not (Path(where) / "config.json").is_file():
        raise DataMissingError("no config.json in the model directory", where=where)
    try:
        config: PreTrainedConfig = AutoConfig.from_pretrained(where, trust_remote_code=False)
    except _BROKEN as error:
        raise _unreadable(where, error) from error
    return config


def read_weights(
    model_class: type[PreTrainedModel], where: str, **options: Any
) -> tuple[PreTrainedModel, Sequence[str]]:
    """A model with the weights of its safetensors, and the names of those that it lacks.

    Raises:
        DataMissingError: there are none, or they are damaged.
        InputError: their shapes are not the config's.
    """
    try:
        with quiet_transformers():
            loaded, info = model_class.from_pretrained(
                where, use_safetensors=True, output_loading_info=True, ignore_mismatched_sizes=True, **options
            )
    except _BROKEN as error:
        raise _unreadable(where, error) from error
    for key, stored, wanted in sorted(info["mismatched_keys"]):
        what = f"config.json does not fit the weights: {key} is {tuple(stored)} there and would be {tuple(wanted)}"
        raise InputError(what, where=where, todo="use the config that the weights were saved with")
    return loaded, sorted(info["missing_keys"])


def _unreadable(where: str, error: Exception) -> DataMissingError:
    refuse_lfs_pointer(Path(where))
    cause = error.__cause__ if isinstance(error, StrictDataclassError) and error.__cause__ else error
    lines = str(cause).strip().splitlines() or [type(error).__name__]
    todo = "name a directory with config.json and model.safetensors"
    return DataMissingError(f"cannot load the model ({lines[0]})", where=where, todo=todo)
