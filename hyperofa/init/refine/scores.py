"""Cross-entropy over a whole vocabulary of which only some rows learn: their gradient is made in the pass that makes the loss."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

_CHUNK_BYTES = 64 << 20
"""Of float32 scores held at once: near the last-level cache's size on a CPU."""


def cross_entropies(
    hidden: Tensor,
    table: Tensor,
    learned: Tensor,
    learned_ids: Tensor,
    targets: Tensor,
    *,
    bias: Tensor | None = None,
    softcap: float | None = None,
) -> Tensor:
    """The sum () float32 of the cross-entropies of ``targets`` (N,) under scores ``hidden table^T + bias``.

    Unlike :func:`hyperofa.model.linear_cross_entropy`, products are of the table's numbers (bfloat16 is several times faster on a
    CPU that has it), and only some rows have a gradient: a product of a tenth of the size.

    Args:
        hidden: (N, r) states, as long as a row.
        table: (V, r) all rows as they are now; no gradient.
        learned: (k, r) float32, the rows of ``learned_ids`` (k,), which get one.
        learned_ids: ascending and distinct.
        targets: int64.
        bias: (V,) or None.
        softcap: see :func:`hyperofa.model.linear_cross_entropy`.
    """
    total: Tensor = _CrossEntropies.apply(hidden, learned, table, learned_ids, targets, bias, softcap)
    return total


class _CrossEntropies(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        learned: Tensor,
        table: Tensor,
        learned_ids: Tensor,
        targets: Tensor,
        bias: Tensor | None,
        softcap: float | None,
    ) -> Tensor:
        needs_grad = ctx.needs_input_grad
        total = hidden.new_zeros((), dtype=torch.float32)
        narrow = hidden.to(table.dtype)
        grad_hidden = torch.empty_like(narrow) if needs_grad[0] else None
        grad_learned = torch.zeros_like(learned) if needs_grad[1] else None
        positions = max(1, _CHUNK_BYTES // (4 * len(table)))
        for start in range(0, len(narrow), positions):
            part = slice(start, start + positions)
            scores = functional.linear(narrow[part], table).float()
            if bias is not None:
                scores += bias
            slope = None
            if softcap is not None:
                bent = torch.tanh(scores / softcap)
                scores, slope = softcap * bent, 1 - bent * bent
            chosen = targets[part, None]
            own = scores.gather(1, chosen)
            highest = scores.amax(1, keepdim=True)
            delta = scores.sub_(highest).exp_()  # written over the scores: each is raised to a power just once
            sums = delta.sum(1, keepdim=True)
            total += (highest + sums.log() - own).sum()
            if not (needs_grad[0] or needs_grad[1]):
                continue
            delta.div_(sums).scatter_add_(1, chosen, torch.full_like(sums, -1.0))
            if slope is not None:
                delta.mul_(slope)
            small = delta.to(table.dtype)
            if grad_hidden is not None:
                grad_hidden[part] = small @ table
            if grad_learned is not None:
                grad_learned += small[:, learned_ids].t() @ narrow[part]
        ctx.save_for_backward(grad_hidden, grad_learned)
        ctx.dtypes = hidden.dtype, learned.dtype
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        scaled = [
            None if saved is None else (saved * grads[0]).to(dtype)
            for saved, dtype in zip(ctx.saved_tensors, ctx.dtypes, strict=True)
        ]
        return (*scaled, None, None, None, None, None)
