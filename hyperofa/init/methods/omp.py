"""OMP: a new row is the combination of source rows that makes the token's row of the shared tokens' rows in a donor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hyperofa.init.linalg import combine
from hyperofa.init.method import Method
from hyperofa.init.methods.means import mean
from hyperofa.init.problem import Problem
from hyperofa_eval.settings.fields import Range, Settings, setting


@dataclass(frozen=True, kw_only=True)
class OmpSettings(Settings):
    """Settings of ``omp``."""

    k: int = setting(64, "shared tokens that a new row is made of", range=Range(1))
    growth: float = setting(
        1.0,
        "shared tokens that one step adds, as a share of those chosen, by cosine; "
        "0: one at a time, by inner product, as published (ten times as long)",
        range=Range(0, 1),
    )


def omp(problem: Problem) -> np.ndarray:
    """Rows (m, r): the donor's row of a token as a sparse combination of its rows of the tokens that the source has too.

    The same weights then combine the source's rows (arXiv 2506.06607, §3). A token without a row in the donor gets the mean row.
    """
    from hyperofa.init.donor.pursuit import pursue
    from hyperofa_eval.base.console import progress_bar

    donor, settings = problem.donor, problem.settings
    assert donor is not None
    shared = np.flatnonzero(donor.has_source)
    in_donor = np.flatnonzero(donor.has_target[problem.predict_ids])
    atoms = donor.rows.take(donor.source_ids[shared])
    targets = donor.rows.take(donor.target_ids[problem.predict_ids[in_donor]])
    rows = mean(problem)
    with progress_bar("orthogonal matching pursuit", len(in_donor)) as advance:
        for block, chosen, weights in pursue(targets, atoms, settings.k, growth=settings.growth):
            rows[in_donor[block]] = combine(weights, shared[chosen], problem.rows)
            advance(len(chosen))
    problem.notes["shared_tokens"] = len(shared)
    return rows


OMP = Method(
    "omp",
    "orthogonal matching pursuit in a donor's rows of the tokens that it shares with the source",
    omp,
    OmpSettings,
    "arXiv 2506.06607, §3",
    uses_words=False,
    knows=("donor",),
)
