"""What an experiment found: every figure of the report, gathered from the files that the stages wrote."""

from __future__ import annotations

import os
import platform
import shlex
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from hyperofa.base.files import versions
from hyperofa.experiment.recipe.cells import OWN_ROWS, Cell
from hyperofa.experiment.recipe.comparisons import WHEN, comparisons, scorings
from hyperofa.experiment.recipe.differences import differences
from hyperofa.experiment.results.reading import cut_by_language, read_in_training
from hyperofa.experiment.results.savings import saved
from hyperofa.experiment.results.scores import (
    from_the_start,
    over_seeds,
    read_losses,
    read_scores,
    read_tasks,
    read_way,
)
from hyperofa.experiment.workflow.graph import Plan
from hyperofa.experiment.workflow.listing import HOLDS, states
from hyperofa.experiment.workflow.stage import Ledger, Stage
from hyperofa.init.provenance import Provenance
from hyperofa_eval.base.files import read_json

Record = dict[str, Any]
LONG = ("cells", "sources", "stages", "published")
"""Parts of the results that ``summary.json`` leaves out."""


def gather(
    plan: Plan,
    failures: Mapping[str, str] | None = None,
    *,
    trusted: Collection[str] = (),
    ledger: Ledger | None = None,
) -> Record:
    """All results that hold, as plain JSON (what ``results.json`` and the report hold).

    What a stage made counts while the settings and inputs it was made with are those of now. What a failed, changed or
    unfinished cell lacks is None; ``failed`` names the stages that ended with an error.

    Args:
        plan: The experiment.
        failures: Errors of stages that this run tried.
        trusted: Stages that are taken as they are (``--from``).
        ledger: The stages' records, where a run has hashed files already.

    Raises:
        DataMissingError, InputError: a finished stage's file is not what it should be.
    """
    recipe, stages = plan.recipe, plan.stages()
    ledger = ledger or Ledger(plan.out / "stages")
    state = {row["name"]: row["state"] for row in states(plan, stages, trusted=trusted, ledger=ledger)}
    records = {stage.name: ledger.record(stage) if state[stage.name] != "to do" else {} for stage in stages}
    done = {name for name, known in state.items() if known in HOLDS}
    data_record = read_json(plan.data_marker) if {"split", "gather"} & done else {}
    main = recipe.evaluate.tasks[0]
    cells = {cell.name: _cell(plan, cell, records, done) for cell in [*recipe.cells(), *recipe.own_cells()]}
    shown = _shown(plan, cells)
    resumed = [cell["resumed_at_step"] for cell in cells.values() if cell["resumed_at_step"]]
    references = {name: plan.reference(name) / "summary.json" for name in recipe.sources if f"eval-{name}" in done}
    table = scores_table(list(cells.values()))
    length = int(read_json(plan.out / "corpus" / "corpus.json")["length"]) if "corpus" in done else None
    failed = dict(failures or {})
    failed |= {name: "failed" for name, known in state.items() if known == "failed" and name not in failed}
    pairs, protocols = _paired(plan, done), sorted({row["protocol"] for row in table})
    return {
        "recipe": recipe.name,
        "task": main,
        "tested_on": _tested_on(plan, list(cells.values())),
        "languages": _scored(plan, shown),
        "pivots": data_record.get("pivots", []),
        "languages_unscored": data_record.get("languages_unscored") or _without_data(shown, main),
        "methods": {
            cell["method"]: {when: cell[when]["scores"] for when in WHEN if cell[when]}
            for cell in shown
            if cell["before"]
        },
        "sources": {name: read_scores(path, main) for name, path in references.items()},
        "paired": pairs,
        "vocabulary": cut_by_language(plan, done),
        "saved": _saved(list(cells.values()), recipe.against),
        "resumed_at_step": min(resumed) if resumed else None,
        "failed": failed,
        "unfinished": [stage.name for stage in stages if stage.name not in done and stage.name not in failed],
        "wall_s": round(sum(float(record.get("wall_s", 0.0)) for record in records.values()), 1),
        "peak_rss_gb": max(float(record.get("peak_rss_gb", 0.0)) for record in records.values()),
        "versions": {"python": platform.python_version(), **versions()},
        "machine": {"system": platform.platform(), "cores": os.cpu_count()},
        "split": _data(plan, data_record),
        "shown": [cell["name"] for cell in shown],
        "table": table,
        "published": _published(plan, table),
        "differences": differences(recipe, protocols, length, plan.replacements),
        "cells": cells,
        "stages": [
            {
                "name": stage.name,
                "title": stage.title,
                "command": _typed(stage, records[stage.name]),
                **{key: records[stage.name].get(key) for key in ("wall_s", "cpu_s", "peak_rss_gb")},
            }
            for stage in stages
            if stage.name in done
        ],
    }


