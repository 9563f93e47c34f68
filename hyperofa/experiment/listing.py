"""The state of every stage of an experiment, without running anything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hyperofa.experiment.claims import Claims
from hyperofa.experiment.plan import Plan
from hyperofa.experiment.stages import Ledger, Stage, dependencies


def states(plan: Plan, stages: Sequence[Stage]) -> list[dict[str, Any]]:
    """Name, state and seconds of each stage.

    ``done``: what it made holds. ``running``: a process has claimed it. ``begun``: it was interrupted or failed, and
    goes on. ``to do``: it never ran, its settings or inputs changed, or a stage that it needs is not done.
    """
    ledger, claims, needs = Ledger(plan.out / "stages"), Claims(plan.out / "locks"), dependencies(stages)
    found: dict[str, str] = {}
    rows = []
    for stage in stages:
        record = ledger.record(stage)
        if claims.taken(stage.name):
            state = "running"
        elif any(found[name] != "done" for name in needs[stage.name]) or not record:
            state = "to do"
        else:
            state = {"new": "to do", "begun": "failed" if "failed_at" in record else "begun"}.get(
                known := ledger.state(stage, ledger.key(stage)), known
            )
        found[stage.name] = state
        rows.append({"name": stage.name, "state": state, "seconds": record.get("wall_s", "")})
    return rows
