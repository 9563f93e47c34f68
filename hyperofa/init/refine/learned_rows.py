"""Rows that learn beside rows that do not: only tokens that occur in the text are held, and only new ones get gradients."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from hyperofa.base.rows import RowTable


@dataclass(frozen=True)
class Start:
    """A matrix of rows before it is refined.

    Attributes:
        rows: (V, r); left as they are.
        primitives: (r, D), or None where rows are embeddings.
        movable: (V,) bool: new tokens. The others keep their rows.
        scale: (r,) float32, the source rows' deviation per dimension: the unit of learning.
        predicted_ids: (m,) int64 movable tokens that have word vectors, ascending.
        predicted_vectors: (m, d) float32, their mean word vectors, unit rows.
    """

    rows: RowTable
    primitives: np.ndarray | None
    movable: np.ndarray
    scale: np.ndarray
    predicted_ids: np.ndarray
    predicted_vectors: np.ndarray

    def __post_init__(self) -> None:
        """Look at ``rows`` as a table, also where an array is given."""
        object.__setattr__(self, "rows", RowTable.of(self.rows))


class LearnedRows(nn.Module):
    """The rows of the tokens of a text, some of which learn.

    A learned row is ``start + scale * (own + vector @ shared)``: ``own`` is the row's, ``shared`` one linear map of mean word
    vectors for all. Frozen and learned rows are two tables; a token is row 0, which is zero, of the one it is not in, so the two
    lookups add up and the gradient of ``own`` is sparse: a step costs what the batch holds, not what the vocabulary does.

    Attributes:
        own: parameter (k + 1, r), zero at the start; row 0 stays zero.
        shared: parameter (d, r), zero at the start.
        learned_ids: (k,) the tokens that learn.
    """

    slot: Tensor
    frozen: Tensor
    learned: Tensor
    vectors: Tensor
    scale: Tensor
    primitives: Tensor | None

    def __init__(self, start: Start, used: np.ndarray) -> None:
        """Hold the rows of ``used`` (u,), the token ids that occur in the text, ascending and distinct."""
        super().__init__()
        self.learned_ids = used[start.movable[used]]
        still = used[~start.movable[used]]
        width, dim = start.rows.shape[1], start.predicted_vectors.shape[1]
        slot = np.zeros((len(start.rows), 2), dtype=np.int64)
        slot[still, 0] = np.arange(1, len(still) + 1)
        slot[self.learned_ids, 1] = np.arange(1, len(self.learned_ids) + 1)
        vectors = np.zeros((len(self.learned_ids) + 1, dim), dtype=np.float32)
        _, here, there = np.intersect1d(self.learned_ids, start.predicted_ids, return_indices=True)
        vectors[here + 1] = start.predicted_vectors[there]
        above = np.zeros((1, width), dtype=np.float32)
        tables = {
            "slot": slot,
            "frozen": np.concatenate([above, start.rows[still]]),
            "learned": np.concatenate([above, start.rows[self.learned_ids]]),
            "vectors": vectors,
            "scale": start.scale,
        }
        for name, value in tables.items():
            self.register_buffer(name, torch.from_numpy(value))
        self.register_buffer("primitives", None if start.primitives is None else torch.from_numpy(start.primitives))
        self.own = nn.Parameter(torch.zeros(len(self.learned_ids) + 1, width))
        self.shared = nn.Parameter(torch.zeros(dim, width))

    def forward(self, ids: Tensor) -> Tensor:
        """Embeddings (B, L, D) float32 of token ids (B, L)."""
        slots = self.slot[ids]
        still, moved = slots[..., 0], slots[..., 1]
        change = functional.embedding(moved, self.own, padding_idx=0, sparse=True)
        if self.shared.requires_grad:
            change = change + self.vectors[moved] @ self.shared
        rows = self.frozen[still] + self.learned[moved] + self.scale * change
        return rows if self.primitives is None else rows @ self.primitives

    def refined(self, start: Start, share: float = 1.0) -> RowTable:
        """All rows (V, r) with ``share`` of what was learned put into them."""
        own, shared = (parameter.detach().cpu().numpy() for parameter in (self.own, self.shared))
        changed = np.union1d(start.predicted_ids, self.learned_ids)
        rows = start.rows[changed]
        predicted, learned = (np.searchsorted(changed, ids) for ids in (start.predicted_ids, self.learned_ids))
        rows[predicted] += share * start.scale * (start.predicted_vectors @ shared)
        rows[learned] += share * start.scale * own[1:]
        return start.rows.replaced(changed, rows)
