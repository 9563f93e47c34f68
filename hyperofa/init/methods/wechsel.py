"""WECHSEL: softmax combination of the nearest source tokens, subword vectors weighted by word frequency."""

from __future__ import annotations

import numpy as np

from hyperofa.init.linalg import normalise_rows, sparse_times_vectors
from hyperofa.init.methods.ofa import combine_nearest
from hyperofa.init.problem import Problem
from hyperofa.init.registry import Method, register


def wechsel(problem: Problem) -> np.ndarray:
    """Rows as in WECHSEL (arXiv 2112.06598, §3.2): each token's vector is the sum over its words, nearest 10, temperature 0.1.

    WECHSEL weighs words by corpus frequency, which word vectors do not carry; a word of few tokens stands in for a frequent
    one: weights are the token's share of the word.
    """
    vectors = [
        normalise_rows(sparse_times_vectors(words[ids].astype(np.float32), problem.vectors))
        for words, ids in ((problem.target_words, problem.predict_ids), (problem.source_words, problem.anchor_ids))
    ]
    return combine_nearest(
        vectors[0],
        vectors[1],
        problem.anchor_rows,
        neighbours=int(problem.options["neighbours"]),
        temperature=float(problem.options["temperature"]),
    )


register(
    Method(
        "wechsel",
        "nearest source tokens, words weighted by the token's share",
        wechsel,
        {"neighbours": 10, "temperature": 0.1},
        "WECHSEL (arXiv 2112.06598), §3.2",
    )
)
