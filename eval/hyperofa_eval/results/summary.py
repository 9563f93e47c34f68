"""The summary of a run: per task a row per language and the mean over languages, with intervals."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hyperofa_eval.base.errors import InputError
from hyperofa_eval.languages import PIVOT, is_pivot
from hyperofa_eval.languages import language as language_row
from hyperofa_eval.results.result import Result, items_of, stream
from hyperofa_eval.scoring.statistics import Floats, draws_of, interval, over_seeds


def summarise_task(
    results: Sequence[Result], without_data: Sequence[str], leave_out: Sequence[str] = ()
) -> dict[str, Any]:
    """One task's entry of ``summary.json``, from every (language, seed) of one task, model and protocol.

    ``without_data`` are languages asked for that the data folder does not hold; those to ``leave_out`` have a row but are not
    in the mean (English, on which taggers are trained, and languages that are scored beside the others).

    Raises:
        InputError: the results were not all measured on the same share of the data (``--limit``).
    """
    first = results[0]
    limits = {result["limit"] for result in results}
    if len(limits) > 1:
        raise InputError(f"results with --limit {sorted(map(str, limits))} cannot share a mean", where=first["task"])
    by_language: dict[str, list[Result]] = defaultdict(list)
    for result in results:
        by_language[result["language"]].append(result)
    draws = {
        metric: {code: language_draws(group, metric) for code, group in by_language.items()}
        for metric in first["values"]
    }
    rows = [_row(code, group, draws) for code, group in by_language.items()]
    own_names = {code: PIVOT if is_pivot(code) else code for code in by_language}
    averaged = [row for row in rows if not {row["language"], own_names[row["language"]]} & {*leave_out}] or rows
    codes = [row["language"] for row in averaged]
    values = {
        metric: {
            "mean": float(np.mean([row["values"][metric]["value"] for row in averaged])),
            "ci95": interval(np.mean([draws[metric][code] for code in codes], axis=0)),
            "chance": _mean([row["values"][metric]["chance"] for row in averaged]),
        }
        for metric in first["values"]
    }
    extra = {}
    if first["protocol"] == "paper" and first["unit"] == "percent":
        extra["mean_read_from_text"] = mean_read_from_text([row["value"] for row in averaged])
    return {
        "protocol": first["protocol"],
        "metric": first["metric"],
        "unit": first["unit"],
        **values[first["metric"]],
        **extra,
        "n_languages": len(codes),
        "languages": codes,
        "without_data": list(without_data),
        "limit": first["limit"],
        "seeds": sorted({result["seed"] for result in results}),
        "values": values,
        "settings": first["settings"],
        "rows": rows,
    }


def language_draws(group: Sequence[Result], metric: str) -> Floats:
    """Bootstrap draws of one language: over items, then over its seeds; shape (draws,)."""
    name = stream(group[0]["task"], group[0]["language"])
    return over_seeds([draws_of(items_of(result, metric), name) for result in group], name)


def mean_read_from_text(percents: Sequence[float]) -> float:
    """The mean as the published code takes it: shares printed to a file and read back by ``digits.digits``.

    A share that prints with an exponent (9.1e-05) is read as 9.1, so one bad language can lift the mean; kept beside
    the true mean under the ``paper`` protocol, never instead of it.
    """
    shares = [str(percent / 100) for percent in percents]
    matches = [re.search(r"\d+\.\d+", text) for text in shares]
    return 100 * float(np.mean([float(match.group()) for match in matches if match is not None]))


def _row(code: str, group: Sequence[Result], draws: Mapping[str, Mapping[str, Floats]]) -> dict[str, Any]:
    first = group[0]
    row = language_row(code)
    values = {
        metric: {
            "value": float(np.mean([result["values"][metric]["value"] for result in group])),
            "ci95": interval(draws[metric][code]),
            "chance": first["values"][metric]["chance"],
        }
        for metric in first["values"]
    }
    return {
        "language": code,
        "data_language": first.get("data_language", code),
        "name": row.name,
        "script": row.script,
        "resource_class": row.resource_class,
        **values[first["metric"]],
        "n": first["n"],
        "values": values,
    }


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if len(known) == len(values) else None
