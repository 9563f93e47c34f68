"""Attention whose backward pass is fast in bfloat16 on a CPU, in place of torch's fused one, for models that learn."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

LONGEST = 256
"""Keys up to which plain attention is the faster one (benchmarks/bf16_speed.py); its weights are kept for backward."""


def attention_to_learn_with(device: torch.device, dtype: torch.dtype) -> AbstractContextManager[Any]:
    """Within it, attention in bfloat16 on a CPU is :func:`plain_attention` where that learns faster; elsewhere torch chooses.

    Torch's fused attention takes two to ten times as long there, backward pass included, and its plain one multiplies in
    float32. Where a model of ``dtype`` on ``device`` has no use of it, nothing is looked at on the way.
    """
    useful = device.type == "cpu" and dtype == torch.bfloat16 and torch.is_grad_enabled()
    return _PlainAttention() if useful else nullcontext()


def plain_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """What :func:`torch.nn.functional.scaled_dot_product_attention` gives, without dropout, as two products and a softmax.

    Args:
        query: (B, H, L, D).
        key: (B, H, S, D), or fewer heads with ``enable_gqa``.
        value: (B, H, S, D), likewise.
        attn_mask: broadcast to (B, H, L, S); bool (True takes part) or added to the scores. A row in which nothing takes part
            gives the mean of all values, not NaN.
        is_causal: position i sees positions up to i.
        scale: of the scores; None is 1 / sqrt(D).
        enable_gqa: several heads of ``query`` share one of ``key`` and ``value``.
    """
    if enable_gqa:
        shared = query.shape[-3] // key.shape[-3]
        key, value = key.repeat_interleave(shared, dim=-3), value.repeat_interleave(shared, dim=-3)
    least = torch.finfo(query.dtype).min
    if is_causal:
        length, keys = query.shape[-2], key.shape[-2]
        attn_mask = torch.full((length, keys), least, dtype=query.dtype, device=query.device).triu(1)
    elif attn_mask is not None and attn_mask.dtype == torch.bool:
        attn_mask = torch.zeros_like(attn_mask, dtype=query.dtype).masked_fill(~attn_mask, least)
    scores = query * (query.shape[-1] ** -0.5 if scale is None else scale) @ key.transpose(-1, -2)
    if attn_mask is not None:
        scores = scores + attn_mask.clamp(min=least)
    return functional.softmax(scores, dim=-1) @ value


class _PlainAttention(TorchFunctionMode):
    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is functional.scaled_dot_product_attention and _is_faster(*args, **kwargs):
            return plain_attention(*args, **{name: kwargs[name] for name in kwargs if name != "dropout_p"})
        return func(*args, **kwargs)


def _is_faster(query: Tensor, key: Tensor, *more: Any, dropout_p: float = 0.0, **_: Any) -> bool:
    learns = torch.is_grad_enabled() and query.requires_grad
    short = query.dtype == torch.bfloat16 and key.shape[-2] <= LONGEST
    return learns and short and len(more) <= 2 and not dropout_p
