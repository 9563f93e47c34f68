"""Runs against each other: paired bootstrap per language, for the mean, and by resource class and script."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hyperofa_eval.base.errors import InputError
from hyperofa_eval.languages import language
from hyperofa_eval.results.pairing import Run, check_alike, differing, missing_somewhere
from hyperofa_eval.results.result import Result
from hyperofa_eval.results.summary import language_draws
from hyperofa_eval.scoring.statistics import Floats, interval

PUBLISHED = Path(__file__).with_name("published.tsv")


def labels(folders: Sequence[Path]) -> list[str]:
    """A short, distinct name for each folder: its last part, with as many parents as it takes."""
    parts = [folder.resolve().parts for folder in folders]
    depth = 1
    while len({part[-depth:] for part in parts}) < len({*parts}) and depth < max(map(len, parts)):
        depth += 1
    names = ["/".join(part[-depth:]) for part in parts]
    return [name if names.count(name) == 1 else f"{name} #{i}" for i, name in enumerate(names, 1)]


def compare(runs: Sequence[Run], tasks: Sequence[str] | None = None, *, paper: bool = False) -> dict[str, Any]:
    """Every run against the first, on the languages all of them have; languages that one lacks are named.

    A difference is the run minus the first; its interval is a paired bootstrap over the same items (and seeds). A
    language is won or lost where that interval leaves out 0. ``paper`` puts the published means beside.

    Raises:
        InputError: the runs share no task, or were not measured alike (see :func:`~hyperofa_eval.results.pairing.check_alike`).
    """
    common = [task for task in runs[0].results if all(task in run.results for run in runs)]
    if tasks is not None:
        missing = [task for task in tasks if task not in common]
        if missing:
            todo = f"in all: {', '.join(common) or 'none'}"
            raise InputError(f"not every run has the task {missing[0]!r}", todo=todo)
        common = list(tasks)
    if not common:
        raise InputError("the runs have no task in common", where=", ".join(run.label for run in runs))
    entries = {task: _task(runs, task) for task in common}
    if paper:
        for task, entry in entries.items():
            if published(task):
                entry["published"] = {"note": published_note(task), "means": published(task)}
    return {"schema": 1, "runs": [run.label for run in runs], "tasks": entries}


def published(task: str) -> dict[str, dict[str, float]]:
    """The paper's scores before continual pre-training, of one task: model, then method, then the published mean.

    They are means over the paper's own languages, of one seed. Empty for a task the paper has not.
    """
    header, *rows = [line.split("\t") for line in PUBLISHED.read_text(encoding="utf-8").splitlines()]
    scores: dict[str, dict[str, float]] = {}
    if task in header:
        for row in rows:
            scores.setdefault(row[0], {})[row[1]] = float(row[header.index(task)])
    return scores


def published_note(task: str) -> str:
    """What to know of the published means beside one's own: no two of these numbers were measured alike."""
    own = {
        "pos": "The metric is span F1 on bare tags, not accuracy (--protocol paper has it). English is in the mean.",
        "ner": "F1 is lenient (--protocol paper has it). English is in the mean.",
    }.get(task, "Protocol paper: block 8, specials in the mean.")
    general = "other languages, one seed, no intervals; metric and protocol may differ from those above"
    return f"Published, before continual pre-training: {general}. {own}"


def _task(runs: Sequence[Run], task: str) -> dict[str, Any]:
    codes = [code for code in runs[0].results[task] if all(code in run.results[task] for run in runs)]
    if not codes:
        raise InputError(f"the runs share no language in task {task}", where=", ".join(run.label for run in runs))
    for run in runs[1:]:
        check_alike(runs[0], run, task, codes)
    entry = runs[0].summary["tasks"][task]
    metric = entry["metric"]
    averaged = [code for code in codes if code in entry["languages"]] or codes
    draws = {run.label: {code: language_draws(run.results[task][code], metric) for code in codes} for run in runs}
    values = {run.label: {code: _value(run.results[task][code], metric) for code in codes} for run in runs}
    first = runs[0].label
    better = runs[0].results[task][codes[0]][0]["higher_is_better"]
    return {
        "metric": metric,
        "unit": entry["unit"],
        "higher_is_better": better,
        "languages": codes,
        "in_mean": averaged,
        "left_out": missing_somewhere(runs, task),
        "settings_differ": differing(runs, task, codes),
        "rows": [_row(code, runs, values, draws) for code in codes],
        "means": {run.label: _mean(values[run.label], draws[run.label], averaged) for run in runs},
        "against_first": {run.label: _against(values, draws, (first, run.label), averaged, better) for run in runs[1:]},
    }


def _value(group: Sequence[Result], metric: str) -> float:
    return float(np.mean([result["values"][metric]["value"] for result in group]))


def _row(code: str, runs: Sequence[Run], values: Any, draws: Any) -> dict[str, Any]:
    row = language(code)
    first = runs[0].label
    return {
        "language": code,
        "script": row.script,
        "resource_class": row.resource_class,
        "values": {run.label: values[run.label][code] for run in runs},
        "ci95": {run.label: interval(draws[run.label][code]) for run in runs},
        "difference": {
            run.label: {
                "value": values[run.label][code] - values[first][code],
                "ci95": interval(draws[run.label][code] - draws[first][code]),
            }
            for run in runs[1:]
        },
    }


def _mean(values: Mapping[str, float], draws: Mapping[str, Floats], codes: Sequence[str]) -> dict[str, Any]:
    return {
        "mean": float(np.mean([values[code] for code in codes])),
        "ci95": interval(np.mean([draws[code] for code in codes], axis=0)),
        "n_languages": len(codes),
    }


def _against(values: Any, draws: Any, pair: tuple[str, str], codes: Sequence[str], better: bool) -> dict[str, Any]:
    first, second = pair
    gaps = {code: values[second][code] - values[first][code] for code in codes}
    spread = {code: draws[second][code] - draws[first][code] for code in codes}
    bounds = [interval(spread[code]) for code in codes]
    above, below = sum(low > 0 for low, _ in bounds), sum(high < 0 for _, high in bounds)
    return {
        "difference": _mean(gaps, spread, codes),
        "wins": above if better else below,
        "losses": below if better else above,
        "undecided": len(codes) - above - below,
        "by_resource_class": _grouped(gaps, spread, codes, lambda code: language(code).resource_class),
        "by_script": _grouped(gaps, spread, codes, lambda code: language(code).script),
    }


def _grouped(gaps: Any, spread: Any, codes: Sequence[str], key: Callable[[str], str]) -> dict[str, Any]:
    groups: dict[str, list[str]] = defaultdict(list)
    for code in codes:
        groups[key(code)].append(code)
    return {name: {**_mean(gaps, spread, members), "languages": members} for name, members in groups.items()}
