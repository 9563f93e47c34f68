"""OFA: a new row is a convex combination of the rows of the nearest source tokens in word-vector space."""

from __future__ import annotations

import numpy as np

from hyperofa.init.linalg import combine, nearest, softmax
from hyperofa.init.problem import Problem
from hyperofa.init.ranges import Range
from hyperofa.init.registry import Method, register

RANGES = {"neighbours": Range(1), "temperature": Range(1e-6)}


def combine_nearest(
    queries: np.ndarray, keys: np.ndarray, rows: np.ndarray, *, neighbours: int, temperature: float
) -> np.ndarray:
    """Rows (m, r): for each query the softmax-weighted mean of the rows of its nearest keys (OFA, §3.3).

    Args:
        queries: (m, d) unit rows.
        keys: (a, d) unit rows.
        rows: (a, r), one for each key.
        neighbours: How many keys take part.
        temperature: Of the softmax over their cosines.
    """
    indices, scores = nearest(queries, keys, neighbours)
    return combine(softmax(scores, temperature), indices, rows)


def ofa(problem: Problem) -> np.ndarray:
    """OFA's rows for the tokens to predict (10 neighbours and temperature 0.1 are its published settings)."""
    return combine_nearest(
        problem.predict_subwords,
        problem.anchor_subwords,
        problem.anchor_rows,
        neighbours=int(problem.options["neighbours"]),
        temperature=float(problem.options["temperature"]),
    )


register(
    Method(
        "ofa",
        "convex combination of the nearest source tokens",
        ofa,
        {"neighbours": 10, "temperature": 0.1},
        "OFA (arXiv 2311.08849), §3.3",
        ranges=RANGES,
    )
)
