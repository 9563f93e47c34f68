"""How many steps a method saves: when its loss is where the baseline's ends, and how sure that is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

LEVEL_SHARE = 5
"""The level of a loss at a step is that of a line fitted through a fifth of the steps around it."""
DRAWS = 500
BLOCK = 10
"""The interval: resampled so many times, in blocks of so many steps."""


def window_of(steps: int) -> int:
    """Steps through which each line is fitted: odd, at least eleven."""
    return max(11, steps // LEVEL_SHARE) | 1


def level(losses: np.ndarray) -> np.ndarray:
    """The curve without the batches' own difficulty: a local line at each step (Savitzky and Golay, 1964, degree 1).

    Args:
        losses: Shape (..., steps), in nats; at least ``window_of(steps)`` steps.
    """
    from scipy.signal import savgol_filter

    return savgol_filter(losses, window_of(losses.shape[-1]), polyorder=1, axis=-1, mode="interp")


def first_at_most(levels: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Index of the first step at or below the target, for each row of (rows, steps); ``inf`` where there is none."""
    import numpy as np

    reached = levels <= targets[:, None]
    return np.where(reached.any(1), reached.argmax(1), np.inf)


def steps_to(baseline: np.ndarray, own: np.ndarray) -> tuple[float, float, float]:
    """Index of the first step at which ``own`` is where ``baseline`` ends, with a 95 % interval; ``inf`` for never.

    Runs of one seed read the same batches, and a batch that is hard for one is hard for the other: so the interval resamples
    what both leave over, each from its level, at the same steps (moving blocks; Künsch, 1989). It covers the draw of batches,
    not that of seeds.

    Args:
        baseline: Losses in nats, shape (steps,), long enough for :func:`level`.
        own: Those of the method at the same steps.
    """
    import numpy as np

    curves = np.stack([baseline, own])
    levels = level(curves)
    steps, left = curves.shape[1], curves - levels
    estimate = first_at_most(levels[1:], levels[:1, -1])[0]
    starts = np.random.default_rng(0).integers(0, steps - BLOCK + 1, (DRAWS, -(-steps // BLOCK)))
    places = (starts[:, :, None] + np.arange(BLOCK)).reshape(DRAWS, -1)[:, :steps]
    drawn = level(levels[:, None] + left[:, places])
    resampled = first_at_most(drawn[1], drawn[0, :, -1])
    low, high = np.quantile(resampled, [0.025, 0.975], method="nearest")
    return float(estimate), float(low), float(high)


def saved(cells: Sequence[Mapping[str, Any]], baseline: str) -> list[dict[str, Any]]:
    """For each trained cell that has a baseline cell of its source, rank and seed: steps and hours to its last loss.

    Hours are the seconds of the steps themselves, without evaluation and saving; a method's own speed counts.
    """
    trained = [cell for cell in cells if cell["loss"]]
    ends = {(c["source"], c["rank"], c["seed"]): c for c in trained if c["method"] == baseline}
    pairs = [(cell, ends.get((cell["source"], cell["rank"], cell["seed"]))) for cell in trained]
    rows = [_row(cell, other) for cell, other in pairs if other is not None and cell is not other]
    return [{**row, "baseline": baseline} for row in rows if row is not None]


def _row(cell: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any] | None:
    """One comparison; None where the runs have too few steps in common (a step that was skipped has no loss)."""
    import numpy as np

    baseline, own = dict(other["loss"]), dict(cell["loss"])
    steps = sorted(baseline.keys() & own.keys())
    if len(steps) < window_of(len(steps)):
        return None
    curves = np.array([[baseline[step] for step in steps], [own[step] for step in steps]])
    reached, low, high = (None if at == np.inf else steps[int(at)] for at in steps_to(*curves))
    of_steps, ends = steps[-1], level(curves)[:, -1]
    return {
        **{key: cell[key] for key in ("source", "rank", "method", "seed")},
        "loss": float(ends[0]),
        "steps": reached,
        "ci95": [low, high],
        "of_steps": of_steps,
        "share": None if reached is None else reached / of_steps,
        "hours": _hours(cell, reached),
        "of_hours": _hours(other, of_steps),
        "final_loss": float(ends[1]),
        "window": window_of(len(steps)),
    }


def _hours(cell: Mapping[str, Any], steps: int | None) -> float | None:
    last = cell["loss"][-1][0]
    if steps is None or not cell["way"] or not last:
        return None
    return float(cell["way"]["seconds"]) / last * steps / 3600