def summary(results: Record) -> Record:
    """The part of the results that ``summary.json`` holds: what one reads first, without the per-step figures."""
    return {key: value for key, value in results.items() if key not in LONG}


def scores_table(cells: Sequence[Record]) -> list[Record]:
    """Table 3: a row for each task, source, rank, method and moment: the mean over its seeds, with interval.

    The rank of a source with its own tokenizer is that of the cells it stands beside.
    """
    groups: dict[tuple[Any, ...], list[Record]] = {}
    beside: dict[str, bool] = {}
    for cell in cells:
        for when in WHEN:
            for task, entry in cell["tasks"][when].items():
                beside[cell["method"]] = cell["own"] is not None
                groups.setdefault((task, cell["source"], cell["rank"], cell["method"], when), []).append(entry)
    rows = []
    for (task, source, rank, method, when), entries in groups.items():
        first = entries[0]
        facts = {key: first[key] for key in ("metric", "unit", "n_languages", "limit", "protocol", "chance")}
        merged = over_seeds([entry["mean"] for entry in entries], [entry["ci95"] for entry in entries])
        place = {"task": task, "source": source, "rank": rank, "method": method, "when": when}
        rows.append({**place, "own_tokenizer": beside[method], **facts, **merged})
    return rows


def _saved(cells: Sequence[Record], against: Sequence[str]) -> list[Record]:
    """Steps saved; not by sources with their own tokenizers, whose losses are of other tokens and whose steps of other sizes."""
    return saved([cell for cell in cells if not cell["own"]], against[0]) if against else []


def _typed(stage: Stage, record: Record) -> str:
    """The command that made a stage's output: what its record says, where the plan would type another one now."""
    ran = record.get("command")
    return stage.typed if not ran or tuple(ran) == stage.command else shlex.join(ran)


def _cell(plan: Plan, cell: Cell, records: Mapping[str, Record], done: Collection[str]) -> Record:
    folder, main = plan.cell(cell), plan.recipe.evaluate.tasks[0]
    metrics = folder / "run" / "metrics.jsonl"
    trained = f"train-{cell.name}" in done and metrics.is_file()
    initialised = f"init-{cell.name}" in done
    losses = read_losses(metrics) if trained else []
    tasks: dict[str, Record] = {when: {} for when in WHEN}
    scores: dict[str, Record | None] = dict.fromkeys(WHEN)
    for when in WHEN:
        for one in scorings(plan.recipe, when):
            if one.cell == cell and f"eval-{one.name}" in done:
                path = plan.scores(one) / "summary.json"
                tasks[when] |= read_tasks(path)
                if not one.part:
                    scores[when] = read_scores(path, main)
    way = read_way(metrics) if trained else None
    return {
        "name": cell.name,
        **vars(cell),
        "method": cell.row,
        "own": cell.own,
        "provenance": Provenance.load(folder / "init").counts if initialised else None,
        "verdict": (read_json(folder / "init" / "init.json").get("verdict") or {}).get("line") if initialised else None,
        "loss": losses,
        "read": read_in_training(plan, cell, way, losses[-1][0], done) if way and losses else None,
        "way": way and from_the_start(way, tasks["before"]),
        "resumed_at_step": records.get(f"train-{cell.name}", {}).get("resumed_at_step") if trained else None,
        "tasks": tasks,
        **scores,
    }


def _shown(plan: Plan, cells: Mapping[str, Record]) -> list[Record]:
    """One cell per method that has it, for the figures that show a single place: the first source, rank and seed trained."""
    recipe = plan.recipe
    first = next(iter(recipe.trained() or recipe.cells()))
    methods = [*recipe.matrix.methods, *OWN_ROWS]
    names = [Cell(first.source, first.rank, method, first.seed).name for method in methods]
    return [cells[name] for name in names if name in cells]


def _scored(plan: Plan, shown: Sequence[Record]) -> list[str]:
    """The languages that have a score in every cell that is shown (or were to be scored, where there is none)."""
    scored_in = [set(cell[when]["languages"]) for cell in shown for when in WHEN if cell[when]]
    languages = plan.languages().scored
    return [code for code in languages if all(code in codes for codes in scored_in)] if scored_in else languages


def _without_data(shown: Sequence[Record], main: str) -> dict[str, str]:
    lists = (
        cell["tasks"][when][main]["without_data"] for cell in shown for when in WHEN if main in cell["tasks"][when]
    )
    return dict.fromkeys(next(lists, None) or [], f"no test data for {main}")


