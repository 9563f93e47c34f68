"""Reading what the stages of a cell wrote: scores, losses, scores on the way, provenance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hyperofa.errors import InputError
from hyperofa_eval.base.files import read_json


def read_scores(path: Path, main: str) -> dict[str, Any]:
    """Retrieval from the harness's summary: the mean over languages per metric, and a row per language.

    ``n`` is the number of languages in the mean, ``pairs`` the number of test pairs in all of them.
    """
    tasks = read_json(path)["tasks"]
    if main not in tasks:
        raise InputError(f"no {main} result", where=path, todo="evaluate.tasks must begin with it")
    task = tasks[main]
    pairs = sum(row["n"] for row in task["rows"])
    of_all = {"n": task["n_languages"], "pairs": pairs}
    scores = {
        metric: {"mean": value["mean"], "ci95": value["ci95"], **of_all, "chance": value.get("chance")}
        for metric, value in task["values"].items()
    }
    rows = {
        row["language"]: {"name": row.get("name", row["language"]), "n": row["n"], **row["values"]}
        for row in task["rows"]
    }
    return {"scores": scores, "languages": rows, "settings": task["settings"]}


def read_tasks(path: Path) -> dict[str, Any]:
    """Every task of a summary by its main metric: mean, interval, languages (a row each), limit, protocol, test sets."""
    tasks = {}
    for name, task in read_json(path)["tasks"].items():
        keys = ("metric", "unit", "mean", "ci95", "chance", "n_languages", "limit", "protocol", "without_data")
        rows = {row["language"]: {key: row[key] for key in ("value", "ci95", "chance", "n")} for row in task["rows"]}
        corpus = (task.get("settings") or {}).get("corpus")
        tasks[name] = {key: task.get(key) for key in keys}
        tasks[name] |= {"languages": rows, "in_mean": task["languages"], "corpus": corpus}
    return tasks


def read_losses(path: Path) -> list[tuple[int, float]]:
    """The training loss by step."""
    from hyperofa.train.metrics import read_metrics

    return [(row["step"], row["loss"]) for row in read_metrics(path) if "loss" in row]


def read_way(path: Path) -> dict[str, Any]:
    """Scores on the way by task (``step, mean, ci95``), the seconds of all steps, and tokens a second."""
    from hyperofa.train.metrics import read_metrics

    rows = read_metrics(path)
    scores: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        for task, entry in row.get("evaluation", {}).items():
            scores.setdefault(task, []).append({"step": row["step"], **entry})
    seconds = math.fsum(float(row.get("seconds", 0.0)) for row in rows)
    tokens = rows[-1].get("tokens", 0) if rows else 0
    speed = tokens / seconds if seconds else None
    return {"scores": scores, "seconds": round(seconds, 2), "tokens": tokens, "tokens_per_second": speed}


def from_the_start(way: dict[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """Scores on the way with step 0 in front: the score before training, where it was measured in the same way."""
    same = ("metric", "n_languages", "limit", "protocol")
    scores = {}
    for task, points in way["scores"].items():
        start = before.get(task)
        alike = start is not None and points and all(key in points[0] and start[key] == points[0][key] for key in same)
        first = [{"step": 0, **{key: start[key] for key in (*same, "mean", "ci95")}}] if alike and start else []
        if start and first and (beside := points[0].get("beside")):
            rows = {code: start["languages"][code] for code in beside if code in start["languages"]}
            first[0]["beside"] = {code: {key: row[key] for key in ("value", "ci95")} for code, row in rows.items()}
        scores[task] = [*first, *points]
    return {**way, "scores": scores}


def over_seeds(values: Sequence[float], intervals: Sequence[Sequence[float]]) -> dict[str, Any]:
    """The mean over seeds with a 95 % interval of items and seeds.

    All seeds are scored on the same items, so the items' half-width does not shrink with the number of seeds: it enters
    with its mean, and the seeds' own (Student's t on the mean over seeds) is added in quadrature. One seed keeps its
    own interval, which says nothing about other seeds.
    """
    n = len(values)
    mean = math.fsum(values) / n
    if n == 1:
        return {"mean": mean, "ci95": list(intervals[0]), "seeds": 1}
    from scipy.stats import t

    spread = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1))
    low, high = (
        math.fsum(abs(bounds[side] - value) for value, bounds in zip(values, intervals, strict=True)) / n
        for side in (0, 1)
    )
    seeds = float(t.ppf(0.975, n - 1)) * spread / math.sqrt(n)
    return {"mean": mean, "ci95": [mean - math.hypot(low, seeds), mean + math.hypot(high, seeds)], "seeds": n}
