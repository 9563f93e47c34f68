"""Rows that learn beside rows that do not: new tokens have a change of their own, and one that all of them share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from hyperofa.base.rows import RowTable


@dataclass(frozen=True)
class Start:
    """A matrix of rows before it learns.

    Attributes:
        rows: (V, r); left as they are.
        primitives: (r, D), or None where rows are embeddings.
        movable: (V,) bool: new tokens. The others keep their rows.
        scale: (r,) float32, the source rows' deviation per dimension: the unit of learning.
        length: mean length of the source's embeddings.
        predicted_ids: (m,) int64 movable tokens that have word vectors, ascending.
        predicted_vectors: (m, d) float32, their mean word vectors, unit rows.
    """

    rows: RowTable
    primitives: np.ndarray | None
    movable: np.ndarray
    scale: np.ndarray
    length: float
    predicted_ids: np.ndarray
    predicted_vectors: np.ndarray

    def __post_init__(self) -> None:
        """Look at ``rows`` as a table, also where an array is given."""
        object.__setattr__(self, "rows", RowTable.of(self.rows))


class LearnedRows(nn.Module):
    """All rows of a matrix, some of which learn.

    A learned row is ``start + share * scale * (own + vector @ shared)``: ``own`` is the row's, ``shared`` one linear map of mean
    word vectors for all; ``share`` is 1 while it learns. With ``longest``, a row that would be longer than so many times its
    start (or the source's mean length, if that is more) is cut to it.

    ``own`` has a row 0 for all tokens that do not learn, and it stays zero. With ``sparse`` the gradient of a lookup is, and a
    step costs what the batch holds, not what the vocabulary does.

    Attributes:
        own: parameter (k + 1, r), zero at the start.
        shared: parameter (d, r), zero at the start.
        learned_ids: (k,) the tokens that learn.
        share: of the change, what is in the rows.
    """

    slot: Tensor
    start: Tensor
    vectors: Tensor
    scale: Tensor
    limit: Tensor | None
    primitives: Tensor | None

    def __init__(self, start: Start, used: np.ndarray, *, sparse: bool, longest: float | None = None) -> None:
        """Let the movable rows of ``used`` (u,) learn, the token ids that occur in the text, ascending and distinct."""
        super().__init__()
        self.learned_ids = used[start.movable[used]]
        size, width = start.rows.shape
        slot = np.zeros(size, dtype=np.int64)
        slot[self.learned_ids] = np.arange(1, len(self.learned_ids) + 1)
        vectors = np.zeros((len(self.learned_ids) + 1, start.predicted_vectors.shape[1]), dtype=np.float32)
        _, learned_places, predicted_places = np.intersect1d(self.learned_ids, start.predicted_ids, return_indices=True)
        vectors[learned_places + 1] = start.predicted_vectors[predicted_places]
        for name, value in {"slot": slot, "vectors": vectors, "scale": start.scale}.items():
            self.register_buffer(name, torch.from_numpy(np.ascontiguousarray(value)))
        rows = start.rows
        self.register_buffer("start", rows.stored if rows.ids is None else rows.stored[torch.from_numpy(rows.ids)])
        primitives = None if start.primitives is None else torch.from_numpy(np.ascontiguousarray(start.primitives))
        self.register_buffer("primitives", primitives)
        limit = None
        if longest is not None:
            lengths = self._embedded(torch.from_numpy(rows[self.learned_ids])).norm(dim=-1)
            limit = torch.cat([lengths.new_full((1,), torch.inf), longest * lengths.clamp(min=start.length)])
        self.register_buffer("limit", limit)
        self.own = nn.Parameter(torch.zeros(len(self.learned_ids) + 1, width))
        self.shared = nn.Parameter(torch.zeros(vectors.shape[1], width))
        self.share, self.sparse = 1.0, sparse

    def forward(self, ids: Tensor) -> Tensor:
        """Embeddings (B, L, D) float32 of token ids (B, L)."""
        slots = self.slot[ids]
        own = functional.embedding(slots, self.own, padding_idx=0, sparse=self.sparse)
        embeddings = self._embedded(self._moved(self.start[ids], own, slots))
        return embeddings if self.limit is None else embeddings * _cut(embeddings, self.limit[slots])

    def learned(self) -> Tensor:
        """The rows (k, r) of the tokens that learn, as a lookup has them, with a dense gradient."""
        places = torch.from_numpy(self.learned_ids).to(self.start.device)
        rows = self._moved(self.start[places], self.own[1:], slice(1, None))
        return rows if self.limit is None else rows * _cut(self._embedded(rows), self.limit[1:])

    def refined(self, start: Start) -> RowTable:
        """All rows (V, r) with ``share`` of what was learned put into them, stored as the start's."""
        own, shared = (parameter.detach().cpu().numpy() for parameter in (self.own, self.shared))
        changed = np.union1d(start.predicted_ids, self.learned_ids)
        rows = start.rows[changed]
        predicted, learned = (np.searchsorted(changed, ids) for ids in (start.predicted_ids, self.learned_ids))
        # Predicted rows that are not in the text move by the map alone.
        rows[predicted] += self.share * start.scale * (start.predicted_vectors @ shared)
        rows[learned] += self.share * start.scale * own[1:]
        if self.limit is not None:
            embeddings = self._embedded(torch.from_numpy(rows[learned]).to(self.start.device))
            rows[learned] *= _cut(embeddings, self.limit[1:]).cpu().numpy()
        return start.rows.replaced(changed, rows)

    def _moved(self, start: Tensor, own: Tensor, slots: Tensor | slice) -> Tensor:
        """Rows with their own change and the shared one, before any limit."""
        change = own + self.vectors[slots] @ self.shared if self.shared.requires_grad else own
        return start.float() + self.share * self.scale * change

    def _embedded(self, rows: Tensor) -> Tensor:
        return rows if self.primitives is None else rows @ self.primitives


@torch.no_grad()
def _cut(embeddings: Tensor, limit: Tensor) -> Tensor:
    """By what (…, 1) embeddings (…, D) are multiplied so that none is longer than ``limit`` (…)."""
    return (limit / embeddings.norm(dim=-1).clamp(min=1e-12)).clamp(max=1)[..., None]
