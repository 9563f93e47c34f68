"""Exact nearest-neighbour search by cosine, in chunks: the rank of each query's own translation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

CHUNK_BYTES = 64 << 20
CSLS_NEIGHBOURS = 10


def ranks(
    queries: NDArray[np.float32], index: NDArray[np.float32], *, csls: bool = False, device: str = "cpu"
) -> NDArray[np.int64]:
    """How many rows of ``index`` (n, D) come before row ``i`` in the ranking for ``queries[i]`` (n, D); shape (n,).

    The ranking is that of a stable sort by falling cosine: of equal similarities the earlier row comes first. So an
    encoder that maps every text to one point scores as chance does, not 100. Rows with equal unit vectors tie exactly,
    whatever the matrix product's rounding; rows that are multiples of each other may differ in the unit vector's last
    bit, and then that decides. Memory beside the vectors is a few times ``CHUNK_BYTES``.

    ``csls`` ranks by 2 cos(q, x) - r(q) - r(x), r the mean cosine to the 10 nearest of the other side (Conneau et al.
    2018, section 2.3), which pulls hubs down.
    """
    import torch
    from torch.nn.functional import normalize

    q = normalize(torch.from_numpy(queries).to(device), dim=1)
    x = normalize(torch.from_numpy(index).to(device), dim=1)
    rows = max(1, CHUNK_BYTES // (4 * len(x)))
    hubness = _hubness(x, q, rows) if csls else None
    columns = torch.arange(len(x), device=device)
    copies, originals = _duplicates(x.cpu().numpy() + np.float32(0))  # -0.0 is 0.0
    out = []
    for start in range(0, len(q), rows):
        scores = q[start : start + rows] @ x.T
        if hubness is not None:  # r(q) shifts a whole row, which no ranking sees
            scores = scores.mul_(2).sub_(hubness)
        if copies:
            scores[:, copies] = scores[:, originals]
        own = columns[start : start + rows, None]
        right = scores.gather(1, own)
        ahead = (scores > right).sum(1) + ((scores == right) & (columns < own)).sum(1)
        out.append(ahead.cpu())
    return torch.cat(out).numpy().astype(np.int64)


def _duplicates(rows: NDArray[np.float32]) -> tuple[list[int], list[int]]:
    """Rows that equal an earlier row, and those earlier rows."""
    first: dict[bytes, int] = {}
    originals = [(i, first.setdefault(row.tobytes(), i)) for i, row in enumerate(rows)]
    pairs = [(i, original) for i, original in originals if i != original]
    return [i for i, _ in pairs], [original for _, original in pairs]


def _hubness(rows_of: torch.Tensor, targets: torch.Tensor, rows: int) -> torch.Tensor:
    """Mean cosine of each row to its nearest ``CSLS_NEIGHBOURS`` of ``targets``; shape (n,)."""
    import torch

    k = min(CSLS_NEIGHBOURS, len(targets))
    parts = [(rows_of[i : i + rows] @ targets.T).topk(k, dim=1).values.mean(1) for i in range(0, len(rows_of), rows)]
    return torch.cat(parts)
