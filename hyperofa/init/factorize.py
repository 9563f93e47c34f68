"""Truncated SVD of an embedding matrix into coordinates F and primitives P, E ~ F P (HyperOFA, §3.1; OFA, §3.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hyperofa.base.rows import RowTable
from hyperofa.errors import InputError
from hyperofa.init.settings import Algorithm

if TYPE_CHECKING:
    from torch import Tensor

_BLOCK = 1 << 14
_NOISE = 1e-6  # of the largest singular value: about what float32 products leave


@dataclass(frozen=True)
class Factorization:
    """E (V, D) ~ ``coordinates`` (V, r) @ ``primitives`` (r, D), both float32.

    ``primitives`` is None where nothing was factorised: then ``coordinates`` are the rows of E themselves, as they are stored.
    ``energy`` is the share of the squared Frobenius norm of E that the product keeps (1.0 if not factorised).
    """

    coordinates: RowTable
    primitives: np.ndarray | None
    energy: float

    @property
    def rank(self) -> int | None:
        """The number r of columns of the coordinates; None where nothing was factorised."""
        return None if self.primitives is None else int(self.coordinates.shape[1])

    def embed(self, coordinates: np.ndarray) -> np.ndarray:
        """Rows in the embedding space (n, D) of rows of coordinates (n, r)."""
        return coordinates if self.primitives is None else coordinates @ self.primitives


def factorize(
    embeddings: RowTable | Tensor | np.ndarray,
    *,
    rank: int | None = None,
    energy: float | None = None,
    scale_split: float = 1.0,
    algorithm: Algorithm = "gram",
    seed: int = 0,
) -> Factorization:
    """Factorise ``embeddings`` (V, D) by truncated SVD U S V^T into F = U S^a and P = S^(1-a) V^T.

    Only the product F P is fixed by the method; ``scale_split`` a in [0, 1] says where the scale goes. At 1 (the default)
    the primitives are orthonormal, so distances between coordinates are distances between embeddings and an optimizer
    moves a row of F as it would a row of E; at 0 all scale lies in P, as in the public code of the paper.

    Args:
        embeddings: (V, D), read in blocks.
        rank: Columns kept. None with ``energy`` None, or ``rank >= D``, leaves the matrix unfactorised.
        energy: Instead of a rank, the least share (0, 1] of the squared Frobenius norm to keep.
        scale_split: The exponent a.
        algorithm: ``gram`` diagonalises E^T E (D x D) in float64: exact for well-separated leading values, and a fraction of a
            full SVD's time when V >> D; ``randomized`` is for large D; ``svd`` is the full decomposition. The last two hold all
            of E as float32 and float64.
        seed: For ``randomized``.

    Raises:
        InputError: the rank is above the number of rows, or the matrix holds NaN or infinity.
    """
    table = RowTable.of(embeddings)
    if not all(np.isfinite(block).all() for block in table.blocks()):
        raise InputError("the embeddings hold NaN or infinity", where="factorisation")
    width = table.shape[1]
    if (rank is None and energy is None) or (rank is not None and rank >= width):
        return Factorization(table, None, 1.0)
    check_rank(rank, *table.shape)
    values, directions = _right_singular(table, algorithm, rank, seed)
    squares = sum(float(np.einsum("vd,vd->", block, block, dtype=np.float64)) for block in table.blocks(_BLOCK))
    total = max(squares, np.finfo(np.float64).tiny)
    energy_kept = np.cumsum(values**2) / total
    if rank is None:
        assert energy is not None
        rank = min(int(np.searchsorted(energy_kept, energy - 1e-12)) + 1, len(values))
    values, directions = values[:rank], _fix_signs(directions[:rank])
    # Where the matrix has a lower rank, what is left is rounding: divided by its own size it would grow without bound.
    scales = np.maximum(values, max(_NOISE * values[0], np.finfo(np.float32).tiny))
    projection = (directions.T * scales ** (scale_split - 1)).astype(np.float32)
    coordinates = table.each(lambda block: block @ projection)
    primitives = (scales ** (1 - scale_split))[:, None] * directions
    return Factorization(RowTable(coordinates), primitives.astype(np.float32), float(energy_kept[rank - 1]))


def check_rank(rank: int | None, tokens: int, width: int) -> None:
    """Refuse, as :class:`InputError`, a rank that a (tokens, width) matrix cannot have, unless it asks for no factorisation."""
    if rank is not None and tokens < rank < width:
        what = f"rank {rank} is above the number of source tokens, {tokens}"
        raise InputError(what, where="factorisation", todo="lower the rank, or leave it out")


def _right_singular(
    table: RowTable, algorithm: Algorithm, rank: int | None, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Singular values (k,), largest first, and right singular vectors (k, D)."""
    if algorithm == "svd":
        _, values, directions = np.linalg.svd(np.asarray(table, dtype=np.float64), full_matrices=False)
        return values, directions
    if algorithm == "randomized":
        from sklearn.utils.extmath import randomized_svd

        count = rank if rank is not None else min(table.shape)
        _, values, directions = randomized_svd(np.asarray(table), count, random_state=seed)
        return values.astype(np.float64), directions.astype(np.float64)
    gram = np.zeros((table.shape[1],) * 2)
    for block in table.blocks(_BLOCK):  # float32 products summed in float64
        gram += block.T @ block
    squares, vectors = np.linalg.eigh(gram)
    return np.sqrt(np.maximum(squares[::-1], 0)), vectors[:, ::-1].T


def _fix_signs(directions: np.ndarray) -> np.ndarray:
    """Make the largest entry of every direction positive: two libraries then give the same factors."""
    largest = np.abs(directions).argmax(axis=1)
    return directions * np.sign(directions[np.arange(len(directions)), largest])[:, None]
