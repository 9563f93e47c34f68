"""The method ``ofa-ridge``: the sum of OFA's direction and two of ridge regression, at the length of the source's rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix, diags_array

from hyperofa.init.linalg import normalise_rows
from hyperofa.init.method import Method
from hyperofa.init.methods.ofa import combine_nearest
from hyperofa.init.methods.ridge import fit_ridge, rescale
from hyperofa.init.problem import Problem, subword_vectors
from hyperofa_eval.settings.fields import Range, SettingError, Settings, setting


@dataclass(frozen=True, kw_only=True)
class OfaRidgeSettings(Settings):
    """How much each predictor counts, and which words (docs/methods.md says how they were chosen)."""

    ofa_weight: float = setting(1.0, "weight of OFA's direction", range=Range(0))
    ridge_weight: float = setting(0.5, "weight of ridge regression from known source tokens", range=Range(0))
    broad_ridge_weight: float = setting(
        0.5, "weight of ridge regression from all source tokens with words", range=Range(0)
    )
    ridge_penalty: float = setting(0.03, "penalty of both regressions", range=Range(0, above=True))
    share_power: float = setting(
        2.0, "a word's weight is the token's share of it to this power; 0 is OFA's plain mean", range=Range(0, 16)
    )
    known_words: float = setting(
        0.5, "a source token is known from so many whole words of a language that the source knows", range=Range(0)
    )

    def check(self) -> None:
        """At least one predictor counts."""
        if not (self.ofa_weight or self.ridge_weight or self.broad_ridge_weight):
            raise SettingError("ofa_weight", "all three weights are 0", todo="leave one of them above 0")


class Directions:
    """Unit offsets (m, r) of the tokens to predict from the mean row of the known anchors (docs/methods.md).

    Attributes:
        known: (V_s, n): the source tokens' shares of the words, each word at its weight in ``problem.known_words``.
        anchors: (a,) int64: the source tokens that are known by their words; all that have words, if none is.
        rows: (a, r): their rows; ``centre`` (r,) is the mean.
        queries: (m, d) float32, unit rows: mean word vector of each token to predict, about the means of languages.
        keys: (a, d) float32, unit rows: likewise of the anchors.
    """

    def __init__(self, problem: Problem, settings: OfaRidgeSettings) -> None:
        """Weigh the words, and choose the known anchors."""
        self.problem, self.power, self.penalty = problem, settings.share_power, settings.ridge_penalty
        self.known: csr_matrix = (problem.source_words @ diags_array(problem.known_words)).tocsr()
        self.known.eliminate_zeros()
        with_words = problem.anchor_ids
        known_ids = with_words[np.asarray(self.known[with_words].sum(axis=1)).ravel() >= settings.known_words]
        self.anchors = known_ids if len(known_ids) else with_words
        self.rows = problem.rows.take(self.anchors)
        self.centre = self.rows.mean(axis=0)
        self.queries = subword_vectors(
            problem.target_words, problem.predict_ids, problem.centred_vectors, power=self.power
        )
        self.keys = subword_vectors(self.known, self.anchors, problem.centred_vectors, power=self.power)

    def nearest(self) -> np.ndarray:
        """OFA's step from the known anchors."""
        rows = combine_nearest(self.queries, self.keys, self.rows, neighbours=10, temperature=0.1)
        return normalise_rows(rows - self.centre)

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


def ofa_ridge(problem: Problem) -> np.ndarray:
    """Rows (m, r): the *direction* of the centred row is a sum of unit vectors, OFA's and two of ridge regression.

    Every row has the mean length of the source's centred rows: regressors shrink, and the errors of the three are largely
    independent. Word vectors are taken about the mean of their language, and what a source token means is learned from the
    words of the languages that the source knows (docs/methods.md).
    """
    settings: OfaRidgeSettings = problem.settings
    parts = Directions(problem, settings)
    total = np.zeros((len(parts.queries), parts.rows.shape[1]), dtype=np.float32)
    if settings.ofa_weight:
        total += settings.ofa_weight * parts.nearest()
    if settings.ridge_weight:
        total += settings.ridge_weight * parts.narrow_ridge()
    if settings.broad_ridge_weight:
        total += settings.broad_ridge_weight * parts.broad_ridge()
    return parts.at_length(total)


OFA_RIDGE = Method(
    "ofa-ridge",
    "directions of OFA and two ridge regressions summed, at the source's length",
    ofa_ridge,
    OfaRidgeSettings,
    held_out=0,  # it would take half as much memory again at the size of the paper's models
)
