"""How texts become vectors: the block, the pooling and the length, checked where they are made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from hyperofa_eval.base.errors import InputError, unknown

Pooling = Literal["mean", "mean-all", "cls", "last"]
Block = int | Literal["auto", "all"]


@dataclass(frozen=True)
class EncodeSettings:
    """What a model is asked for when it encodes texts."""

    block: Block = "auto"
    """1-based transformer block whose output is pooled; ``auto`` is two thirds of the depth; ``all`` is every one."""
    pooling: Pooling = "mean"
    """``mean`` over the text's tokens, ``mean-all`` with the specials the tokenizer adds, ``cls`` the first token,
    ``last`` the last token (for decoders)."""
    max_length: int = 512
    """Tokens kept of a text, specials included; less where the model or its tokenizer allows less."""
    prompt: str | None = None
    """What stands before every text; None is what the model's own settings put there by default (most put nothing)."""

    def __post_init__(self) -> None:
        if self.pooling not in get_args(Pooling):
            raise unknown("pooling", self.pooling, get_args(Pooling))
        if isinstance(self.block, str) and self.block not in {"auto", "all"}:
            raise unknown("block", self.block, ("auto", "all", "1", "2"))
        if isinstance(self.block, int) and self.block < 1:
            raise InputError(f"block {self.block}: blocks are counted from 1")
        if self.max_length < 3:
            raise InputError(f"max_length {self.max_length} leaves no room for text")


def auto_block(depth: int) -> int:
    """Two thirds of the depth, 1-based: block 8 of 12, 4 of 6."""
    return max(1, round(2 * depth / 3))
