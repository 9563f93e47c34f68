"""Methods that average source rows: ``mean`` of all, ``subword-mean`` of the pieces that spell the token."""

from __future__ import annotations

import numpy as np

from hyperofa.init.linalg import sparse_times_vectors
from hyperofa.init.method import Method
from hyperofa.init.problem import Problem


def mean(problem: Problem) -> np.ndarray:
    """The mean source row for every new token: all are equal until training parts them."""
    return np.broadcast_to(problem.rows.mean(axis=0), (len(problem.predict_ids), problem.rows.shape[1])).copy()


def subword_mean(problem: Problem) -> np.ndarray:
    """The mean row of the source pieces that spell the token (:func:`hyperofa.vocab.pieces.spell_tokens`)."""
    return mean_of_pieces(problem, problem.predict_ids)


def mean_of_pieces(problem: Problem, ids: np.ndarray) -> np.ndarray:
    """(m, r) float32: the mean row of the source pieces that spell each of the target tokens ``ids`` (m,); 0 without any."""
    assert problem.pieces is not None
    return sparse_times_vectors(problem.pieces[ids], problem.rows)


MEAN = Method("mean", "the mean source row for every new token", mean, uses_words=False)
SUBWORD_MEAN = Method(
    "subword-mean",
    "mean of the source pieces of the token's text",
    subword_mean,
    reads_text=True,
    uses_words=False,
    knows=("pieces",),
)
