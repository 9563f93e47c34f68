"""Every name inside DeepSpeed that we read or replace though its documentation promises none of them.

The installed version is asked for each before it is used. Where one is missing, DeepSpeed's own behaviour stays, and one
warning says so.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Use:
    """One thing that needs DeepSpeed's insides.

    Attributes:
        purpose: what they are used for.
        otherwise: what happens where one of them is missing.
        names: paths below the object that is asked; ``*`` is the first item of a list, ``name(a, b)`` a method that takes
            these parameters.
    """

    purpose: str
    otherwise: str
    names: tuple[str, ...]


_CLIPPING = ("clipping by the gradient of what learns", "DeepSpeed clips by the gradient of all parameters")
_LAYOUT = (
    "norms of each parameter, and resuming with other ranks, stage or precision",
    "checkpoints carry the norms of all parameters together, and resume only as they were saved",
)
CLIPPING = Use(
    *_CLIPPING,
    (
        "scaled_global_norm(norm_type)",  # replaced
        "unscale_and_clip_grads(grad_groups_flat, total_norm)",  # replaced
        "complete_grad_norm_calculation_for_cpu_offload(params)",
        "averaged_gradients",
        "clip_grad",
        "cpu_offload",
        "dp_process_group",
        "loss_scale",
        "param_groups",
        "params_in_partition",
    ),
)
CLIPPING_3 = Use(
    *_CLIPPING,
    (
        "_get_norm_groups()",  # replaced
        "fp16_groups",
        "param_groups",
        "sub_group_to_group_id",
    ),
)
LAYOUT = Use(
    *_LAYOUT,
    (
        "bit16_groups.*.*._hp_mapping.hp_fragment_address.start",
        "bit16_groups.*.*._hp_mapping.hp_fragment_address.numel",
        "bit16_groups.*.*._hp_mapping.lp_fragment_address.start",
        "param_names",
        "single_partition_of_fp32_groups",
        "update_lp_params()",
    ),
)
LAYOUT_3 = Use(
    *_LAYOUT,
    (
        "checkpoint_event_epilogue()",
        "checkpoint_event_prologue()",
        "fp16_groups.*.*.partition_numel()",
        "fp16_partitioned_groups",
        "fp16_partitioned_groups_flat",
        "fp32_partitioned_groups_flat",
        "param_names",
        "persistent_parameters",
        "unflatten(flat, tensors)",
    ),
)
LOSS_SCALER = Use(
    "letting max_skipped decide how many fp16 steps may be skipped",
    "DeepSpeed ends the run when its loss scale cannot fall further",
    ("loss_scaler.raise_error_at_min_scale",),
)
OPERATORS = Use(
    "keeping DeepSpeed from compiling operators during a run",
    "DeepSpeed may look for a compiler",
    ("__compatible_ops__",),
)


def is_usable(use: Use, holder: Any, gather: Callable[[Any], list[Any]] = lambda value: [value]) -> bool:
    """Whether ``holder`` has all names of a use on every rank; a warning names what is missing.

    Args:
        use: from this module's table.
        holder: the ZeRO optimizer, or what else the names lie below.
        gather: collects a value of every rank, so that all decide alike.
    """
    missing = sorted({name for part in gather([name for name in use.names if not _has(holder, name)]) for name in part})
    if missing:
        import deepspeed

        log.warning(
            "DeepSpeed %s has no %s, needed for %s: %s",
            getattr(deepspeed, "__version__", "?"),
            ", ".join(missing),
            use.purpose,
            use.otherwise,
        )
    return not missing


def _has(holder: Any, path: str) -> bool:
    """Whether a path of :class:`Use` leads somewhere; one that ends at None before does, since nothing is there to be read."""
    path, _, parameters = path.partition("(")
    for name in path.split("."):
        if holder is None:
            return True
        try:
            holder = next(iter(holder), None) if name == "*" else getattr(holder, name)
        except (AttributeError, TypeError):
            return False
    return not _ or (callable(holder) and _takes(holder, parameters.rstrip(")")))


def _takes(method: Callable[..., Any], parameters: str) -> bool:
    """Whether a method can be called with these parameters (in this order) and with no others."""
    expected = [name.strip() for name in parameters.split(",") if name.strip()]
    try:
        actual = inspect.signature(method).parameters.values()
    except (TypeError, ValueError):  # built in, which says nothing about itself
        return True
    if any(one.kind is one.VAR_POSITIONAL for one in actual):
        return True
    required = [one for one in actual if one.default is one.empty and one.kind is one.POSITIONAL_OR_KEYWORD]
    return [one.name for one in actual][: len(expected)] == expected and len(required) <= len(expected)
