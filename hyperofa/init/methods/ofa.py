"""OFA: a new row is a convex combination of the rows of the nearest source tokens in word-vector space."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hyperofa.base.rows import RowTable
from hyperofa.init.linalg import combine, nearest, softmax
from hyperofa.init.method import Method
from hyperofa.init.problem import Problem
from hyperofa_eval.settings.fields import Range, Settings, setting


@dataclass(frozen=True, kw_only=True)
class NearestSettings(Settings):
    """Settings of ``ofa`` and ``wechsel``; the defaults are what both papers use."""

    neighbours: int = setting(10, "nearest source tokens that take part", range=Range(1))
    temperature: float = setting(0.1, "of the softmax over their cosines", range=Range(1e-6))


def combine_nearest(
    queries: np.ndarray, keys: np.ndarray, rows: RowTable | np.ndarray, *, neighbours: int, temperature: float
) -> np.ndarray:
    """Rows (m, r): for each of ``queries`` (m, d) the mean of the ``rows`` (a, r) of its nearest ``keys`` (a, d).

    Queries and keys are unit rows; weights are the softmax over the cosines of the ``neighbours`` nearest (OFA, §3.3).
    """
    indices, scores = nearest(queries, keys, neighbours)
    return combine(softmax(scores, temperature), indices, rows)


def ofa(problem: Problem) -> np.ndarray:
    """OFA's rows for the tokens to predict."""
    return combine_nearest(
        problem.predict_subwords, problem.anchor_subwords, problem.anchor_rows, **vars(problem.settings)
    )


OFA = Method(
    "ofa",
    "convex combination of the nearest source tokens",
    ofa,
    NearestSettings,
    "OFA (arXiv 2311.08849), §3.3",
    rest="drawn",
)
