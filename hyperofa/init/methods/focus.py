"""FOCUS: sparsemax-weighted combination of overlapping tokens, by similarity in an auxiliary space."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hyperofa.init.linalg import combine, nearest
from hyperofa.init.method import Method
from hyperofa.init.methods.means import mean
from hyperofa.init.problem import Problem, subword_vectors
from hyperofa_eval.settings.fields import Range, Settings, setting


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

    neighbours: int = setting(100, "overlapping tokens that sparsemax may choose from", range=Range(1))


def focus(problem: Problem) -> np.ndarray:
    """Rows as sparsemax-weighted means over *copied* tokens (FOCUS, arXiv 2305.14481, §3).

    FOCUS trains fastText on the target text for its auxiliary space; here that space is the given word vectors, so that all
    methods see the same input. Sparsemax's support is at most ``neighbours`` wide, which bounds memory.
    """
    has_words = np.diff(problem.target_words.indptr) > 0
    shared = np.flatnonzero((problem.source_ids >= 0) & has_words)
    if not len(shared):
        return mean(problem)
    keys = subword_vectors(problem.target_words, shared, problem.vectors)
    indices, scores = nearest(problem.predict_subwords, keys, problem.settings.neighbours)
    return combine(sparsemax(scores), indices, problem.rows.take(problem.source_ids[shared]))


FOCUS = Method(
    "focus",
    "sparsemax combination of overlapping tokens",
    focus,
    FocusSettings,
    "FOCUS (arXiv 2305.14481), §3",
    rest="drawn",
)
