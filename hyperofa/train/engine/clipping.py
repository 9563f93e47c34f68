"""Clipping by the gradient of what learns, inside a ZeRO optimizer; :mod:`hyperofa.train.engine.engine` alone calls this."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

_BLOCK = 2**12
"""Elements whose squares are added up in float32."""


def clip_by_what_learns(optimizer: Any, *, stage: int) -> None:
    """Let a ZeRO optimizer take the norm, and so clip, over the parameter groups whose learning rate is not 0.

    DeepSpeed takes it over all groups. A group that a phase holds still has a gradient too (its moments go on, so that it
    starts without a jump when the phase ends), and that gradient would shrink the steps of the groups that do learn. One
    that is not finite counts wherever it is: the step is then left out on every rank, since the norms are sums over ranks.
    """
    if stage == 3:  # which cuts the groups into sub-groups
        of_all_sub_groups = optimizer._get_norm_groups

        def norms_of_sub_groups() -> list[torch.Tensor]:
            groups = [optimizer.sub_group_to_group_id[number] for number in range(len(optimizer.fp16_groups))]
            return [_counted(optimizer, group, norm) for group, norm in zip(groups, of_all_sub_groups(), strict=True)]

        optimizer._get_norm_groups = norms_of_sub_groups
        return

    def scaled_global_norm(norm_type: int = 2) -> torch.Tensor:
        norms = []
        for number, parameters in enumerate(optimizer.params_in_partition):
            if optimizer.cpu_offload:
                norm = optimizer.complete_grad_norm_calculation_for_cpu_offload(parameters)
            else:
                norm = _norm_over_ranks(optimizer.averaged_gradients[number], optimizer.dp_process_group)
            norms.append(_counted(optimizer, number, norm).float())
        stacked = torch.stack(norms)
        total = torch.linalg.vector_norm(stacked)
        return torch.where((stacked < 0).any(), torch.full_like(total, float("inf")), total)

    optimizer.scaled_global_norm = scaled_global_norm
    if not optimizer.cpu_offload:
        _divide_by_the_scale(optimizer)


def _divide_by_the_scale(optimizer: Any) -> None:
    """Let a ZeRO optimizer divide gradients by loss scale and clipping factor.

    DeepSpeed multiplies them by the rounded reciprocal, which gives other last bits than a division, and does so even by 1.
    """

    def unscale_and_clip_grads(grad_groups_flat: Sequence[torch.Tensor], total_norm: torch.Tensor | None) -> None:
        scale = grad_groups_flat[0].new_tensor(float(optimizer.loss_scale))
        if optimizer.clip_grad > 0 and total_norm is not None:
            # The norm is that of the scaled gradients, and never one that is not finite: such steps are left out before.
            scale = scale * ((total_norm / scale + 1e-6) / optimizer.clip_grad).clamp(min=1.0)
        if scale != 1:
            for gradient in grad_groups_flat:
                gradient.div_(scale)

    optimizer.unscale_and_clip_grads = unscale_and_clip_grads


def _norm_over_ranks(gradients: Sequence[torch.Tensor], group: Any) -> torch.Tensor:
    """The norm of a group's gradient, whose parts the ranks hold; -1 where it is not finite, as DeepSpeed writes it.

    DeepSpeed's own makes a float64 copy of every gradient, twice its size. Here only the norms of blocks are added in
    float64: a block is short enough for float32.
    """
    blocks: list[torch.Tensor] = []
    for gradient in gradients:
        flat = gradient.detach().reshape(-1)
        even = flat.numel() - flat.numel() % _BLOCK
        blocks.append(torch.linalg.vector_norm(flat[:even].view(-1, _BLOCK), dim=1, dtype=torch.float32))
        blocks.append(torch.linalg.vector_norm(flat[even:], dtype=torch.float32)[None])
    squares = torch.cat(blocks).double().square().sum()
    torch.distributed.all_reduce(squares, group=group)
    norm = squares.sqrt().float()
    return torch.where(norm.isfinite(), norm, torch.full_like(norm, -1.0))


def _counted(optimizer: Any, group: int, norm: torch.Tensor) -> torch.Tensor:
    """A group's norm, or 0 if it stands still; DeepSpeed writes -1 for a norm that is not finite, which stays."""
    return norm if optimizer.param_groups[group]["lr"] else norm.clamp(max=0.0)
