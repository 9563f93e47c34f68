"""``hyperofa-eval compare``: runs against each other, in the terminal and as Markdown, CSV and HTML."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import Any

from hyperofa_eval.base.console import lines, print_json, table
from hyperofa_eval.base.errors import InputError

log = logging.getLogger(__name__)

FILES = ("compare.json", "compare.md", "compare.csv", "compare.html")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``compare``."""
    parser.add_argument(
        "runs", nargs="+", type=Path, metavar="DIR", help="--out folders of runs; the first is the reference"
    )
    parser.add_argument("--tasks", help="comma-separated (default: all that every run has)")
    parser.add_argument("--against", choices=("paper",), help="put the published table beside")
    parser.add_argument("--out", type=Path, help=f"write {', '.join(FILES)} here")
    parser.add_argument("--json", action="store_true", help="print the comparison as JSON")


def run(args: argparse.Namespace) -> None:
    """Compare and show; raises the harness's errors."""
    if len(args.runs) < 2 and args.against is None:
        raise InputError("one run has nothing to be compared with", todo="name another, or --against paper")
    from hyperofa_eval.base.files import check_target, write_json, write_text
    from hyperofa_eval.results import render
    from hyperofa_eval.results.comparison import compare, labels
    from hyperofa_eval.results.pairing import load_run

    if args.out is not None:
        check_target(args.out)
        # What a killed comparison left, some of its files and a hidden unfinished one, is nobody's work.
        others = [path for path in args.out.glob("*") if path.name not in FILES and not path.name.startswith(".")]
        if others:
            raise InputError("the output directory holds something else", where=others[0], todo="name a new one")
    runs = [load_run(folder, label) for folder, label in zip(args.runs, labels(args.runs), strict=True)]
    tasks = None if args.tasks is None else [name.strip() for name in args.tasks.split(",") if name.strip()]
    if tasks == []:
        raise InputError("no task named", where="--tasks")
    found = compare(runs, tasks, paper=args.against == "paper")
    if args.out is not None:
        write_text(args.out / "compare.md", render.markdown(found))
        write_text(args.out / "compare.csv", render.table_csv(found))
        write_text(args.out / "compare.html", render.page(found))
        write_json(args.out / "compare.json", found, allow_nan=False)
        log.info("written: %s", ", ".join(str(args.out / name) for name in FILES))
    print_json(found) if args.json else _show(found)


def _show(found: dict[str, Any]) -> None:
    from hyperofa_eval.results.render import differences, notes, published_table

    for task, entry in found["tasks"].items():
        rows = [[row["language"], *(float(row["values"][run]) for run in found["runs"])] for row in entry["rows"]]
        rows.append(
            [f"mean of {len(entry['in_mean'])}", *(float(entry["means"][run]["mean"]) for run in found["runs"])]
        )
        table(f"{task}: {entry['metric']} ({entry['unit']})", ["language", *found["runs"]], rows, decimals=1)
        lines(notes(entry))
        if entry["against_first"]:
            columns = ["run", "group", "difference, paired 95 % interval", "languages"]
            table(f"{task}: against {found['runs'][0]}", columns, differences(entry))
        if "published" in entry:
            table(f"{task}: published", *published_table(entry))
            lines([entry["published"]["note"]])
