"""Orthogonal matching pursuit: vectors as sparse combinations of others (Pati et al. 1993; arXiv 2506.06607, §3)."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from hyperofa.base.rows import RowTable

_BUDGET = 1 << 26  # bytes of a block's scores and chosen atoms
_JITTER = 1e-5  # of a unit atom's square: atoms may be equal


def pursue(
    targets: RowTable | np.ndarray, atoms: RowTable | np.ndarray, k: int, *, growth: float = 0.0
) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
    """Write each of ``targets`` (m, d) as a combination of at most ``k`` of ``atoms`` (n, d), none of them 0.

    Published is one atom a pass (``growth`` 0): the one with the largest absolute inner product with what is left of the target,
    in float32, as mergekit does it. With growth g a pass adds g times as many atoms as there are, so 64 atoms take 7 passes at
    g = 1; they are those of the largest absolute cosine, so that long atoms have no advantage, in bfloat16 where the processor
    has its products. After each pass all weights are found anew by least squares, in float32.

    Returns:
        an iterator over blocks: which targets (a slice), indices of atoms (b, k') int64 and their weights (b, k') float32, where
        k' is the least of ``k``, n and d.
    """
    import torch

    from hyperofa.base.device import multiplies_bfloat16

    atoms = RowTable.of(atoms)
    k = min(k, *atoms.shape)
    dtype = torch.bfloat16 if growth and multiplies_bfloat16(torch.device("cpu")) else torch.float32
    norms = np.maximum(atoms.each(lambda block: np.linalg.norm(block, axis=1)), np.finfo(np.float32).tiny)
    scored = torch.empty(atoms.shape, dtype=dtype)  # as unit vectors for cosines, as they are for inner products
    divisors = norms if growth else np.ones_like(norms)
    step = max(1, (1 << 22) // atoms.shape[1])
    for start in range(0, len(atoms), step):
        block = slice(start, start + step)
        scored[block] = torch.from_numpy(atoms[block] / divisors[block, None]).to(dtype)
    size = max(1, min(1024, _BUDGET // (4 * (len(atoms) + 2 * k * atoms.shape[1]))))
    for start in range(0, len(targets), size):
        block = slice(start, min(start + size, len(targets)))
        block_targets = torch.from_numpy(np.ascontiguousarray(targets[block]))
        residuals, chosen = block_targets, torch.empty((len(block_targets), 0), dtype=torch.int64)
        weights = torch.empty((len(block_targets), 0))
        while (count := chosen.shape[1]) < k:
            scores = (residuals.to(dtype) @ scored.T).float().abs_().scatter_(1, chosen, -1.0)
            more = min(max(1, math.floor(growth * count)), k - count)
            chosen = torch.cat([chosen, scores.topk(more, dim=1).indices], dim=1)
            picked = torch.from_numpy((atoms[chosen.numpy()] / norms[chosen.numpy(), None]).astype(np.float32))
            gram = picked @ picked.transpose(1, 2)
            gram.diagonal(dim1=1, dim2=2).add_(_JITTER)
            weights = torch.cholesky_solve(picked @ block_targets[:, :, None], torch.linalg.cholesky(gram))
            residuals = block_targets - (weights.transpose(1, 2) @ picked)[:, 0]
            weights = weights[:, :, 0]
        yield block, chosen.numpy(), weights.numpy() / norms[chosen.numpy()]
