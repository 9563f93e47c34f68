"""The state of every stage of an experiment, without running anything."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from hyperofa.experiment.workflow.claims import Claims
from hyperofa.experiment.workflow.graph import Plan
from hyperofa.experiment.workflow.stage import Ledger, Stage, dependencies

HOLDS = ("done", "as it is")
"""The states of a stage whose output may be used."""


def states(
    plan: Plan, stages: Sequence[Stage], *, trusted: Collection[str] = (), ledger: Ledger | None = None
) -> list[dict[str, Any]]:
    """Name, state and seconds of each stage.

    ``done``: what it made holds. ``as it is``: it is trusted, and what it made is there. ``running``: a process has
    claimed it. ``begun``: it was interrupted, ``failed``: it failed, and goes on. ``to do``: it never ran, its settings
    or inputs changed, or a stage that it needs is not done.

    Args:
        plan: The experiment.
        stages: Its stages, in an order in which no stage needs a later one.
        trusted: Names of those that are taken as they are (``--from``).
        ledger: Their records, where a run has hashed files already.
    """
    ledger = ledger or Ledger(plan.out / "stages")
    claims, needs = Claims(plan.out / "locks"), dependencies(stages)
    state_of: dict[str, str] = {}
    rows = []
    for stage in stages:
        record = ledger.record(stage)
        if stage.name in trusted:
            state = "as it is" if (stage.output / stage.marker).is_file() else "to do"
        elif claims.taken(stage.name):
            state = "running"
        elif any(state_of[name] not in HOLDS for name in needs[stage.name]) or not record:
            state = "to do"
        else:
            state = {"new": "to do"}.get(known := ledger.state(stage, ledger.key(stage)), known)
            state = "failed" if state == "begun" and "failed_at" in record else state
        state_of[stage.name] = state
        rows.append({"name": stage.name, "state": state, "seconds": record.get("wall_s", "")})
    return rows
