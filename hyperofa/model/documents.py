"""Keeping the documents packed into one sequence apart: attention masks and position ids from document indices."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from hyperofa.errors import InputError
from hyperofa.model.families import Family


def positions_in_documents(segments: Tensor) -> Tensor:
    """Each token's position within its document, (B, L), from document indices ``segments`` (B, L)."""
    index = torch.arange(segments.shape[1], device=segments.device).expand_as(segments)
    starts = torch.ones_like(segments, dtype=torch.bool)
    starts[:, 1:] = segments[:, 1:] != segments[:, :-1]
    return index - torch.where(starts, index, 0).cummax(1).values


def separate_documents(family: Family, config: Any, segments: Tensor, dtype: torch.dtype) -> dict[str, Any]:
    """Arguments for the base model so that no token sees another document and positions start anew in each.

    Args:
        family: row of the families table.
        config: of the model.
        segments: (B, L) document index within the sequence; padding counts as a document of its own.
        dtype: of the additive mask.

    Raises:
        InputError: the attention implementation takes no mask of this kind.
    """
    positions = positions_in_documents(segments)
    if family.shifted_positions:
        positions = positions + config.pad_token_id + 1
        return {"position_ids": positions, "attention_mask": _block_mask(segments, dtype, config)}
    if family.objective == "causal":
        # transformers recognises packed sequences by positions that start anew, when there is no other mask.
        return {"position_ids": positions}
    full = _block_mask(segments, dtype, config)
    if "sliding_attention" not in (getattr(config, "layer_types", None) or ()):
        return {"position_ids": positions, "attention_mask": full}
    index = torch.arange(segments.shape[1], device=segments.device)
    distance = (index[:, None] - index[None, :]).abs()
    window = torch.where(distance <= config.sliding_window, 0.0, torch.finfo(dtype).min).to(dtype)
    masks = {"full_attention": full, "sliding_attention": torch.minimum(full, window)}
    return {"position_ids": positions, "attention_mask": masks}


def _block_mask(segments: Tensor, dtype: torch.dtype, config: Any) -> Tensor:
    """Additive mask (B, 1, L, L): 0 within a document, the least number elsewhere."""
    if config._attn_implementation not in {"eager", "sdpa"}:
        what = f"{config._attn_implementation} attention cannot keep packed documents apart in an encoder"
        raise InputError(what, todo="use sdpa, or let documents see each other")
    same = segments[:, None, :, None] == segments[:, None, None, :]
    return torch.where(same, 0.0, torch.finfo(dtype).min).to(dtype)
