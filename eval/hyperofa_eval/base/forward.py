"""Leaving a forward pass early, where only the output of one block is wanted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn


class _LeaveError(Exception):
    """Ends a forward pass whose wanted block has been computed."""


@contextmanager
def left_after(block: nn.Module) -> Iterator[list[Tensor]]:
    """End the forward pass inside the ``with`` once ``block`` is computed; the list that is yielded gets its output (B, L, D)."""
    caught: list[Tensor] = []

    def leave(_module: nn.Module, _inputs: Any, output: Any) -> None:
        caught.append(output[0] if isinstance(output, tuple) else output)
        raise _LeaveError

    handle = block.register_forward_hook(leave)
    try:
        yield caught
    except _LeaveError:
        pass
    finally:
        handle.remove()
