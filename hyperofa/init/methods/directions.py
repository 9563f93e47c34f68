"""The parts of the default ``hyperofa``: directions by predictors whose errors differ, and the length that rows get."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix, diags_array

from hyperofa.init.linalg import normalise_rows
from hyperofa.init.methods.ofa import combine_nearest
from hyperofa.init.methods.ridge import fit_ridge, rescale
from hyperofa.init.problem import Problem, subword_vectors


class Directions:
    """Unit offsets (m, r) of the tokens to predict from the mean row of the known anchors (docs/initialisation.md).

    Attributes:
        known: (V_s, n): the source tokens' shares of the words, each word at its weight in ``problem.known_words``.
        anchors: (a,) int64: the source tokens that are known by their words; all that have words, if none is.
        rows: (a, r) float32: their rows; ``centre`` (r,) is the mean.
        queries: (m, d) float32, unit rows: mean word vector of each token to predict, about the means of languages.
        keys: (a, d) float32, unit rows: likewise of the anchors.
    """

    def __init__(self, problem: Problem, *, power: float, known_words: float, penalty: float) -> None:
        """Weigh words by their share to the ``power``; ``penalty`` is that of the ridge regressions."""
        self.problem, self.power, self.penalty = problem, power, penalty
        self.known: csr_matrix = (problem.source_words @ diags_array(problem.known_words)).tocsr()
        self.known.eliminate_zeros()
        every = problem.anchor_ids
        near = every[np.asarray(self.known[every].sum(axis=1)).ravel() >= known_words]
        self.anchors = near if len(near) else every
        self.rows = problem.rows[self.anchors]
        self.centre = self.rows.mean(axis=0)
        self.queries = subword_vectors(problem.target_words, problem.predict_ids, problem.centred_vectors, power=power)
        self.keys = subword_vectors(self.known, self.anchors, problem.centred_vectors, power=power)

    def nearest(self) -> np.ndarray:
        """OFA's step from the known anchors."""
        found = combine_nearest(self.queries, self.keys, self.rows, neighbours=10, temperature=0.1)
        return normalise_rows(found - self.centre)

    def narrow_ridge(self) -> np.ndarray:
        """Ridge regression from the known anchors."""
        weights, intercept = fit_ridge(self.keys, self.rows, self.penalty)
        return normalise_rows(self.queries @ weights + intercept - self.centre)

    def broad_ridge(self) -> np.ndarray:
        """Ridge regression from all source tokens with words."""
        problem, targets = self.problem, self.problem.anchor_rows
        inputs = subword_vectors(problem.source_words, problem.anchor_ids, problem.centred_vectors, power=self.power)
        weights, intercept = fit_ridge(inputs, targets, self.penalty)
        return normalise_rows(self.queries @ weights + intercept - targets.mean(axis=0))

    def at_length(self, total: np.ndarray) -> np.ndarray:
        """Rows (m, r) in the direction ``total`` (m, r) from the centre, at the mean length of the anchors' offsets."""
        return rescale(self.centre + total, self.rows, self.centre)
