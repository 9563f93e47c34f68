"""Ridge regression from subword vectors to rows; optionally centred and rescaled, since plain regressors shrink."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from hyperofa.base.rows import RowTable
from hyperofa.init.method import Method
from hyperofa.init.problem import Problem
from hyperofa_eval.settings.fields import Range, Settings, setting


@dataclass(frozen=True, kw_only=True)
class RidgeSettings(Settings):
    """Settings of ``ridge``."""

    penalty: float = setting(0.1, "penalty on the squared weights", range=Range(0, above=True))
    norm: Literal["as-predicted", "source"] = setting(
        "as-predicted", "length of the rows; source: the mean length of the source's, from their centre"
    )


_COLUMNS = 256


def fit_ridge(inputs: np.ndarray, targets: RowTable | np.ndarray, penalty: float) -> tuple[np.ndarray, np.ndarray]:
    """Weights (d, r) and intercept (r,) of ridge regression of ``targets`` (a, r) on ``inputs`` (a, d)."""
    centre_in, centre_out = inputs.mean(axis=0, dtype=np.float64), targets.mean(axis=0, dtype=np.float64)
    table, x = RowTable.of(targets), inputs - centre_in
    products = np.empty((x.shape[1], table.shape[1]))
    for start in range(0, table.shape[1], _COLUMNS):  # all targets in float64 at once could be gigabytes
        part = slice(start, start + _COLUMNS)
        products[:, part] = x.T @ (table.columns(part.start, part.stop) - centre_out[part])
    gram = x.T @ x
    gram[np.diag_indices_from(gram)] += penalty * len(inputs) / inputs.shape[1]
    weights = np.linalg.solve(gram, products)
    return weights.astype(np.float32), (centre_out - centre_in @ weights).astype(np.float32)


def rescale(rows: np.ndarray, source_rows: RowTable | np.ndarray, centre: np.ndarray | None = None) -> np.ndarray:
    """``rows`` (m, r) with every norm set to the mean norm of ``source_rows``, measured from ``centre`` (r,) if given.

    Regressions predict rows far shorter than real ones; the length of a row matters to the model as much as its direction.
    """
    origin = np.zeros(rows.shape[1], dtype=np.float32) if centre is None else centre
    mean_norm = RowTable.of(source_rows).each(lambda block: np.linalg.norm(block - origin, axis=1)).mean()
    offsets = rows - origin
    norms = np.linalg.norm(offsets, axis=1, keepdims=True)
    return (origin + offsets * (mean_norm / np.where(norms > 0, norms, 1))).astype(np.float32)


def ridge(problem: Problem) -> np.ndarray:
    """Ridge regression from subword vectors to rows; ``norm=source`` rescales centred rows to the source's mean norm."""
    weights, intercept = fit_ridge(problem.anchor_subwords, problem.anchor_rows, problem.settings.penalty)
    rows = problem.predict_subwords @ weights + intercept
    if problem.settings.norm == "source":
        rows = rescale(rows, problem.anchor_rows, problem.anchor_rows.mean(axis=0))
    return rows


RIDGE = Method("ridge", "ridge regression from subword vectors", ridge, RidgeSettings)
