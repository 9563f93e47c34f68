"""Which part of the model learns: everything, the embeddings only, or only the rows of new tokens."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from safetensors.torch import load_file
from torch import Tensor

from hyperofa.errors import DataMissingError, InputError, unknown_name
from hyperofa.model.families import input_embedding, output_head

if TYPE_CHECKING:
    from hyperofa.model.training import TrainingModel

Phase = Literal["all", "embeddings", "new_rows"]
COPIED_CODES = (0, 1)
"""Provenance codes of rows that are not new: special tokens and tokens copied from the source vocabulary."""


def new_rows(model_directory: str | Path) -> Tensor:
    """Mask (V,) uint8 of the rows that were not copied from the source, from ``provenance.safetensors``.

    Raises:
        DataMissingError: the model directory has no provenance.
    """
    path = Path(model_directory) / "provenance.safetensors"
    if not path.is_file():
        raise DataMissingError("no provenance of the tokens", where=path, todo="use a directory made by hyperofa init")
    code = load_file(path)["code"]
    return (~torch.isin(code, torch.tensor(COPIED_CODES, dtype=code.dtype))).to(torch.uint8)


def apply_phase(model: TrainingModel, phase: Phase, rows: Tensor | None = None) -> None:
    """Let ``phase`` learn from the next step on.

    ``embeddings`` needs nothing here: the trainer sets the learning rate of the groups named ``body`` to 0 (see
    :func:`frozen_groups`), so that no engine has to rebuild its buffers when the phase ends. ``new_rows`` also zeroes
    the gradients of the other rows, of the primitives and of the other tokens' biases, within the graph; a zero
    gradient from the first step on leaves a parameter as it is under Adam without weight decay, which the embeddings
    group has.

    Raises:
        InputError: the phase is unknown, or ``rows`` is missing or of another size than the vocabulary.
    """
    if phase not in get_args(Phase):
        raise unknown_name("training phase", phase, get_args(Phase))
    modules: tuple[Any, ...] = (input_embedding(model.pretrained), output_head(model.pretrained))
    mask = None
    if phase == "new_rows":
        if rows is None:
            raise InputError("new_rows needs the provenance of the rows")
        if rows.shape[0] != model.config.vocab_size:
            raise InputError(f"the provenance has {rows.shape[0]:,} rows, the vocabulary {model.config.vocab_size:,}")
        mask = rows
    for module in modules:
        module.trainable_rows = None if mask is None else mask.to(_device(module))


def frozen_groups(phase: Phase) -> frozenset[str]:
    """Names of the parameter groups whose learning rate is 0 in a phase."""
    return frozenset() if phase == "all" else frozenset({"body", "body_no_decay"})


def parameter_groups(model: TrainingModel, *, weight_decay: float) -> list[dict[str, Any]]:
    """Optimizer groups ``embeddings``, ``body`` and ``body_no_decay``; each has ``name``, ``params``, ``weight_decay``.

    Embeddings, output bias included, are never decayed: rows of tokens that a batch does not hold would shrink with
    every step. Biases and norms (one-dimensional parameters) are not decayed either. Tied parameters appear once.
    """
    modules = (input_embedding(model.pretrained), output_head(model.pretrained))
    embeddings = {id(p) for module in modules for p in module.parameters(recurse=False)}
    groups: dict[str, list[Tensor]] = {"embeddings": [], "body": [], "body_no_decay": []}
    for parameter in model.parameters():
        if not parameter.requires_grad:
            continue
        if id(parameter) in embeddings:
            groups["embeddings"].append(parameter)
        else:
            # Under ZeRO-3 a parameter is an empty stub that keeps its real shape as ds_shape.
            shape = getattr(parameter, "ds_shape", parameter.shape)
            groups["body" if len(shape) > 1 else "body_no_decay"].append(parameter)
    decay = {"embeddings": 0.0, "body": weight_decay, "body_no_decay": 0.0}
    return [{"name": name, "params": params, "weight_decay": decay[name]} for name, params in groups.items() if params]


def _device(module: Any) -> torch.device:
    return next(module.parameters(recurse=False)).device
