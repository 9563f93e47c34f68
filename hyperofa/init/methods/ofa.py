"""OFA: a new row is a convex combination of the rows of the nearest source tokens in word-vector space."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hyperofa.base.rows import RowTable
from hyperofa.init.linalg import combine, nearest, softmax
from hyperofa.init.method import Method
from hyperofa.init.problem import Problem, subword_vectors
from hyperofa_eval.settings.fields import Range, Settings, setting


@dataclass(frozen=True, kw_only=True)
class NearestSettings(Settings):
    """Settings of ``ofa`` and ``wechsel``; the defaults are what both papers use."""

    neighbours: int = setting(10, "number of nearest source tokens that are averaged", range=Range(1))
    temperature: float = setting(0.1, "temperature of the softmax over their cosines", range=Range(1e-6))


@dataclass(frozen=True, kw_only=True)
class OfaSettings(NearestSettings):
    """Settings of ``ofa``; the defaults are what its public code does (docs/differences.md)."""

    fold_case: bool = setting(True, "copy also the rows of tokens that differ in case only")


def combine_nearest(
    queries: np.ndarray, keys: np.ndarray, rows: RowTable | np.ndarray, *, neighbours: int, temperature: float
) -> np.ndarray:
    """Rows (m, r): for each of ``queries`` (m, d) the mean of the ``rows`` (a, r) of its nearest ``keys`` (a, d).

    Queries and keys are unit rows; weights are the softmax over the cosines of the ``neighbours`` nearest (OFA, §3.3).
    """
    indices, scores = nearest(queries, keys, neighbours)
    return combine(softmax(scores, temperature), indices, rows)


def ofa(problem: Problem) -> np.ndarray:
    """OFA's rows for the tokens to predict: a token's vector is the mean over its words, each counted once a spelling (§3.2)."""
    source, target = problem.spellings
    anchors = np.flatnonzero(np.diff(source.indptr) > 0)
    return combine_nearest(
        subword_vectors(target, problem.predict_ids, problem.vectors, power=1),
        subword_vectors(source, anchors, problem.vectors, power=1),
        problem.rows.take(anchors),
        neighbours=problem.settings.neighbours,
        temperature=problem.settings.temperature,
    )


OFA = Method(
    "ofa",
    "convex combination of the nearest source tokens, as its public code does",
    ofa,
    OfaSettings,
    "OFA (arXiv 2311.08849), §3.3",
    spellings=3,
    rest="drawn",
)
