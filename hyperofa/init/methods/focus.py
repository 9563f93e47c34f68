"""FOCUS: sparsemax-weighted combination of overlapping tokens, by similarity in an auxiliary space."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hyperofa.base.rows import RowTable
from hyperofa.init.linalg import combine, nearest
from hyperofa.init.method import Method
from hyperofa.init.methods.means import mean
from hyperofa.init.problem import Problem, subword_vectors
from hyperofa_eval.settings.fields import Range, Settings, setting

_BLOCK = 1 << 14
_WIDTH = 128


def sparsemax(scores: np.ndarray) -> np.ndarray:
    """Euclidean projection of each row of ``scores`` (m, k) onto the simplex (Martins & Astudillo 2016, algorithm 1)."""
    ordered = -np.sort(-scores, axis=1)
    cumulative = np.cumsum(ordered, axis=1)
    counts = np.arange(1, scores.shape[1] + 1)
    support = (1 + counts * ordered > cumulative).sum(axis=1)
    threshold = (cumulative[np.arange(len(scores)), support - 1] - 1) / support
    return np.maximum(scores - threshold[:, None], 0).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class FocusSettings(Settings):
    """Settings of ``focus``."""

    neighbours: int = setting(
        0, "overlapping tokens that sparsemax may choose from; 0: all, as in the paper", range=Range(0)
    )


def focus(problem: Problem) -> np.ndarray:
    """Rows as sparsemax-weighted means over *copied* tokens (FOCUS, arXiv 2305.14481, §3).

    FOCUS trains fastText on the target text for its auxiliary space; here that space is the given word vectors, so that all
    methods see the same input.
    """
    has_words = np.diff(problem.target_words.indptr) > 0
    shared = np.flatnonzero((problem.source_ids >= 0) & has_words)
    if not len(shared):
        return mean(problem)
    keys = subword_vectors(problem.target_words, shared, problem.vectors)
    rows, limit = problem.rows.take(problem.source_ids[shared]), problem.settings.neighbours or len(shared)
    queries = problem.predict_subwords
    parts = [sparsemax_means(queries[i : i + _BLOCK], keys, rows, limit) for i in range(0, len(queries), _BLOCK)]
    return np.concatenate(parts)


def sparsemax_means(queries: np.ndarray, keys: np.ndarray, rows: RowTable | np.ndarray, limit: int) -> np.ndarray:
    """(m, r): means of ``rows`` (a, r) under sparsemax of the cosines of unit ``queries`` (m, d) and ``keys`` (a, d).

    The weights are those of the ``limit`` nearest keys. Sparsemax's support is made of the largest scores, so a few are looked at
    first, and more only where the last of them still has a weight.
    """
    means = np.empty((len(queries), rows.shape[1]), dtype=np.float32)
    pending, width = np.arange(len(queries)), min(_WIDTH, limit)
    while len(pending):
        indices, scores = nearest(queries[pending], keys, width)
        weights = sparsemax(scores)
        done = (weights[:, -1] == 0) | (width >= min(limit, len(keys)))
        means[pending[done]] = combine(weights[done], indices[done], rows)
        pending, width = pending[~done], min(4 * width, limit)
    return means


FOCUS = Method(
    "focus",
    "sparsemax combination of overlapping tokens",
    focus,
    FocusSettings,
    "FOCUS (arXiv 2305.14481), §3",
    rest="drawn",
)
