"""``hyperofa-eval run``: score one model on tasks."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hyperofa_eval.settings.commands import Command
from hyperofa_eval.settings.evaluation import RunSettings
from hyperofa_eval.settings.fields import place, shown


@dataclass(frozen=True, kw_only=True)
class Run(RunSettings):
    """The options of ``hyperofa-eval run``."""

    model: str = place(help="hub id or model directory, dense or factorised", positional=True)
    tasks: tuple[str, ...] = place(help="comma-separated: sr-t,sr-b,ner,pos,lm", separator=",")
    data: Path = place(help="folder of test sets (layout: docs/evaluation-data.md)")
    out: Path = place(help="folder for results; the same command continues a run")
    languages: tuple[str, ...] | None = place(
        None, "comma-separated codes, such as tur,aze_Latn (default: all of the table)", separator=","
    )
    json: bool = shown(False, "print the summary as JSON instead of a table")


def run(options: Run) -> None:
    """Score the model and print the summary; what is wrong is said before the processes meet."""
    from hyperofa_eval.api import check, evaluate
    from hyperofa_eval.base import processes as together
    from hyperofa_eval.base.console import print_json
    from hyperofa_eval.base.cpu import keep_freed_memory

    tasks, data = check(options.tasks, options.data, options.out, options)
    processes = together.start(options.device)
    if processes.device == "cpu":
        keep_freed_memory()
    if not processes.main:
        logging.getLogger("hyperofa_eval").setLevel(logging.WARNING)
    names = {*RunSettings.__dataclass_fields__, "languages", "out"} - {"extensions"}  # those are loaded
    settings: dict[str, Any] = {name: getattr(options, name) for name in names}
    try:
        summary = evaluate(options.model, tasks, data, processes=processes, **settings)
    finally:
        together.stop(processes)
    if processes.main:
        print_json(summary) if options.json else _show(summary)


def _show(summary: dict[str, Any]) -> None:
    from hyperofa_eval.base.console import lines, table
    from hyperofa_eval.results.pages import decimals_of

    for name, task in summary["tasks"].items():
        decimals = decimals_of(task["unit"])
        columns = ["language", *task["values"], "95 % interval", "n", "chance"]
        rows = [_cells(row["language"], row, row["values"], "value", row["n"], decimals) for row in task["rows"]]
        label = f"mean of {task['n_languages']}"
        rows.append(_cells(label, task, task["values"], "mean", "", decimals))
        limit = "" if task["limit"] is None else f", first {task['limit']} items only"
        table(f"{name} ({task['unit']}, protocol {task['protocol']}{limit})", columns, rows, decimals=decimals)
        lines([f"mean of {task['n_languages']}: {' '.join(task['languages'])}"])
        settings = task["settings"]
        if settings.get("passages") and settings.get("passage"):
            what = f"at most {settings['passages']:,} passages of a language, of at most {settings['passage']:,} characters"
            lines([f"scored: {what}"])
        sources = [(row["language"], row.get("data_language", row["language"])) for row in task["rows"]]
        elsewhere = [f"{code} from {source}" for code, source in sources if source != code]
        lines([f"data: {', '.join(elsewhere)}"] if elsewhere else [])


def _cells(
    label: str, row: dict[str, Any], values: dict[str, Any], field: str, n: object, decimals: int
) -> list[object]:
    low, high = row["ci95"]
    chance = "" if row["chance"] is None else f"{row['chance']:.1f}"
    bounds = f"{low:.{decimals}f} – {high:.{decimals}f}"
    return [label, *(float(value[field]) for value in values.values()), bounds, str(n), chance]


COMMAND = Command(Run, run)
