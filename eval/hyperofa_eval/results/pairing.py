"""What two runs must have in common to be paired, and what may differ if it is named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hyperofa_eval.base.errors import DataMissingError, InputError
from hyperofa_eval.results.result import SUMMARY, Result, path_of, read_summary, stored, takes_own_prompt

NAMED = {"block", "pooling", "max_length", "prefix_space", "prompt"}  # retrieval, tagging
NAMED |= {"learning_rate", "epochs", "train_batch_size", "warmup", "batch_size", "weight_decay", "clip"}  # fine-tuning
"""Settings that suit a model (its depth, its family, how it is fine-tuned): they may differ, and every output names them.
Any other setting changes what is measured, and runs that differ in it are refused."""


@dataclass(frozen=True)
class Run:
    """The results of one output folder, by task and language (a list over seeds)."""

    label: str
    summary: Mapping[str, Any]
    results: Mapping[str, Mapping[str, list[Result]]]


def load_run(folder: Path, label: str) -> Run:
    """Read the results that a folder's summary rests on.

    Raises:
        DataMissingError: no summary there, or one of its results is gone.
        InputError: the summary is not one, or a result is not the one it was made from (of another model, say).
    """
    summary = read_summary(folder) if folder.is_dir() else None
    if summary is None:
        todo = "name the --out folder of a finished hyperofa-eval run"
        raise DataMissingError(f"no {SUMMARY}", where=folder, todo=todo)
    by_place = {(r["task"], r["language"], r["seed"]): r for r in stored(folder)}
    results: dict[str, dict[str, list[Result]]] = {}
    for task, entry in summary["tasks"].items():
        results[task] = {}
        for row in entry["rows"]:
            places = [(task, row["language"], seed) for seed in entry["seeds"]]
            missing = [place for place in places if place not in by_place]
            if missing:
                where = path_of(folder, *missing[0])
                raise DataMissingError("the summary names a result that is not there", where=where, todo="run it again")
            group = [by_place[place] for place in places]
            for place, result in zip(places, group, strict=True):
                _check_source(path_of(folder, *place), result, summary, entry)
            _check_value(folder / task, row, group, entry)
            results[task][row["language"]] = group
    return Run(label, summary, results)


def _check_source(where: Path, result: Result, summary: Mapping[str, Any], entry: Mapping[str, Any]) -> None:
    """Refuse a result of another model, setting, protocol or limit than the summary's."""
    pairs = [("model", result["model"].get(key), summary["model"].get(key)) for key in ("sha256", "tokenizer_sha256")]
    if "head_sha256" in entry:
        pairs.append(("language-model head", result["model"].get("head_sha256"), entry["head_sha256"]))
    pairs += [
        ("--limit", result["limit"], summary.get("limit")),
        ("protocol", result["protocol"], summary.get("protocol")),
        ("settings", result["settings"], entry.get("settings")),
    ]
    for what, one, other in pairs:
        if one != other:
            todo = "the run did not finish: start it again"
            raise InputError(f"another {what} than the summary's", where=where, todo=todo)


def _check_value(where: Path, row: Mapping[str, Any], group: Sequence[Result], entry: Mapping[str, Any]) -> None:
    """Refuse results whose mean over seeds is not the summary's (measured on other data, or by another version)."""
    held = [result["values"].get(entry.get("metric")) for result in group]
    values = [one["value"] for one in held if isinstance(one, dict) and isinstance(one.get("value"), int | float)]
    whole = len(values) == len(group)
    if not whole or not abs(sum(values) / len(values) - row["value"]) < 1e-9 * max(1.0, abs(row["value"])):
        what = f"the results of {row['language']} are not those of the summary"
        raise InputError(what, where=where, todo="start the run again")


def check_alike(a: Run, b: Run, task: str, codes: Sequence[str]) -> None:
    """Refuse two runs that were not measured alike in the languages ``codes``.

    Raises:
        InputError: other seeds, protocols, limits, metrics, data, kinds of head, or settings that change the measure.
    """
    for code in codes:
        groups = a.results[task][code], b.results[task][code]
        firsts = left, right = groups[0][0], groups[1][0]
        seeded = any(result.get("seeded", True) for group in groups for result in group)
        compared = {"seeds": [[result["seed"] for result in group] if seeded else None for group in groups]}
        for key, what in {"protocol": "protocols", "limit": "--limit", "metric": "metrics"}.items():
            compared[what] = [result[key] for result in firsts]
        compared["kinds of language model"] = [result.get("details", {}).get("head") for result in firsts]
        for name in sorted({*left["settings"], *right["settings"]} - NAMED):
            compared[f"settings of {name}"] = [result["settings"].get(name) for result in firsts]
        compared["numbers of items"] = [result["n"] for result in firsts]
        for what, (one, other) in compared.items():
            if one != other:
                line = f"{a.label} and {b.label} have different {what} ({one} and {other})"
                raise InputError(line, where=f"{task}, {code}", todo="only runs measured alike can be paired")
        if left["data"] != right["data"]:
            raise InputError(f"{a.label} and {b.label} were measured on different data files", where=f"{task}, {code}")


def differing(runs: Sequence[Run], task: str, codes: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What is not the same in all runs of a task and is allowed to be: by setting, the value in each run.

    The block is the one that was pooled, so ``auto`` on models of other depth differs and ``auto`` and its number do not. The
    prompt is the one that was used, given or the model's own.
    """
    firsts = {run.label: run.results[task][codes[0]] for run in runs}
    table = {label: _named(group) for label, group in firsts.items()}
    names = sorted({name for values in table.values() for name in values})
    rows = {name: {label: values.get(name) for label, values in table.items()} for name in names}
    return {name: row for name, row in rows.items() if len({repr(value) for value in row.values()}) > 1}


def _named(group: Sequence[Result]) -> dict[str, Any]:
    first = group[0]
    settings = {name: value for name, value in first["settings"].items() if name in NAMED}
    if "epochs" in settings:
        settings.setdefault("warmup", 0.0)  # results from before there was one
    block = first.get("details", {}).get("block")
    if block is not None:
        settings["block"] = block
    if "prompt" in settings:
        prompt = first["model"].get("prompt") if takes_own_prompt(settings) else settings["prompt"]
        settings["prompt"] = prompt or None
    return {**settings, "dtype": first["model"].get("dtype"), "seeds": [result["seed"] for result in group]}


def missing_somewhere(runs: Sequence[Run], task: str) -> dict[str, list[str]]:
    """Languages that not every run has, and the runs that lack each."""
    every = dict.fromkeys(code for run in runs for code in run.results[task])
    missing = {code: [run.label for run in runs if code not in run.results[task]] for code in every}
    return {code: labels for code, labels in missing.items() if labels}
