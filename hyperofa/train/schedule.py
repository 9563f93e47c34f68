"""The learning rate as a pure function of the step, so that resuming needs no scheduler state."""

from __future__ import annotations

import math
from typing import Literal, get_args

ScheduleName = Literal["linear", "cosine", "wsd", "constant"]
SCHEDULES: tuple[str, ...] = get_args(ScheduleName)


def learning_rate(
    step: int,
    *,
    peak: float,
    steps: int,
    schedule: ScheduleName = "linear",
    warmup_steps: int = 0,
    decay_steps: int = 0,
    minimum: float = 0.0,
) -> float:
    """The learning rate of optimizer step ``step`` (the first is 0) in a run of ``steps``.

    It rises linearly over ``warmup_steps`` and reaches ``peak`` at step ``warmup_steps``; then it falls to ``minimum``
    along a line or half a cosine by step ``steps``, stays (``constant``), or stays and falls linearly over the last
    ``decay_steps`` (``wsd``: warm-up, stable, decay; arXiv 2404.06395).

    Raises:
        ValueError: the schedule is unknown, or warm-up and decay do not fit into the run.
    """
    if schedule not in SCHEDULES:
        raise ValueError(f"unknown schedule {schedule!r}; known: {', '.join(SCHEDULES)}")
    if warmup_steps + decay_steps > steps:
        raise ValueError(f"warm-up ({warmup_steps}) and decay ({decay_steps}) are longer than the run ({steps} steps)")
    if step < warmup_steps:
        return peak * (step + 1) / (warmup_steps + 1)
    if schedule == "constant":
        return peak
    start = steps - decay_steps if schedule == "wsd" else warmup_steps
    if step < start:
        return peak
    progress = min((step - start) / max(steps - start, 1), 1.0)
    share = 0.5 * (1.0 + math.cos(math.pi * progress)) if schedule == "cosine" else 1.0 - progress
    return minimum + (peak - minimum) * share
