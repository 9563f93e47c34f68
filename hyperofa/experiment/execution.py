"""Running an experiment to its report, alone or beside other orchestrators of the same recipe."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import yaml

from hyperofa.config import to_plain
from hyperofa.errors import InputError
from hyperofa.experiment.claims import lock
from hyperofa.experiment.plan import MARKER, Plan
from hyperofa.experiment.selection import REPORT, before, only
from hyperofa.experiment.stages import Stage
from hyperofa.files import check_output, write_json, write_text


def carry_out(plan: Plan, *, patterns: Sequence[str] = (), start: str | None = None) -> dict[str, Any]:
    """Run the stages, then write the results as JSON, page and figure; returns the results.

    Args:
        plan: What to run, and where.
        patterns: The stages to run (with what they need); none: all of them.
        start: The stage to start from; what stands before it is taken as it is.

    Raises:
        HyperofaError: a stage failed, or a cell did (after all others ran, and the report was written).
    """
    from hyperofa.experiment.display import Display
    from hyperofa.experiment.runner import Runner

    check_output(plan.out, MARKER)
    with working_in(plan):
        stages = plan.stages()
        trusted = before(stages, start) if start is not None else frozenset()
        chosen = only(stages, patterns) if patterns else {stage.name for stage in stages}
        display = Display()
        runner = Runner(plan.out, display, trusted)
        try:
            runner.run(_of(plan.first(), chosen), len(chosen))
            if chosen - {stage.name for stage in plan.first()}:
                runner.run(_of(plan.rest(), chosen), len(chosen))  # which now knows the languages
        finally:
            display.close()
        results = write_report(plan, runner.failures) if not patterns or REPORT in patterns else {}
    runner.check()
    return results


def write_report(plan: Plan, failures: Any = ()) -> dict[str, Any]:
    """Gather what is finished and write ``results.json``, ``summary.json``, ``report.html``, ``tables.md`` and figures."""
    from hyperofa.experiment.results import gather, summary
    from hyperofa.report.page import render, standalone_figures
    from hyperofa.report.tables import render_tables

    results = gather(plan, {name: str(error).removeprefix(f"{name}: ") for name, error in dict(failures).items()})
    write_json(plan.out / "results.json", results)
    write_json(plan.out / "summary.json", summary(results))
    write_text(plan.out / "report.html", render(results))
    write_text(plan.out / "tables.md", render_tables(results))
    for name, figure in standalone_figures(results).items():
        write_text(plan.out / f"{name}.svg", figure)
    return results


@contextmanager
def working_in(plan: Plan) -> Iterator[None]:
    """Share the directory with other runs of the same recipe; a changed recipe needs it alone at its start.

    Raises:
        InputError: another run works there with other settings.
    """
    plan.out.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(plan.out / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        if _recorded(plan) == _recipe_text(plan) and plan.train_config.is_file():
            free = lock(descriptor, fcntl.LOCK_SH, plan.out)
        else:
            free = lock(descriptor, fcntl.LOCK_EX, plan.out)
            if free:
                plan.write_configs()
                fcntl.flock(descriptor, fcntl.LOCK_SH)
        if not free:
            raise InputError(
                "another run works here with other settings", where=plan.out, todo="wait for it, or name another --out"
            )
        yield
    finally:
        os.close(descriptor)


def _recorded(plan: Plan) -> str | None:
    path = plan.out / MARKER
    return path.read_text(encoding="utf-8") if path.is_file() else None


def _recipe_text(plan: Plan) -> str:
    return yaml.safe_dump(to_plain(plan.recipe), sort_keys=False, allow_unicode=True)


def _of(stages: Sequence[Stage], chosen: set[str]) -> list[Stage]:
    return [stage for stage in stages if stage.name in chosen]
