"""How scores, differences, steps and tasks are written in the report, its tables and the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hyperofa_eval.results.pages import Estimate
from hyperofa_eval.results.pages import interval as brackets

TASKS = {
    "sr-t": "SR-T, sentence retrieval",
    "sr-b": "SR-B, sentence retrieval by verse",
    "ner": "NER, named entities",
    "pos": "POS, parts of speech",
    "lm": "language modelling, bits per character (lower is better)",
}


def tested_on(results: Mapping[str, Any], task: str) -> str:
    """What a task's test sets are, in brackets after its name; empty where the results do not say."""
    words = (results.get("tested_on") or {}).get(task)
    return f" ({words})" if words else ""


def titled(results: Mapping[str, Any], task: str) -> str:
    """A task in words, with what its test sets are: the same task scores any pairs."""
    return TASKS.get(task, task) + tested_on(results, task)


def short(metric: str) -> str:
    """A metric as it is written in the page."""
    return metric.replace("top", "top-").replace("bits_per_character", "bits per character")


def digits(score: Mapping[str, Any]) -> int:
    """Decimals of a score: one of a percentage, three of what is no percentage, such as bits per character."""
    return 3 if score.get("metric") == "bits_per_character" or score.get("unit", "percent") != "percent" else 1


def estimate(score: Mapping[str, Any]) -> Estimate:
    """A score of the results as value and interval."""
    low, high = score["ci95"]
    return Estimate(score.get("mean", score.get("value")), low, high, digits(score))


def difference(row: Mapping[str, Any]) -> tuple[str, str]:
    """A paired difference with its unit, and its interval."""
    unit = row.get("unit", "percent")
    points = "points" if unit == "percent" else unit
    return f"{row['difference']:+.{digits(row)}f} {points}", brackets(row["ci95"], digits(row), "+")


def interval(score: Estimate) -> str:
    """A mean with its interval, as text."""
    form = f".{score.digits}f"
    return f"{score.value:{form}} ({score.low:{form}}–{score.high:{form}})"


def steps_reached(row: Mapping[str, Any]) -> str:
    """The step at which a loss was reached, of how many, with its interval."""
    if row["steps"] is None:
        return "not reached"
    low, high = (f"{step:,}" if step is not None else "never" for step in row["ci95"])
    return f"{row['steps']:,} of {row['of_steps']:,} ({low}–{high})"


def measured(row: Mapping[str, Any]) -> str:
    """How a score during training was measured: metric, languages, the share of each, protocol."""
    limit = f", the first {row['limit']} of each" if row.get("limit") else ""
    protocol = f", protocol {row['protocol']}" if row.get("protocol") else ""
    return f"{short(row['metric'])}, mean of {row['n_languages']} languages{limit}{protocol}"


def duration(seconds: float) -> str:
    """A time in minutes, or in hours from an hour and a half."""
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
