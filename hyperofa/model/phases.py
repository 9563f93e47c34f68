"""Which part of the model learns: everything, all but the rows of the source, the embeddings, only new rows, or the head."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Protocol, get_args

from torch import Tensor
from transformers import PreTrainedModel

from hyperofa.base.modeltypes import OLD_ROWS_STAY, PARTS, Part, Phase
from hyperofa.errors import InputError, unknown_name
from hyperofa.model.families import input_embedding, output_head


class Wrapper(Protocol):
    """What holds the model that is trained, such as :class:`hyperofa.model.TrainingModel`."""

    pretrained: PreTrainedModel


def enter_phase(model: PreTrainedModel, phase: Phase, new_rows: Tensor | None = None) -> bool:
    """Let ``phase`` learn from the next step on; returns whether anything below the head needs a graph.

    The trainer sets the learning rates of the parts that do not learn to 0 (see :func:`frozen_parts`), so that no engine
    has to rebuild its buffers when the phase ends. ``head`` needs no graph below the head, and none is kept where all
    that lies there is frozen or tied to the head, which halves the cost of a step; elsewhere the gradients are computed
    all the same, since AdamW's moments must not start empty when the phase ends. ``new_rows`` and ``all_but_old_rows``
    also zero the gradients of the other rows, of the primitives and of the other tokens' biases, within the graph; a zero
    gradient from the first step on leaves a parameter as it is under Adam without weight decay, which the embeddings
    group has.

    Args:
        model: with a language-model head, wrapped for training.
        phase: what learns.
        new_rows: (V,) mask of the rows that are not copied from the source, for ``new_rows`` and ``all_but_old_rows``.

    Raises:
        InputError: the phase is unknown, or the mask is missing or of another size than the vocabulary.
    """
    if phase not in get_args(Phase):
        raise unknown_name("training phase", phase, get_args(Phase))
    mask = new_rows if phase in OLD_ROWS_STAY else None
    if phase in OLD_ROWS_STAY and mask is None:
        raise InputError(f"{phase} needs the provenance of the rows")
    if mask is not None and mask.shape[0] != model.config.vocab_size:
        raise InputError(f"the provenance has {mask.shape[0]:,} rows, the vocabulary {model.config.vocab_size:,}")
    module: Any
    for module in (input_embedding(model), output_head(model)):
        module.trainable_rows = None if mask is None else mask.to(next(module.parameters(recurse=False)).device)
    tied = {id(parameter) for parameter in output_head(model).parameters()}
    return phase != "head" or any(p.requires_grad and id(p) not in tied for p in model.base_model.parameters())


def frozen_parts(phase: Phase) -> frozenset[Part]:
    """The parts whose learning rate is 0 in a phase.

    ``head`` leaves only the layers between body and scores: a head that was made new must learn to speak before its
    gradients are worth anything to the tied embeddings.
    """
    learning: dict[Phase, frozenset[Part]] = {
        "all": frozenset(PARTS),
        "all_but_old_rows": frozenset(PARTS),
        "embeddings": frozenset({"embeddings", "primitives"}),
        "new_rows": frozenset({"embeddings", "primitives"}),
        "head": frozenset({"head"}),
    }
    return frozenset(PARTS) - learning[phase]


def part_of(group: str) -> str:
    """The part that a parameter group belongs to."""
    return group.removesuffix("_no_decay")


def freeze(model: Wrapper, parts: Collection[Part]) -> None:
    """Take parts out of training altogether: their gradients are never computed, the optimizer never sees them."""
    by_part = _by_part(model)
    for parameter in (parameter for part in parts for parameter in by_part[part]):
        parameter.requires_grad_(False)


def freeze_beyond_body(pretrained: PreTrainedModel) -> None:
    """Take all but the body, whose embeddings are part of it, out of training: no loss over its states reaches the rest."""
    body = {id(parameter) for parameter in pretrained.base_model.parameters()}
    for parameter in pretrained.parameters():
        if id(parameter) not in body:
            parameter.requires_grad_(False)


def parameter_groups(model: Wrapper, *, weight_decay: float) -> list[dict[str, Any]]:
    """Optimizer groups; each has ``name``, ``params`` and ``weight_decay``. Empty ones are left out.

    ``embeddings`` are coordinates (or dense rows) and the output bias, ``primitives`` the factor that all tokens share,
    ``head`` what lies between body and scores, ``body`` the rest. Embeddings and primitives are never decayed: rows of tokens
    that a batch does not hold would shrink with every step. Biases and norms (one-dimensional parameters) of the others are
    in ``head_no_decay`` and ``body_no_decay``. Tied parameters appear once.
    """
    groups: dict[str, list[Tensor]] = {}
    for part, parameters in _by_part(model).items():
        for parameter in parameters:
            if not parameter.requires_grad:
                continue
            # Under ZeRO-3 a parameter is an empty stub that keeps its real shape as ds_shape.
            flat = len(getattr(parameter, "ds_shape", parameter.shape)) < 2
            name = f"{part}_no_decay" if flat and part in {"head", "body"} else part
            groups.setdefault(name, []).append(parameter)
    return [
        {"name": name, "params": params, "weight_decay": weight_decay if name in {"head", "body"} else 0.0}
        for name, params in groups.items()
    ]


@dataclass(frozen=True)
class RowMask:
    """Some rows of a matrix (V, D), as a mask of its elements that is made for a stretch at a time.

    Attributes:
        rows: (V,) bool.
        width: D.
    """

    rows: Tensor
    width: int

    def stretch(self, start: int, count: int) -> Tensor:
        """The mask of ``count`` elements from ``start`` on, row by row; shorter where the matrix ends before."""
        first = start // self.width
        rows = self.rows[first : -(-(start + count) // self.width)].repeat_interleave(self.width)
        return rows[start - first * self.width :][:count]


def elements_of_the_source(pretrained: PreTrainedModel, old: Tensor) -> dict[str, list[tuple[Tensor, RowMask]]]:
    """Parameters, each with those of its elements that are of ``old_rows``, or, all of them, of ``primitives``.

    Args:
        pretrained: with a language-model head.
        old: (V,) mask of the rows that are the source's.
    """
    masks: dict[str, list[tuple[Tensor, RowMask]]] = {"old_rows": [], "primitives": []}
    modules = (input_embedding(pretrained), output_head(pretrained))
    names = {parameter: name for module in modules for name, parameter in module.named_parameters(recurse=False)}
    for parameter, name in names.items():  # once, where both share it
        count = getattr(parameter, "ds_numel", parameter.numel())  # under ZeRO-3 a parameter is an empty stub
        if name == "primitives":
            masks["primitives"].append((parameter, RowMask(old.new_ones(1), count)))
        else:
            masks["old_rows"].append((parameter, RowMask(old, count // len(old))))
    return masks


def _by_part(model: Wrapper) -> dict[Part, list[Tensor]]:
    """Every parameter of the model under its part."""
    modules = (input_embedding(model.pretrained), output_head(model.pretrained))
    shared = {id(parameter): name for module in modules for name, parameter in module.named_parameters(recurse=False)}
    base = {id(parameter) for parameter in model.pretrained.base_model.parameters()}
    parts: dict[Part, list[Tensor]] = {part: [] for part in PARTS}
    for parameter in model.pretrained.parameters():
        if id(parameter) in shared:
            part: Part = "primitives" if shared[id(parameter)] == "primitives" else "embeddings"
        else:
            part = "body" if id(parameter) in base else "head"
        parts[part].append(parameter)
    return parts
