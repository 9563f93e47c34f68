"""A method tried on source tokens as if they were new: how near it comes to rows that are known."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from hyperofa.init.linalg import normalise_rows
from hyperofa.init.method import Method, run_method

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from hyperofa.base.rows import RowTable
    from hyperofa.init.problem import Problem
    from hyperofa_eval.settings.fields import Settings


def held_out_check(method: Method, problem: Problem, size: int) -> dict[str, Any] | None:
    """Predict the rows of about ``size`` source tokens from the others and look for the true rows among all anchors'.

    Whole groups of tokens of equal lower-cased surface are held out. ``rank`` is the median place of the true row among all
    source tokens with words (1 is best, half their number is chance), by cosine after the mean is taken away; ``top1`` and
    ``top10`` are shares; ``cosine`` and ``norm`` (predicted over true length, mean) are to be read beside them: on rows, held-out
    cosine alone misleads. None where the method predicts nothing, or reads the token's own text, or too few tokens have words.
    """
    anchors = problem.anchor_ids
    if not size or method.predict is None or method.reads_text or len(anchors) < 20:
        return None
    rng = problem.rng(220)
    groups = problem.source_groups[anchors]
    names = rng.permutation(np.unique(groups))
    share = min(0.2, size / len(anchors))
    held = np.isin(groups, names[: max(1, round(share * len(names)))])
    ids = anchors[held]
    predicted = run_method(method, without_tokens(problem, ids, problem.settings))
    return _compare(predicted, problem.rows.take(anchors), np.flatnonzero(held))


def without_tokens(problem: Problem, ids: np.ndarray, settings: Settings) -> Problem:
    """The problem of predicting the source tokens ``ids`` (m,) from the others, for a method with these ``settings``."""
    spellings = problem.source_spellings
    own = np.arange(len(problem.rows))
    own[ids] = -1
    return dataclasses.replace(
        problem,
        source_words=_emptied(problem.source_words, ids),
        target_words=problem.source_words,
        pieces=None,
        donor=problem.donor and problem.donor.without(ids),
        evidence=np.zeros(len(ids), dtype=np.int8),
        source_spellings=None if spellings is None else _emptied(spellings, ids),
        target_spellings=spellings,
        source_ids=own,
        predict_ids=ids,
        source_tokenizer=None,
        target_tokenizer=None,
        settings=settings,
        work=None,
        judge=None,
        model=None,
        notes={},
    )


def _emptied(words: csr_matrix, ids: np.ndarray) -> csr_matrix:
    """``words`` (V, n) with nothing in the rows ``ids``."""
    words = words.copy()
    words.data[np.isin(np.repeat(np.arange(words.shape[0]), np.diff(words.indptr)), ids)] = 0
    words.eliminate_zeros()
    return words


def _compare(predicted: np.ndarray, rows: RowTable, places: np.ndarray) -> dict[str, Any]:
    """``predicted`` (m, r) against ``rows`` (a, r), of which ``places`` (m,) are the true ones."""
    centre = rows.mean()
    queries, true_rows = normalise_rows(predicted - centre), rows[places] - centre
    true = np.einsum("mr,mr->m", queries, normalise_rows(true_rows))
    rank = np.ones(len(places), dtype=np.int64)
    for block in rows.blocks():
        rank += (queries @ normalise_rows(block - centre).T > true[:, None] + 1e-6).sum(axis=1)
    length = np.linalg.norm(predicted - centre, axis=1) / np.maximum(np.linalg.norm(true_rows, axis=1), 1e-12)
    return {
        "tokens": len(places),
        "among": len(rows),
        "rank": float(np.median(rank)),
        "top1": round(float((rank == 1).mean()), 4),
        "top10": round(float((rank <= 10).mean()), 4),
        "cosine": round(float(true.mean()), 4),
        "norm": round(float(length.mean()), 4),
    }
