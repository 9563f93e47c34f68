"""Small numerical pieces shared by the methods: unit rows, sparse times memory-mapped vectors, nearest neighbours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix
    from torch import Tensor

    from hyperofa.base.rows import RowTable

_COLUMNS, _ENTRIES = 1 << 18, 1 << 27
_GROUP = 64  # columns of scores whose maximum is taken first


class VectorTable(Protocol):
    """Vectors (n, d) that are read by arrays of indices: an array, perhaps memory-mapped, or what works them out."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, d)."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: Any, /) -> Any: ...


def normalise_rows(matrix: np.ndarray) -> np.ndarray:
    """``matrix`` (n, d) with rows of unit length; zero rows stay zero."""
    norms = np.linalg.norm(matrix, axis=1, keepdims=True)
    return (matrix / np.where(norms > 0, norms, 1)).astype(np.float32, copy=False)


def sparse_times_vectors(matrix: csr_matrix, vectors: VectorTable) -> np.ndarray:
    """``matrix`` (m, n) @ ``vectors`` (n, d), (m, d) float32, reading only the word vectors that are used, a block at a time.

    The vectors may be float16 and memory-mapped, or a table of rows (:class:`hyperofa.base.rows.RowTable`): at no time are more
    than 2^18 of them, or 2^27 numbers, in memory as float32.
    """
    by_column = matrix.tocsc()
    used = np.flatnonzero(np.diff(by_column.indptr))
    total = np.zeros((matrix.shape[0], vectors.shape[1]), dtype=np.float32)
    step = max(1, min(_COLUMNS, _ENTRIES // max(1, vectors.shape[1])))
    for start in range(0, len(used), step):
        columns = used[start : start + step]
        total += by_column[:, columns] @ np.asarray(vectors[columns], dtype=np.float32)
    return total


def nearest(
    queries: np.ndarray, keys: np.ndarray, k: int, *, offset: np.ndarray | None = None, budget: int = 1 << 26
) -> tuple[np.ndarray, np.ndarray]:
    """The ``k`` keys of largest dot product for each query.

    The k largest of many scores lie in the k groups of columns whose largest scores are largest, so only those groups are
    looked at closely: the rest costs one pass for the maxima instead of a selection.

    Args:
        queries: (m, d) float32; unit rows give cosines.
        keys: (a, d) float32.
        k: At most a.
        offset: (a,) float32 added to every query's scores before choosing, such as a hubness correction.
        budget: Bytes of scores held at a time.

    Returns:
        (indices (m, k) int64, scores (m, k) float32), best first. Scores include the offset.
    """
    import torch

    k = min(k, len(keys))
    groups = -(-len(keys) // _GROUP)
    step = max(1, budget // (4 * _GROUP * max(1, groups)))
    indices = np.empty((len(queries), k), dtype=np.int64)
    scores = np.empty((len(queries), k), dtype=np.float32)
    transposed = torch.from_numpy(np.ascontiguousarray(keys)).T
    shift = None if offset is None else torch.from_numpy(np.asarray(offset, dtype=np.float32))
    # Columns beyond the keys stay at -inf, so that the last group is as wide as the others.
    held = torch.full((step, groups * _GROUP), -torch.inf)
    for start in range(0, len(queries), step):
        block = torch.from_numpy(np.ascontiguousarray(queries[start : start + step]))
        products = held[: len(block)]
        torch.mm(block, transposed, out=products[:, : len(keys)])
        if shift is not None:
            products[:, : len(keys)] += shift
        best = _largest(products, k)
        indices[start : start + step] = best[0].numpy()
        scores[start : start + step] = best[1].numpy()
    return indices, scores


def _largest(products: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Columns and values, both (m, k), of the largest of ``products`` (m, groups * _GROUP), best first."""
    grouped = products.view(len(products), -1, _GROUP)
    groups = grouped.amax(dim=2).topk(min(k, grouped.shape[1]), dim=1).indices
    candidates = grouped.gather(1, groups[:, :, None].expand(-1, -1, _GROUP)).flatten(1)
    best = candidates.topk(k, dim=1)
    columns = groups.gather(1, best.indices // _GROUP) * _GROUP + best.indices % _GROUP
    return columns, best.values


def combine(weights: np.ndarray, indices: np.ndarray, rows: RowTable | np.ndarray) -> np.ndarray:
    """(m, r) float32: for each query the sum of ``rows[indices]`` (m, k picks of (a, r)) under ``weights`` (m, k).

    One neighbour rank at a time, so that no (m, k, r) array is made.
    """
    combined = np.zeros((len(indices), rows.shape[1]), dtype=np.float32)
    for rank in range(indices.shape[1]):
        combined += weights[:, rank, None] * rows[indices[:, rank]]
    return combined


def softmax(scores: np.ndarray, temperature: float) -> np.ndarray:
    """Softmax over the last axis of ``scores / temperature``, in float32."""
    shifted = (scores - scores.max(axis=-1, keepdims=True)) / temperature
    weights = np.exp(shifted)
    return (weights / weights.sum(axis=-1, keepdims=True)).astype(np.float32)
