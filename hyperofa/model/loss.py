"""Linear layer and cross-entropy as one operation, chunked over positions by a byte budget."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from hyperofa.errors import unknown_name

IMPLEMENTATIONS = ("reference", "chunked", "auto")

DEFAULT_CHUNK_BYTES = {"cpu": 64 << 20, "cuda": 1 << 30}
"""Bytes of float32 scores held at once: near the last-level cache's size on a CPU, enough work per kernel on a GPU."""


class LossSums(NamedTuple):
    """The summed loss, () float32 with a graph, and each position's own loss, (N,) float32 without one."""

    total: Tensor
    per_position: Tensor


@torch.compiler.disable
def linear_cross_entropy(
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    *,
    primitives: Tensor | None = None,
    bias: Tensor | None = None,
    impl: str = "auto",
    chunk_bytes: int | None = None,
    softcap: float | None = None,
) -> LossSums:
    """Sum of the cross-entropies of ``softmax(scores)`` against ``targets``; scores are ``(hidden P^T) W^T + bias``.

    Args:
        hidden: (N, D) states of the wanted positions; N may be 0, the loss is then 0 and still has a graph.
        weight: (V, r) coordinates, or (V, D) rows when ``primitives`` is None.
        targets: (N,) int64 token ids.
        primitives: (r, D) or None.
        bias: (V,) or None.
        impl: ``reference`` stores all scores (N, V); ``chunked`` never holds more than ``chunk_bytes`` of them and
            computes the gradients of its inputs in the same pass, so that nothing is multiplied twice; ``auto`` is
            ``chunked``.
        chunk_bytes: budget for the float32 scores; at least one position is always held.
        softcap: scores are replaced by ``softcap * tanh(scores / softcap)`` (Gemma 2).

    Returns:
        :class:`LossSums`; scores, losses and the sums over positions are float32 whatever the inputs' dtype.

    Raises:
        InputError: ``impl`` is unknown.
    """
    if impl not in IMPLEMENTATIONS:
        raise unknown_name("loss implementation", impl, IMPLEMENTATIONS)
    z = hidden if primitives is None else functional.linear(hidden, primitives.to(hidden.dtype))
    weight = weight.to(z.dtype)
    bias = None if bias is None else bias.to(z.dtype)
    if impl == "reference":
        return _reference(z, weight, bias, targets, softcap)
    budget = chunk_bytes or DEFAULT_CHUNK_BYTES.get(z.device.type, 1 << 30)
    positions = max(1, budget // (4 * weight.shape[0]))
    total, per_position = _ChunkedCrossEntropy.apply(z, weight, bias, targets, positions, softcap)
    return LossSums(total, per_position)


def sentence_losses(vectors: Tensor, targets: Tensor, mean: Tensor, variance: float) -> Tensor:
    """How far sentences' vectors (B, D) are from their targets (B, D), (B,) float32.

    The squared error over the targets' ``variance`` (multilingual distillation, arXiv 2004.09813) plus ``1 - cos`` about the
    targets' ``mean`` (D,): retrieval looks at directions, and a model's vectors lie in a narrow cone. Guessing the mean costs
    2 on average. Each sentence's loss is its own, so that sums do not depend on who else is in the batch.
    """
    vectors, targets, mean = vectors.float(), targets.float(), mean.float()
    error = (vectors - targets).square().sum(1) / variance
    return error + 1 - functional.cosine_similarity(vectors - mean, targets - mean, dim=1)


def _reference(z: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, softcap: float | None) -> LossSums:
    scores = functional.linear(z.float(), weight.float(), None if bias is None else bias.float())
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    losses = functional.cross_entropy(scores, targets, reduction="none")
    return LossSums(losses.sum(), losses.detach())


class _ChunkedCrossEntropy(torch.autograd.Function):
    """The loss and, in the same pass over the chunks, its gradients: the scores are made once and never stored."""

    @staticmethod
    def forward(
        ctx: Any,
        z: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        positions: int,
        softcap: float | None,
    ) -> tuple[Tensor, Tensor]:
        wanted = [ctx.needs_input_grad[i] for i in range(3)]
        losses = torch.zeros(z.shape[0], dtype=torch.float32, device=z.device)
        grad_z = torch.zeros_like(z, dtype=torch.float32) if wanted[0] else None
        grad_weight = torch.zeros_like(weight, dtype=torch.float32) if wanted[1] else None
        grad_bias = torch.zeros_like(bias, dtype=torch.float32) if wanted[2] and bias is not None else None
        with torch.autocast(z.device.type, enabled=False), _sums_in_float32(z):
            wide = weight if weight.is_cuda else weight.float()  # a CPU has no product of 16 bits that returns 32
            for start in range(0, z.shape[0], positions):
                part = slice(start, start + positions)
                scores = _scores(z[part], wide, bias)
                slope = _softcap_(scores, softcap)
                chosen = targets[part, None]
                target_scores = scores.gather(1, chosen)
                if not any(wanted):
                    losses[part] = (scores.logsumexp(1, keepdim=True) - target_scores).squeeze(1)
                    continue
                # d loss / d scores = softmax - one-hot, written over the scores: each is raised to a power just once.
                highest = scores.amax(1, keepdim=True)
                delta = scores.sub_(highest).exp_()
                sums = delta.sum(1, keepdim=True)
                losses[part] = (highest + sums.log() - target_scores).squeeze(1)
                delta.div_(sums)
                delta.scatter_add_(1, chosen, torch.full_like(sums, -1.0))
                if slope is not None:
                    delta.mul_(slope)
                if grad_bias is not None:
                    grad_bias += delta.sum(0)
                narrow = delta.to(z.dtype)
                if grad_z is not None:
                    grad_z[part] = narrow @ weight
                if grad_weight is not None:
                    _accumulate_(grad_weight, narrow if z.is_cuda else delta, z[part])
        ctx.save_for_backward(grad_z, grad_weight, grad_bias)
        ctx.dtype = z.dtype
        ctx.mark_non_differentiable(losses)
        return losses.sum(), losses

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        scaled = [None if grad is None else (grad * grads[0]).to(ctx.dtype) for grad in ctx.saved_tensors]
        return (*scaled, None, None, None)


@contextmanager
def _sums_in_float32(z: Tensor) -> Iterator[None]:
    """Within it, float32 products of what was bfloat16 go through a CPU's units for bfloat16: as exact, in half the time.

    Sums are float32's. Only the gradients of scores are rounded to bfloat16 on the way, as on a GPU.
    """
    if z.device.type != "cpu" or z.dtype != torch.bfloat16:
        yield
        return
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def _scores(z: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Float32 scores (n, V); on CUDA the 16-bit product is accumulated and returned in float32."""
    if weight.dtype == torch.float32:
        return functional.linear(z.float(), weight, None if bias is None else bias.float())
    scores = torch.mm(z, weight.t(), out_dtype=torch.float32)
    return scores if bias is None else scores.add_(bias)


def _accumulate_(total: Tensor, delta: Tensor, z: Tensor) -> None:
    """``total += delta^T z`` in float32."""
    if delta.dtype == torch.float32:
        total.addmm_(delta.t(), z.float())
    else:
        total += torch.mm(delta.t(), z, out_dtype=torch.float32)


def _softcap_(scores: Tensor, softcap: float | None) -> Tensor | None:
    """Replace ``scores`` by their soft-capped values in place; returns the slope there, or None without a cap."""
    if softcap is None:
        return None
    tanh = scores.div_(softcap).tanh_()
    slope = 1 - tanh * tanh
    scores.mul_(softcap)
    return slope
