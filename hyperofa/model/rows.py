"""Letting only some rows of a matrix learn, as part of the graph, so that it holds under every engine."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class _OnlyRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, matrix: Tensor, rows: Tensor) -> Tensor:
        ctx.save_for_backward(rows)
        return matrix.view_as(matrix)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (rows,) = ctx.saved_tensors
        grad = grads[0]
        keep = rows.to(grad.dtype)
        return grad * (keep[:, None] if grad.dim() == 2 else keep), None


def only_rows(matrix: Tensor, rows: Tensor) -> Tensor:
    """``matrix`` (V, …) unchanged, with a gradient that is zero outside ``rows`` (V,), a mask of 0 and 1."""
    return _OnlyRows.apply(matrix, rows)
