"""What an experiment found: every figure of the report, gathered from the files that the stages wrote."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hyperofa.errors import InputError
from hyperofa.experiment.plan import WHEN, Comparison, Plan
from hyperofa.experiment.recipe import Cell
from hyperofa.experiment.split import MARKER as SPLIT_MARKER
from hyperofa.experiment.stages import Ledger, Stage
from hyperofa.files import read_json, versions

PROVENANCE = ("special", "copied", "predicted", "drawn", "appended")
"""The meaning of the codes 0 to 4 in ``provenance.safetensors``."""


def gather(plan: Plan, stages: Sequence[Stage]) -> dict[str, Any]:
    """All results of a finished experiment as plain JSON (what ``results.json`` and the report hold).

    Raises:
        DataMissingError, InputError: a stage's file is missing or not what it should be.
    """
    ledger = Ledger(plan.out / "stages")
    records = {stage.name: ledger.record(stage) for stage in stages}
    split = read_json(plan.data / SPLIT_MARKER)
    cells = {cell.name: _cell(plan, cell, records) for cell in plan.recipe.cells()}
    resumed = [cell["resumed_at_step"] for cell in cells.values() if cell["resumed_at_step"]]
    return {
        "recipe": plan.recipe.name,
        "languages": split["languages"],
        "pivots": split["pivots"],
        "languages_unscored": split["languages_unscored"],
        "methods": {cell["method"]: {when: cell[when]["scores"] for when in WHEN} for cell in _first(plan, cells)},
        "sources": {name: read_scores(plan.reference(name) / "summary.json") for name in plan.recipe.sources},
        "paired": [row for comparison in plan.comparisons() for row in read_paired(plan, comparison)],
        "resumed_at_step": min(resumed) if resumed else None,
        "wall_s": round(sum(float(record.get("wall_s", 0.0)) for record in records.values()), 1),
        "peak_rss_gb": max(float(record.get("peak_rss_gb", 0.0)) for record in records.values()),
        "versions": {"python": platform.python_version(), **versions()},
        "machine": {"system": platform.platform(), "cores": os.cpu_count()},
        "split": {key: split[key] for key in ("messages", "train", "test")},
        "cells": cells,
        "stages": [
            {
                "name": stage.name,
                "title": stage.title,
                "command": stage.typed,
                **{key: records[stage.name].get(key) for key in ("wall_s", "cpu_s", "peak_rss_gb")},
            }
            for stage in stages
        ],
    }


def summary(results: dict[str, Any]) -> dict[str, Any]:
    """The part of the results that ``summary.json`` holds: what one reads first, without the per-step figures."""
    return {key: value for key, value in results.items() if key not in {"cells", "sources", "stages"}}


def _first(plan: Plan, cells: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """One cell per method: the matrix's first source, rank and seed."""
    source, rank, seed = next(iter(plan.recipe.sources)), plan.recipe.matrix.ranks[0], plan.recipe.matrix.seeds[0]
    return [cells[Cell(source, rank, method, seed).name] for method in plan.recipe.matrix.methods]


def _cell(plan: Plan, cell: Cell, records: dict[str, dict[str, Any]]) -> dict[str, Any]:
    folder = plan.cell(cell)
    return {
        "source": cell.source,
        "rank": cell.rank,
        "method": cell.method,
        "seed": cell.seed,
        "provenance": count_provenance(folder / "init" / "provenance.safetensors"),
        "loss": read_losses(folder / "run" / "metrics.jsonl"),
        "resumed_at_step": records[f"train-{cell.name}"].get("resumed_at_step"),
        **{when: read_scores(folder / when / "summary.json") for when in WHEN},
    }


def count_provenance(path: Path) -> dict[str, int]:
    """How many tokens came about in which way."""
    import numpy as np
    from safetensors.numpy import load_file

    counts = np.bincount(load_file(path)["code"], minlength=len(PROVENANCE))
    return {name: int(count) for name, count in zip(PROVENANCE, counts, strict=True)}


def read_losses(path: Path) -> list[tuple[int, float]]:
    """The training loss by step."""
    from hyperofa.train.metrics import read_metrics

    return [(row["step"], row["loss"]) for row in read_metrics(path) if "loss" in row]


def read_scores(path: Path) -> dict[str, Any]:
    """Retrieval from the harness's summary: the mean over languages per metric, and a row per language.

    ``n`` is the number of languages in the mean, ``pairs`` the number of test pairs in all of them.
    """
    tasks = read_json(path)["tasks"]
    if "sr-t" not in tasks:
        raise InputError("no sr-t result", where=path, todo="the report needs evaluate.tasks to name sr-t")
    task = tasks["sr-t"]
    pairs = sum(row["n"] for row in task["rows"])
    scores = {
        metric: {
            "mean": values["mean"],
            "ci95": values["ci95"],
            "n": task["n_languages"],
            "pairs": pairs,
            "chance": values["chance"],
        }
        for metric, values in task["values"].items()
    }
    rows = {
        row["language"]: {"name": row.get("name", row["language"]), "n": row["n"], **row["values"]}
        for row in task["rows"]
    }
    return {"scores": scores, "languages": rows, "settings": task["settings"]}


def read_paired(plan: Plan, comparison: Comparison) -> list[dict[str, Any]]:
    """Differences of top-10 retrieval in points, each run against the comparison's first, with paired 95 % intervals."""
    path = plan.out / "comparisons" / comparison.name / "compare.json"
    found = read_json(path)
    cells = {plan.cell(cell): cell for cell in plan.recipe.cells()}
    first = comparison.runs[0]
    rows = []
    for label, run in zip(found["runs"][1:], comparison.runs[1:], strict=True):
        difference = found["tasks"]["sr-t"]["against_first"][label]["difference"]
        own, other = cells[run.parent].method, cells[first.parent].method
        what = (
            f"{own} against {other}, {run.name} training" if own != other else f"{own}, after against before training"
        )
        rows.append(
            {"what": what, "cell": run.parent.name, "difference": difference["mean"], "ci95": difference["ci95"]}
        )
    return rows
