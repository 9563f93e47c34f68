"""How many steps a method saves: when its loss is where the baseline's ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

SMOOTHED_SHARE = 50
"""The loss is a mean over a fiftieth of the steps, at least ten."""


def window_of(steps: int) -> int:
    """Steps in the moving mean of a loss curve of ``steps``."""
    return max(10, steps // SMOOTHED_SHARE)


def smoothed(points: Sequence[tuple[int, float]], window: int) -> list[tuple[int, float]]:
    """The mean over the ``window`` steps that end with each step, from the first full window on."""
    out, total = [], 0.0
    for index, (step, value) in enumerate(points):
        total += value
        if index >= window:
            total -= points[index - window][1]
        if index + 1 >= window:
            out.append((step, total / window))
    return out


def steps_to(points: Sequence[tuple[int, float]], loss: float, window: int) -> int | None:
    """The first step whose smoothed loss is at most ``loss``, if there is one."""
    return next((step for step, value in smoothed(points, window) if value <= loss), None)


def saved(cells: Sequence[Mapping[str, Any]], baseline: str) -> list[dict[str, Any]]:
    """For each trained cell that has a baseline cell of its source, rank and seed: steps and hours to its last loss.

    Hours are the seconds of the steps themselves, without evaluation and saving; a method's own speed counts.
    """
    trained = [cell for cell in cells if cell["loss"]]
    ends = {(c["source"], c["rank"], c["seed"]): c for c in trained if c["method"] == baseline}
    rows = []
    for cell in trained:
        other = ends.get((cell["source"], cell["rank"], cell["seed"]))
        if other is None or cell is other:
            continue
        of_steps = other["loss"][-1][0]
        window = window_of(of_steps)
        if len(other["loss"]) < window:
            continue
        loss = smoothed(other["loss"], window)[-1][1]
        needed = steps_to(cell["loss"], loss, window)
        hours = _hours(cell, needed)
        rows.append(
            {
                **{key: cell[key] for key in ("source", "rank", "method", "seed")},
                "baseline": baseline,
                "loss": loss,
                "steps": needed,
                "of_steps": of_steps,
                "share": None if needed is None else needed / of_steps,
                "hours": hours,
                "of_hours": _hours(other, of_steps),
                "final_loss": smoothed(cell["loss"], window)[-1][1] if len(cell["loss"]) >= window else None,
                "window": window,
            }
        )
    return rows


def _hours(cell: Mapping[str, Any], steps: int | None) -> float | None:
    last = cell["loss"][-1][0]
    if steps is None or not cell["way"] or not last:
        return None
    return float(cell["way"]["seconds"]) / last * steps / 3600
