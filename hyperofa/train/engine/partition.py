"""Where a ZeRO optimizer keeps one rank's share of the weights; :mod:`hyperofa.train.engine.engine` alone calls this."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Stretch:
    """``count`` elements of a parameter from ``taken`` on, at ``start`` in a flat tensor (the last may be padding)."""

    name: str
    start: int
    taken: int
    count: int


def stretches(optimizer: Any, rank: int) -> Iterator[tuple[torch.Tensor, list[Stretch]]]:
    """The rank's flat float32 tensors, and which stretch of each holds what.

    The optimizer's ``param_names`` know a tied parameter by one name, the one that its checkpoints use.
    """
    names = optimizer.param_names
    if hasattr(optimizer, "single_partition_of_fp32_groups"):
        for group, flat in zip(optimizer.bit16_groups, optimizer.single_partition_of_fp32_groups, strict=True):
            mapped = [(names[parameter], parameter._hp_mapping) for parameter in group if parameter._hp_mapping]
            parts = [(name, mapping.hp_fragment_address, mapping.lp_fragment_address) for name, mapping in mapped]
            yield flat, [Stretch(name, hp.start, lp.start, hp.numel) for name, hp, lp in parts]
        return
    for group, flat in zip(optimizer.fp16_groups, optimizer.fp32_partitioned_groups_flat, strict=True):
        start, pieces = 0, []
        for parameter in group:
            share = parameter.partition_numel()
            pieces.append(Stretch(names[parameter], start, share * rank, share))
            start += share
        yield flat, pieces


def squares_by_parameter(optimizer: Any, states: Mapping[Any, Any], rank: int) -> tuple[list[str], list[float]]:
    """Sums of squares of the rank's float32 weights and AdamW's moments (in ``states`` by flat tensor), by parameter.

    Returns the names of all parameters, the same on every rank, and three numbers for each of them.
    """
    names = sorted(set(optimizer.param_names.values()))
    places, squares = {name: 3 * number for number, name in enumerate(names)}, [0.0] * (3 * len(names))
    for flat, parts in stretches(optimizer, rank):
        state = states.get(flat, {})
        for offset, values in enumerate((flat, state.get("exp_avg"), state.get("exp_avg_sq"))):
            for part in parts if values is not None else ():
                stretch = values.detach()[part.start : part.start + part.count]
                norm = torch.linalg.vector_norm(stretch, dtype=torch.float64)
                squares[places[part.name] + offset] += float(norm) ** 2
    return names, squares


def squares_of_all(states: Mapping[Any, Any]) -> list[float]:
    """The same three numbers of all parameters together, which needs no knowledge of who holds what."""
    squares = [0.0] * 3
    for flat, state in states.items():
        for offset, values in enumerate((flat, state.get("exp_avg"), state.get("exp_avg_sq"))):
            if values is not None:
                squares[offset] += float(torch.linalg.vector_norm(values.detach(), dtype=torch.float64)) ** 2
    return squares


def update_model_weights(optimizer: Any, stage: int) -> None:
    """Copy the float32 weights of all ranks into the model, in its own precision, as DeepSpeed does after loading."""
    if stage < 3:
        optimizer.update_lp_params()
        return
    for number, flat in enumerate(optimizer.fp32_partitioned_groups_flat):
        model_flat = optimizer.fp16_partitioned_groups_flat[number]
        model_flat.data.copy_(flat.data)
        parts = optimizer.fp16_partitioned_groups[number]
        for part, value in zip(parts, optimizer.unflatten(model_flat, parts), strict=True):
            part.data = value.data
    persistent = optimizer.persistent_parameters
    if persistent:
        persistent[0].partition(persistent)
    optimizer.checkpoint_event_epilogue()
