"""Dropout whose masks are functions of (seed, epoch, sample id), so that a run is the same on any number of ranks."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hyperofa.errors import InputError

ATTENTION_MODULES = ("attention.self.dropout", "attn.attn_dropout")
"""Where BERT's kind and GPT-2 keep the dropout of attention probabilities; the others keep a number."""

# Constants of a 32-bit integer finaliser with low bias (two multiplications, three shifts).
_FIRST, _SECOND = 0x7FEB352D, 0x846CA68B


class StatelessDropout(nn.Module):
    """Zero each element with probability ``rate`` and scale the others; the choice is a hash of (key, layer, position).

    Attributes:
        keys: (B,) int64, one per sequence of the micro-batch, set before every forward pass by the training model.
    """

    def __init__(self, rate: float, layer: int) -> None:
        super().__init__()
        self.rate, self.layer = rate, layer
        self.keys: Tensor | None = None

    def forward(self, values: Tensor) -> Tensor:
        """``values`` (B, …) with dropped elements when training, unchanged otherwise."""
        if not self.training or self.rate == 0.0:
            return values
        if self.keys is None:
            raise ValueError("dropout is on, so the model needs dropout_keys")
        index = torch.arange(values[0].numel(), dtype=torch.int32, device=values.device)
        rows = _mix(_int32(self.keys ^ (self.layer * _FIRST & 0xFFFFFFFF)))
        mixed = _mix(rows[:, None] ^ index)
        keep = mixed.bitwise_xor_(-(2**31)) >= int(self.rate * 2**32) - 2**31  # compared as unsigned
        return values * keep.view(values.shape).to(values.dtype).mul_(1.0 / (1.0 - self.rate))

    def extra_repr(self) -> str:
        """The rate, for ``print(model)``."""
        return f"rate={self.rate}, layer={self.layer}"


def make_stateless(model: nn.Module, rate: float | None) -> list[StatelessDropout]:
    """Make the dropout layers of ``model`` stateless, with one rate (None keeps each layer's).

    Attention probabilities are never dropped: fused attention draws those masks from a generator of its own.

    Returns:
        The layers whose rate is not 0; the others do nothing.

    Raises:
        InputError: ``rate`` is not in [0, 1).
    """
    if rate is not None and not 0.0 <= rate < 1.0:
        raise InputError(f"a dropout rate of {rate} is not in [0, 1)")
    made: list[StatelessDropout] = []
    for path, module in list(model.named_modules()):
        if isinstance(getattr(module, "attention_dropout", None), float):
            setattr(module, "attention_dropout", 0.0)  # noqa: B010  (not a tensor, which is all that mypy knows)
        if isinstance(module, StatelessDropout):  # made by an earlier call
            module.rate = module.rate if rate is None else rate
            made += [module] if module.rate > 0.0 else []
            continue
        if not isinstance(module, nn.Dropout):
            continue
        if path.endswith(ATTENTION_MODULES):
            module.p = 0.0
            continue
        module.p = module.p if rate is None else rate
        if module.p > 0.0:
            made.append(StatelessDropout(module.p, len(made)))
            model.set_submodule(path, made[-1])
    return made


def _mix(value: Tensor) -> Tensor:
    """A hash of 32-bit integers, held in int32: products wrap around, and shifts bring in zeros."""
    value = value ^ (value >> 16).bitwise_and_(0xFFFF)
    value.mul_(_FIRST)
    value.bitwise_xor_((value >> 15).bitwise_and_(0x1FFFF)).mul_(_SECOND - 2**32)
    return value.bitwise_xor_((value >> 16).bitwise_and_(0xFFFF))


def _int32(value: Tensor) -> Tensor:
    """The low 32 bits of int64 numbers."""
    value = value & 0xFFFFFFFF
    return torch.where(value < 2**31, value, value - 2**32).to(torch.int32)
