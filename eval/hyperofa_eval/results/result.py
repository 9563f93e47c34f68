"""Results on disk: one JSON per (task, language, seed), its schema, and when an old one still answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hyperofa_eval.base.errors import DataMissingError, InputError
from hyperofa_eval.base.files import check_target, read_json, sha256_json, versions, write_json
from hyperofa_eval.data.layout import DataFolder
from hyperofa_eval.scoring.statistics import Items, draws_of, interval, pack, unpack
from hyperofa_eval.tasks.task import Outcome, Task, settings_of

SCHEMA = 1
SUMMARY = "summary.json"
FIELDS: dict[str, Any] = {
    **dict.fromkeys(("task", "language", "protocol", "metric"), str),
    **dict.fromkeys(("seed", "n"), int),
    "limit": int | None,
    **dict.fromkeys(("values", "settings", "model", "data", "items"), dict),
}
"""What every result has, whichever version of the harness wrote it."""
Result = dict[str, Any]


def path_of(out: Path, task: str, language: str, seed: int) -> Path:
    """Where a result lies below the output folder."""
    return out / task / f"{language}.seed{seed}.json"


def key_of(model: Mapping[str, Any], task: Task, *, protocol: str, language: str, seed: int, limit: int | None) -> str:
    """Hash of all that decides a result but the data files.

    The head counts for the tasks that use it alone, and the model's own prompt for those that use it and were given none.
    """
    identity = [model["sha256"], model["tokenizer_sha256"]]
    if task.needs_head and "head_sha256" in model:
        identity.append(model["head_sha256"])
    if task.reading != 1:  # so that the results of tasks whose reading never changed still hold
        identity.append(f"reading {task.reading}")
    settings = settings_of(task)
    if takes_own_prompt(settings) and model.get("prompt"):
        identity.append(f"prompt {model['prompt']}")
    return sha256_json([SCHEMA, identity, settings, protocol, language, seed, limit])


def takes_own_prompt(settings: Mapping[str, Any]) -> bool:
    """Whether a task with these settings takes the prompt from the model: it has a ``prompt``, and it is None."""
    return settings.get("prompt", "") is None


def make_result(
    outcome: Outcome,
    task: Task,
    model: Mapping[str, Any],
    *,
    protocol: str,
    language: str,
    seed: int,
    limit: int | None,
    wall_s: float,
    prepare_s: float = 0.0,
    data_language: str | None = None,
    processes: int = 1,
) -> Result:
    """The JSON of one result (docs/evaluation-data.md describes each field)."""
    values = {}
    for name, items in outcome.items.items():
        draws = draws_of(items, stream(task.name, language))
        value = outcome.values.get(name, items.value())
        values[name] = {"value": value, "ci95": interval(draws), "chance": outcome.chance.get(name)}
    main = values[task.metric]
    return {
        "schema": SCHEMA,
        "task": task.name,
        "language": language,
        "data_language": data_language or language,
        "seed": seed,
        "seeded": task.seeded,
        "protocol": protocol,
        "metric": task.metric,
        "unit": task.unit,
        "higher_is_better": task.higher_is_better,
        **main,
        "n": len(outcome.items[task.metric]),
        "limit": limit,
        "values": values,
        "settings": settings_of(task),
        "model": dict(model),
        "data": dict(outcome.files),
        "key": key_of(model, task, protocol=protocol, language=language, seed=seed, limit=limit),
        "versions": versions(),
        "wall_s": round(wall_s, 3),
        "prepare_s": round(prepare_s, 3),
        "processes": processes,
        "details": dict(outcome.details),
        "items": {name: _packed(items) for name, items in outcome.items.items()},
    }


def _packed(items: Items) -> dict[str, Any]:
    ones = bool((items.den == 1).all())
    return {"num": pack(items.num), "den": None if ones else pack(items.den), "scale": items.scale}


def items_of(result: Result, metric: str) -> Items:
    """The per-item scores that a result keeps for one metric; raises :class:`InputError` where they are damaged."""
    try:
        packed = result["items"][metric]
        num = unpack(packed["num"])
        den = unpack(packed["den"]) if packed["den"] is not None else num * 0 + 1
        return Items(num, den, packed["scale"])
    except (KeyError, TypeError, ValueError) as error:
        where = f"{result['task']}/{result['language']}.seed{result['seed']}.json"
        todo = "delete it: the run makes it again"
        raise InputError(f"its items are damaged ({type(error).__name__})", where=where, todo=todo) from None


def stream(task: str, language: str) -> str:
    """The name of the bootstrap's random stream: shared by all models, so that they pair."""
    return f"{task}/{language}"


