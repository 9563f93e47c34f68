"""Methods that draw rows at random: ``random`` per dimension, ``multivariate`` with the rows' covariance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hyperofa.init.method import Method
from hyperofa.init.problem import Problem
from hyperofa_eval.settings.fields import Range, Settings, setting

_BLOCK = 1 << 14


def draw_like(rows: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """(count, r) float32 rows, normal with the per-dimension mean and standard deviation of ``rows`` (HyperOFA, §3.4c)."""
    mean, deviation = rows.mean(axis=0, dtype=np.float64), rows.std(axis=0, dtype=np.float64)
    drawn = np.empty((count, rows.shape[1]), dtype=np.float32)
    for start in range(0, count, _BLOCK):  # the same draws as all at once, which would take three times the memory
        part = drawn[start : start + _BLOCK]
        part[:] = rng.normal(mean, deviation, part.shape)
    return drawn


@dataclass(frozen=True, kw_only=True)
class MultivariateSettings(Settings):
    """Settings of ``multivariate``."""

    scale: float = setting(1e-9, "of the covariance; 1 draws from the source rows' own distribution", range=Range(0))


def multivariate(problem: Problem) -> np.ndarray:
    """Rows from a normal with the source rows' mean and covariance, as transformers' own resizing draws them.

    transformers multiplies the covariance by 1e-9, which makes all new rows all but equal to the mean; ``scale`` 1 draws
    from the distribution itself.
    """
    scale = problem.settings.scale
    mean = problem.rows.mean(axis=0, dtype=np.float64)
    covariance = np.cov(problem.rows, rowvar=False, dtype=np.float64).reshape(len(mean), len(mean))
    draws = problem.rng(1).multivariate_normal(mean, scale * covariance, len(problem.predict_ids), method="eigh")
    return draws.astype(np.float32)


RANDOM = Method("random", "draw every new row (the paper's baseline)", None, reference="HyperOFA, §4.2")
MULTIVARIATE = Method(
    "multivariate",
    "normal with the source rows' mean and covariance (what resize_token_embeddings does)",
    multivariate,
    MultivariateSettings,
    "transformers, resize_token_embeddings(mean_resizing=True)",
    uses_words=False,
)
