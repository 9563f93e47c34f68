"""``hyperofa-eval run``: score one model on tasks."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hyperofa_eval.base.console import lines, print_json, table
from hyperofa_eval.base.errors import InputError

if TYPE_CHECKING:
    from hyperofa_eval.tasks import Task


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``run``."""
    parser.add_argument("model", help="hub id or model directory, dense or factorised")
    parser.add_argument("--tasks", required=True, help="comma-separated: sr-t,sr-b,ner,pos,lm")
    parser.add_argument("--data", required=True, type=Path, help="folder of test sets (layout: docs/evaluation.md)")
    parser.add_argument("--out", required=True, type=Path, help="folder for results; the same command continues a run")
    parser.add_argument("--languages", help="comma-separated codes, such as tur,aze_Latn (default: all of the table)")
    parser.add_argument("--protocol", default="default", help="default or paper")
    parser.add_argument("--block", help="retrieval: 1-based block, auto (two thirds of the depth) or all")
    parser.add_argument("--pooling", help="retrieval: mean, mean-all (with specials), cls or last")
    parser.add_argument("--direction", help="retrieval: en-x, x-en or both")
    parser.add_argument("--csls", action="store_true", help="retrieval: rank by CSLS instead of the cosine")
    parser.add_argument("--learning-rate", type=float, help="tagging: peak rate of the fine-tuning (default: 2e-5)")
    parser.add_argument("--epochs", type=int, help="tagging: passes over the English training set (default: 10)")
    parser.add_argument("--seed", default="0", help="comma-separated seeds (retrieval uses the first only)")
    parser.add_argument("--limit", type=int, help="score the first N items of a language only; marked in the results")
    parser.add_argument("--batch-size", type=int, default=64, help="sequences in one forward pass")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 …")
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16", "float16"))
    parser.add_argument("--cache", type=Path, help="keep encodings in this folder, found by content")
    parser.add_argument("--aliases", action="store_true", help="let zho stand for cmn, fas for pes, msa, swa")
    parser.add_argument("--with", dest="extensions", type=Path, action="append", default=[], metavar="FILE.py")
    parser.add_argument("--remote-code", action="store_true", help="run Python code that comes with the checkpoint")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON instead of a table")


def run(args: argparse.Namespace) -> None:
    """Run it; raises the harness's errors, which the command turns into one line."""
    if args.batch_size < 1:
        raise InputError(f"--batch-size {args.batch_size} is not a number of sequences")
    from hyperofa_eval.base.files import check_target
    from hyperofa_eval.data.layout import DataFolder
    from hyperofa_eval.results.result import check_folder
    from hyperofa_eval.tasks import extensions
    from hyperofa_eval.tasks.registry import choose

    extensions.load(args.extensions)
    chosen = _with_options(choose(args.tasks, args.protocol), args)
    seeds = _seeds(args.seed)
    data = DataFolder(args.data, aliases=args.aliases)
    check_folder(args.out, args.protocol, args.limit)
    if args.cache is not None:
        check_target(args.cache)
        if args.cache.resolve().is_relative_to(args.out.resolve()):
            raise InputError(
                "lies inside --out", where=f"--cache {args.cache}", todo="name a folder outside the results"
            )

    from hyperofa_eval.api import evaluate
    from hyperofa_eval.base import processes as together
    from hyperofa_eval.base.cpu import keep_freed_memory

    processes = together.start(args.device)
    if processes.device == "cpu":
        keep_freed_memory()
    if not processes.main:
        logging.getLogger("hyperofa_eval").setLevel(logging.WARNING)
    try:
        summary = evaluate(
            args.model,
            chosen,
            data,
            languages=args.languages.split(",") if args.languages is not None else None,
            protocol=args.protocol,
            seeds=seeds,
            limit=args.limit,
            batch_size=args.batch_size,
            out=args.out,
            dtype=args.dtype,
            cache=args.cache,
            remote_code=args.remote_code,
            processes=processes,
        )
    finally:
        together.stop(processes)
    if processes.main:
        print_json(summary) if args.json else _show(summary)


def _with_options(chosen: Sequence[Task], args: argparse.Namespace) -> list[Task]:
    """The tasks with the settings of the command line, each with those that it has; one that none has is refused."""
    from hyperofa_eval.tasks.registry import block_named, given, settable, with_settings

    asked = given(vars(args))
    if "block" in asked:
        asked["block"] = block_named(asked["block"])
    idle = [name for name in asked if not any(name in settable(task) for task in chosen)]
    if idle:
        option = "--" + idle[0].replace("_", "-")
        tasks = ", ".join(task.name for task in chosen)
        raise InputError(f"no task that was asked for has it ({tasks})", where=option, todo="leave it out")
    return [with_settings(task, asked) for task in chosen]


def _seeds(text: str) -> list[int]:
    try:
        seeds = list(dict.fromkeys(int(word) for word in text.split(",")))
    except ValueError:
        raise InputError(f"--seed {text!r} is not a list of whole numbers") from None
    if min(seeds) < 0:
        raise InputError(f"--seed {text!r}: a seed is not negative")
    return seeds


def _show(summary: dict[str, Any]) -> None:
    for name, task in summary["tasks"].items():
        columns = ["language", *task["values"], "95 % interval", "n", "chance"]
        rows = [_cells(row["language"], row, row["values"], "value", row["n"]) for row in task["rows"]]
        label = f"mean of {task['n_languages']}"
        rows.append(_cells(label, task, task["values"], "mean", ""))
        limit = "" if task["limit"] is None else f", first {task['limit']} items only"
        table(f"{name} ({task['unit']}, protocol {task['protocol']}{limit})", columns, rows, decimals=1)
        lines([f"mean of {task['n_languages']}: {' '.join(task['languages'])}"])
        elsewhere = [f"{row['language']} from {row['data_language']}" for row in task["rows"] if _borrowed(row)]
        lines([f"data: {', '.join(elsewhere)}"] if elsewhere else [])


def _borrowed(row: dict[str, Any]) -> bool:
    return bool(row["language"] != row.get("data_language", row["language"]))


def _cells(label: str, row: dict[str, Any], values: dict[str, Any], field: str, n: object) -> list[object]:
    low, high = row["ci95"]
    chance = "" if row["chance"] is None else f"{row['chance']:.1f}"
    return [label, *(float(value[field]) for value in values.values()), f"{low:.1f} – {high:.1f}", str(n), chance]
