"""``hyperofa-eval compare``: runs against each other, in the terminal and as Markdown, CSV and HTML."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from hyperofa_eval.base.errors import InputError
from hyperofa_eval.settings.commands import Command
from hyperofa_eval.settings.fields import Settings, place, setting, shown

log = logging.getLogger(__name__)

FILES = ("compare.json", "compare.md", "compare.csv", "compare.html")


@dataclass(frozen=True, kw_only=True)
class Compare(Settings):
    """The options of ``hyperofa-eval compare``."""

    runs: tuple[Path, ...] = place(help="--out folders; the first is the reference", positional=True, metavar="DIR")
    tasks: tuple[str, ...] | None = setting(None, "comma-separated (default: all that every run has)", separator=",")
    against: Literal["paper"] | None = setting(None, "put the published table beside")
    out: Path | None = place(None, f"write {', '.join(FILES)} here")
    json: bool = shown(False, "print the comparison as JSON")


def run(options: Compare) -> None:
    """Compare and show; raises the harness's errors."""
    if len(options.runs) < 2 and options.against is None:
        raise InputError("one run has nothing to be compared with", todo="name another, or --against paper")
    from hyperofa_eval.base.console import print_json
    from hyperofa_eval.base.files import check_target, write_json, write_text
    from hyperofa_eval.results import render
    from hyperofa_eval.results.comparison import compare, labels
    from hyperofa_eval.results.pairing import load_run

    if options.out is not None:
        check_target(options.out)
        # What a killed comparison left, some of its files and a hidden unfinished one, is nobody's work.
        other_files = [
            path for path in options.out.glob("*") if path.name not in FILES and not path.name.startswith(".")
        ]
        if other_files:
            raise InputError("the output directory holds something else", where=other_files[0], todo="name a new one")
    runs = [load_run(folder, label) for folder, label in zip(options.runs, labels(options.runs), strict=True)]
    comparison = compare(runs, options.tasks, paper=options.against == "paper")
    if options.out is not None:
        write_text(options.out / "compare.md", render.markdown(comparison))
        write_text(options.out / "compare.csv", render.table_csv(comparison))
        write_text(options.out / "compare.html", render.page(comparison))
        write_json(options.out / "compare.json", comparison, allow_nan=False)
        log.info("written: %s", ", ".join(str(options.out / name) for name in FILES))
    print_json(comparison) if options.json else _show(comparison)


def _show(comparison: dict[str, Any]) -> None:
    from hyperofa_eval.base.console import lines, table
    from hyperofa_eval.results.pages import decimals_of
    from hyperofa_eval.results.render import differences, notes, published_table

    for task, entry in comparison["tasks"].items():
        rows = [[row["language"], *(float(row["values"][run]) for run in comparison["runs"])] for row in entry["rows"]]
        means = [float(entry["means"][run]["mean"]) for run in comparison["runs"]]
        rows.append([f"mean of {len(entry['in_mean'])}", *means])
        table(
            f"{task}: {entry['metric']} ({entry['unit']})",
            ["language", *comparison["runs"]],
            rows,
            decimals=decimals_of(entry["unit"]),
        )
        lines(notes(entry))
        if entry["against_first"]:
            columns = ["run", "group", "difference, paired 95 % interval", "languages"]
            table(f"{task}: against {comparison['runs'][0]}", columns, differences(entry))
        if "published" in entry:
            table(f"{task}: published", *published_table(entry))
            lines([entry["published"]["note"]])


COMMAND = Command(Compare, run)
