"""Reading pre-trained models from safetensors: a source with its head, any class's config and weights, or the embeddings."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError, safe_open
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel

from hyperofa.base.hub import local_folder
from hyperofa.base.rows import RowTable
from hyperofa.errors import DataMissingError, InputError
from hyperofa.model.assemble import export_dense
from hyperofa.model.families import family_of, is_factorized, lm_class
from hyperofa.model.source import Source, source_of
from hyperofa_eval.base.hub import check_name
from hyperofa_eval.base.quiet import quiet_transformers
from hyperofa_eval.text.filekinds import refuse_lfs_pointer

log = logging.getLogger(__name__)

_WHOLE, _INDEX = "model.safetensors", "model.safetensors.index.json"

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


def read_embeddings(model: str) -> RowTable:
    """The input embeddings (V, D) of a model (a directory, or a hub id) of any family, in the dtype that they are stored in.

    Only the tensor is read; on the hub, only the file that holds it is fetched.

    Raises:
        DataMissingError: there is no such model, or no safetensors weights with its embeddings.
        InputError: transformers knows no such model, or its embeddings are no matrix.
    """
    config = read_config(model)
    if is_factorized(config):
        return RowTable(load_source(model).input_embeddings)
    with torch.device("meta"):  # the name of the tensor is wanted, not weights
        try:
            empty = AutoModel.from_config(config)
            weight = empty.get_input_embeddings().weight
        except (ValueError, AttributeError, NotImplementedError) as error:
            line = str(error).strip().splitlines()[0][:200]
            raise InputError(f"cannot tell where its embeddings are ({line})", where=model) from error
    name = next(name for name, parameter in empty.named_parameters() if parameter is weight)
    todo = "name a directory with config.json and model.safetensors"
    try:
        for file in _files(model, name):
            with safe_open(file, framework="pt") as tensors:
                keys = tensors.keys()
                if held := [key for key in keys if _is(key, name)]:
                    embeddings = tensors.get_tensor(min(held, key=len))
                    if embeddings.ndim != 2 or not embeddings.is_floating_point():
                        raise InputError(f"its embeddings are of shape {tuple(embeddings.shape)}", where=model)
                    return RowTable(embeddings)
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise DataMissingError(f"cannot load the embeddings ({error})", where=model, todo=todo) from error
    raise DataMissingError(f"no tensor {name} in its safetensors weights", where=model, todo=todo)


def _is(key: str, name: str) -> bool:
    """Whether a tensor is the one called ``name`` in the bare model: checkpoints put a prefix before it, or leave one out."""
    return key == name or key.endswith(f".{name}") or name.endswith(f".{key}")


def _files(model: str, name: str) -> list[Path]:
    """The files of a model's weights in which the tensor may be."""
    folder = local_folder(model, ["config.json", _INDEX])
    if (folder / _INDEX).is_file():
        shards = json.loads((folder / _INDEX).read_text(encoding="utf-8"))["weight_map"]
        names = sorted({file for key, file in shards.items() if _is(key, name)})
    else:
        names = [_WHOLE]
    folder = local_folder(model, names)
    return [folder / file for file in names if (folder / file).is_file()]
