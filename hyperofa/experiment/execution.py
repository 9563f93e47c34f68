"""Running an experiment to its report, alone or beside other orchestrators of the same recipe."""

from __future__ import annotations

import fcntl
import logging
import os
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from hyperofa.base.files import check_output
from hyperofa.errors import DataMissingError, HyperofaError, InputError
from hyperofa.experiment.workflow.claims import lock
from hyperofa.experiment.workflow.graph import MARKER, Plan
from hyperofa.experiment.workflow.selection import REPORT, select, stages_before
from hyperofa.experiment.workflow.stage import Ledger
from hyperofa_eval.base.files import write_json, write_text

log = logging.getLogger(__name__)

PAGE = "report.html"
"""The page of results, below the output directory."""

PATIENCE = 3.0
"""Seconds to wait for a run that has just begun and is writing its recipe."""


def carry_out(plan: Plan, *, patterns: Sequence[str] = (), start: str | None = None) -> dict[str, Any]:
    """Run the stages, then write the results as JSON, page and figure; returns the results.

    Args:
        plan: What to run, and where.
        patterns: The stages to run (with what they need); none: all of them.
        start: The stage to start from; what stands before it is taken as it is.

    Raises:
        HyperofaError: a stage failed, or a cell did (after all others ran, and the report was written).
    """
    from hyperofa.experiment.checking import check_models, check_trusted
    from hyperofa.experiment.workflow.display import Display
    from hyperofa.experiment.workflow.runner import Runner

    check_output(plan.out, MARKER, replaced=False)
    stages = plan.stages()  # and what is asked of them, before anything is written
    trusted, chosen = stages_before(stages, start), select(stages, patterns)
    if not chosen and not (plan.out / MARKER).is_file():
        raise DataMissingError("no experiment here to report on", where=plan.out, todo="run it, or name its --out")
    check_trusted(stages, trusted)
    check_models(plan, [stage for stage in stages if stage.name in chosen - trusted])
    with working_in(plan):
        display = Display()
        runner = Runner(plan.out, display, trusted)
        try:
            runner.run([stage for stage in plan.first() if stage.name in chosen], len(chosen))
            plan.write_train_config()
            if without_text := plan.languages().without_text:
                log.warning("no text in %s, so nothing is learnt of it", ", ".join(without_text))
            if chosen - {stage.name for stage in plan.first()}:
                runner.run(
                    [stage for stage in plan.rest() if stage.name in chosen], len(chosen)
                )  # which now knows the languages
        finally:
            display.close()
        report = not patterns or REPORT in patterns
        results = write_report(plan, runner.failures, trusted=trusted, ledger=runner.ledger) if report else {}
    runner.check(plan.out / PAGE if report else None)
    return results


def write_report(
    plan: Plan,
    failures: Mapping[str, HyperofaError] | None = None,
    *,
    trusted: Collection[str] = (),
    ledger: Ledger | None = None,
) -> dict[str, Any]:
    """Gather what holds and write ``results.json``, ``summary.json``, ``report.html``, ``tables.md`` and figures."""
    from hyperofa.experiment.results.collect import gather, summary
    from hyperofa.report.page import render, standalone_figures
    from hyperofa.report.tables import render_tables

    words = {name: str(error).removeprefix(f"{name}: ") for name, error in (failures or {}).items()}
    results = gather(plan, words, trusted=trusted, ledger=ledger)
    write_json(plan.out / "results.json", results)
    write_json(plan.out / "summary.json", summary(results))
    write_text(plan.out / PAGE, render(results))
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
        end = time.monotonic() + PATIENCE
        while not _share(plan, descriptor):
            if time.monotonic() > end:
                todo = "wait for it, or name another --out"
                raise InputError("another run works here with other settings", where=plan.out, todo=todo)
            time.sleep(0.05)
        yield
    finally:
        os.close(descriptor)


def _share(plan: Plan, descriptor: int) -> bool:
    """Share the directory's lock, after writing the recipe if it is another one; False while others are in the way."""
    if not _recorded(plan):
        if not lock(descriptor, fcntl.LOCK_EX, plan.out):
            return False
        write_text(plan.out / MARKER, plan.text)
        plan.write_train_config()
    return lock(descriptor, fcntl.LOCK_SH, plan.out) and _recorded(plan)


def _recorded(plan: Plan) -> bool:
    """Whether the directory holds this recipe, with the settings of training."""
    path = plan.out / MARKER
    return plan.train_config.is_file() and path.is_file() and path.read_text(encoding="utf-8") == plan.text