def _data(plan: Plan, record: Record) -> Record | None:
    if not record:
        return None
    if plan.inputs is None:
        return {key: record[key] for key in ("messages", "train", "test")}
    counts = {
        "train": {"eng": record["english"], **record["train"]},
        "left_out": record["left_out"],
        "rows": record["rows"],
    }
    return {**counts, "as_it_is": sorted(plan.inputs.corpus)}


def _tested_on(plan: Plan, cells: Sequence[Record]) -> dict[str, str]:
    """What each task's test sets are, in words: the text they were held out of, or the folder they lie in."""
    entries = [entry for cell in cells for when in WHEN for entry in cell["tasks"][when].items()]
    corpora = {task: entry["corpus"] for task, entry in entries if entry.get("corpus")}
    parallel = plan.recipe.parallel
    if parallel is None:
        return {task: f"{corpus}/ of {plan.test.resolve().name}" for task, corpus in corpora.items()}
    wheel = parallel.wheel
    text = f"{wheel.name} {wheel.version}" if wheel is not None else plan.parallel.resolve().name
    return dict.fromkeys(corpora, f"pairs held out of {text}")


def _published(plan: Plan, table: Sequence[Record]) -> list[Record]:
    """The published means of the recipe's tasks; ``ours`` says which of our rows has the same source, rank and method."""
    from hyperofa_eval.results.comparison import published

    sources = {source.published: name for name, source in plan.recipe.sources.items() if source.published}
    same: dict[str, str] = {}
    for name in plan.recipe.matrix.methods:
        same.setdefault(plan.recipe.init_settings(name).method, name)
    rows = []
    for task in dict.fromkeys(row["task"] for row in table):
        for model, methods in published(task).items():
            family, _, rank = model.partition("-")
            for method, value in methods.items():
                known = family in sources and method in same
                own_row = {"source": sources[family], "rank": int(rank), "method": same[method]} if known else None
                rows.append({"task": task, "model": model, "method": method, "value": value, "ours": own_row})
    return rows


def _paired(plan: Plan, done: Collection[str]) -> list[Record]:
    """Paired differences of each task's main metric, over seeds; intervals as in :func:`over_seeds`."""
    groups: dict[tuple[Any, ...], list[tuple[Cell, Record, Record]]] = {}
    for pair in comparisons(plan.recipe):
        if f"compare-{pair.name}" not in done:
            continue
        comparison, own, other = read_json(plan.comparison(pair) / "compare.json"), pair.second, pair.first
        for task, entry in comparison["tasks"].items():
            difference = entry["against_first"][comparison["runs"][1]]["difference"]
            by_language = {row["language"]: row["difference"][comparison["runs"][1]] for row in entry.get("rows", ())}
            key = (task, own.cell.source, own.cell.rank, own.cell.row, own.when, other.cell.row, other.when)
            groups.setdefault(key, []).append((own.cell, entry, {**difference, "languages": by_language}))
    rows = []
    several = len(plan.recipe.evaluate.tasks) > 1 or bool(plan.recipe.evaluate.further)
    for (task, source, rank, method, when, with_method, _), entries in groups.items():
        cell, entry, _ = entries[0]
        trained = method == with_method
        what = f"{method}, after against before" if trained else f"{method} against {with_method}, {when}"
        one_of_many = len(plan.recipe.matrix.seeds) > 1 and len(entries) == 1
        called = plan.place(cell) + ([f"seed {cell.seed}"] if one_of_many else [])
        what += f" training ({', '.join(called)})" if called else " training"
        merged = over_seeds([each["mean"] for *_, each in entries], [each["ci95"] for *_, each in entries])
        row = {
            "what": f"{task}: {what}" if several else what,
            "cell": cell.name,
            "difference": merged.pop("mean"),
            **merged,
        }
        row |= {"task": task, "source": source, "rank": rank, "method": method, "with": with_method, "when": when}
        rows.append({**row, "metric": entry["metric"], "unit": entry["unit"], "languages": _each(entries)})
    return rows


def _each(entries: Sequence[tuple[Cell, Record, Record]]) -> dict[str, Record]:
    """The paired difference of each language that all seeds have, over seeds; replayed languages among them."""
    by_language = [difference["languages"] for *_, difference in entries]
    codes = [code for code in by_language[0] if all(code in rows for rows in by_language)]
    return {
        code: over_seeds([r[code]["value"] for r in by_language], [r[code]["ci95"] for r in by_language])
        for code in codes
    }