def source_of(task: Task, data: DataFolder, language: str) -> str:
    """The code whose data a task reads for a language; the language's own where the task does not say what it reads."""
    return (None if task.corpus is None else data.source(task.corpus, language)) or language


def still_holds(result: Any, key: str, task: Task, data: DataFolder, language: str) -> bool:
    """Whether a stored result was made by the same model, settings and data files, and these are still what is read.

    Where a language has got data of its own, or a file that comes before the one that was read, the old result does not hold.
    """
    source = source_of(task, data, language)
    if not isinstance(result, dict) or result.get("key") != key or result.get("data_language", source) != source:
        return False
    paths = {name: data.root / name for name in result.get("data", {})}
    if task.corpus is not None and not data.still_reads(task.corpus, language, paths):
        return False
    return all(path.is_file() and data.hashes(path)[name] == result["data"][name] for name, path in paths.items())


def stored(out: Path) -> Iterable[Result]:
    """Every result below a folder, sorted by path.

    Raises:
        InputError: a file with a result's name is not valid JSON or lacks a result's fields.
    """
    for path in sorted(out.glob("*/*.seed*.json")):
        result = read_json(path)
        if not isinstance(result, dict) or result.get("schema") != SCHEMA:
            continue
        for name, kind in FIELDS.items():
            if not isinstance(result.get(name, ...), kind):
                what = f"its field {name} is damaged" if name in result else f"it lacks {name}"
                raise InputError(f"not a whole result ({what})", where=path, todo="delete it: the run makes it again")
        yield result


def read_summary(out: Path) -> dict[str, Any] | None:
    """The ``summary.json`` of an output folder, None where there is none.

    Raises:
        InputError: it is not valid JSON or not a summary.
    """
    path = out / SUMMARY
    try:
        summary = read_json(path)
    except DataMissingError:
        return None
    shaped = isinstance(summary, dict) and isinstance(summary.get("model"), dict)
    tasks = summary.get("tasks") if shaped else None
    if not isinstance(tasks, dict) or not all(isinstance(entry, dict) and _entry(entry) for entry in tasks.values()):
        todo = "delete it and run again: results that hold are kept"
        raise InputError("not a summary of a run", where=path, todo=todo)
    return dict(summary)


def _entry(entry: Mapping[str, Any]) -> bool:
    if not all(isinstance(entry.get(name), list) for name in ("rows", "seeds", "languages")):
        return False
    return all(
        isinstance(row, dict) and isinstance(row.get("language"), str) and isinstance(row.get("value"), int | float)
        for row in entry["rows"]
    )


def write_result(out: Path, result: Result) -> None:
    """Put a result in its place.

    Where it replaces another, its task leaves the summary first: that part rests on the old one, and a run that is killed
    before it writes the new summary must not leave one that says something else than the results do.
    """
    path = path_of(out, result["task"], result["language"], result["seed"])
    if path.is_file():
        _leave_summary(out, result["task"])
    write_json(path, result, allow_nan=False)


def _leave_summary(out: Path, task: str) -> None:
    summary = read_summary(out)
    if summary is None or task not in summary["tasks"]:
        return
    del summary["tasks"][task]
    if summary["tasks"]:
        write_json(out / SUMMARY, summary, allow_nan=False)
    else:
        (out / SUMMARY).unlink(missing_ok=True)


def check_folder(out: Path, protocol: str, limit: int | None) -> None:
    """Refuse an output folder whose results must not be averaged with those to come.

    Raises:
        InputError: it is a file, holds something else, another protocol, or results of another ``--limit``.
    """
    check_target(out)
    if not out.exists():
        return
    # Hidden files are a killed run's unfinished ones; they and the empty folders around them are nobody's work.
    read_summary(out)
    files = [path for path in out.rglob("*") if path.is_file() and not path.name.startswith(".")]
    results = list(stored(out))
    if files and out / SUMMARY not in files and not results:
        raise InputError(f"the output directory holds something else (no {SUMMARY})", where=out, todo="name a new one")
    for result in results:
        where = path_of(out, result["task"], result["language"], result["seed"])
        if result["protocol"] != protocol:
            raise InputError(f"holds results of protocol {result['protocol']!r}", where=where, todo="name a new --out")
        if result["limit"] != limit:
            what = f"was measured with --limit {result['limit']}, this run has --limit {limit}"
            raise InputError(what, where=where, todo="name a new --out: they cannot share a mean")
