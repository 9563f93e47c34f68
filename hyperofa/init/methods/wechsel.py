"""WECHSEL: softmax combination of the nearest source tokens, subword vectors weighted by word frequency."""

from __future__ import annotations

import numpy as np

from hyperofa.init.method import Method
from hyperofa.init.methods.ofa import NearestSettings, combine_nearest
from hyperofa.init.problem import Problem, subword_vectors


def wechsel(problem: Problem) -> np.ndarray:
    """Rows as in WECHSEL (arXiv 2112.06598, §3.2): each token's vector is the sum over its words, nearest 10, temperature 0.1.

    WECHSEL weighs words by corpus frequency, which word vectors do not carry; a word of few tokens stands in for a frequent
    one: weights are the token's share of the word.
    """
    queries = subword_vectors(problem.target_words, problem.predict_ids, problem.vectors, power=1)
    keys = subword_vectors(problem.source_words, problem.anchor_ids, problem.vectors, power=1)
    return combine_nearest(queries, keys, problem.anchor_rows, **vars(problem.settings))


WECHSEL = Method(
    "wechsel",
    "nearest source tokens, words weighted by the token's share",
    wechsel,
    NearestSettings,
    "WECHSEL (arXiv 2112.06598), §3.2",
    rest="drawn",
)
