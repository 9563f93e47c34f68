"""Methods that draw rows at random: ``random`` per dimension, ``multivariate`` with the rows' covariance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hyperofa.base.rows import RowTable
from hyperofa.init.method import Method
from hyperofa.init.problem import Problem
from hyperofa_eval.settings.fields import Range, Settings, setting

_ENTRIES = 1 << 22  # drawn at a time
_BLOCK = 1 << 14


def draw_like(rows: RowTable | np.ndarray, wanted: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(m, r) float32 rows, normal with the per-dimension mean and standard deviation of ``rows`` (HyperOFA, §3.4c).

    They are the rows ``wanted`` (m,), ascending, of a matrix that is drawn from its first row on: a token's draw depends on its
    number and not on which others are drawn.
    """
    table = RowTable.of(rows)
    width = table.shape[1]
    drawn = np.empty((len(wanted), width), dtype=np.float32)
    if not len(wanted):
        return drawn
    mean, deviation = table.mean(dtype=np.float64), table.std(dtype=np.float64)
    step = max(1, _ENTRIES // width)
    for start in range(0, int(wanted[-1]) + 1, step):
        first, last = np.searchsorted(wanted, (start, start + step))
        part = rng.normal(mean, deviation, (step, width))
        drawn[first:last] = part[wanted[first:last] - start]
    return drawn


@dataclass(frozen=True, kw_only=True)
class MultivariateSettings(Settings):
    """Settings of ``multivariate``."""

    scale: float = setting(
        1e-9, "scale of the covariance; 1 draws from the source rows' own distribution", range=Range(0)
    )


def multivariate(problem: Problem) -> np.ndarray:
    """Rows from a normal with the source rows' mean and covariance, as transformers' own resizing draws them.

    transformers multiplies the covariance by 1e-9, which makes all new rows all but equal to the mean; ``scale`` 1 draws
    from the distribution itself.
    """
    scale = problem.settings.scale
    mean = problem.rows.mean(axis=0, dtype=np.float64)
    covariance = np.zeros((len(mean), len(mean)))
    for block in problem.rows.blocks(_BLOCK):
        offsets = block - mean
        covariance += offsets.T @ offsets
    covariance *= 1 / (len(problem.rows) - 1)
    draws = problem.rng(1).multivariate_normal(mean, scale * covariance, len(problem.predict_ids), method="eigh")
    return draws.astype(np.float32)


RANDOM = Method("random", "draw every new row (the paper's baseline)", None, reference="HyperOFA, §4.2", rest="drawn")
MULTIVARIATE = Method(
    "multivariate",
    "normal with the source rows' mean and covariance (what resize_token_embeddings does)",
    multivariate,
    MultivariateSettings,
    "transformers, resize_token_embeddings(mean_resizing=True)",
    uses_words=False,
)
