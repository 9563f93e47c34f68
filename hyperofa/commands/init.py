"""``hyperofa init``: write the embeddings of a larger vocabulary into a model."""

from __future__ import annotations

import argparse
import logging
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hyperofa.errors import InputError
from hyperofa.init.settings import InitSettings
from hyperofa_eval.settings.commands import Command, keywords
from hyperofa_eval.settings.fields import place, shown

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Init(InitSettings):
    """The options of ``hyperofa init``."""

    source: str = place(help="source model: a directory, or a hub id", metavar="MODEL")
    tokenizer: str = place(help="target tokenizer: a directory, or a hub id", metavar="DIR")
    vectors: Path | None = place(
        None,
        "word vectors, from hyperofa vectors build or import; only wechsel, focus, ofa, ridge, ofa-ridge and hyperofa need them",
        metavar="DIR",
    )
    out: Path = place(help="model directory to write", metavar="DIR")
    json: bool = shown(False, "print init.json instead of a table")
    list_methods: bool = shown(False, "list the methods and their settings, and stop")
    preset: str | None = shown(None, "gone: --method names ofa-ridge, or hyperofa for what was the preset paper")


def run(options: Init) -> None:
    """Write the extended model and print what became of its rows."""
    from hyperofa.api.models import MARKER, initialise
    from hyperofa.base.files import check_output
    from hyperofa.base.interrupts import patient_interrupts
    from hyperofa.init.registry import find_method
    from hyperofa_eval.base.console import print_json
    from hyperofa_eval.base.cpu import keep_freed_memory

    began = time.monotonic()
    check_output(options.out, MARKER)
    if options.learns or find_method(options.method).trains:
        keep_freed_memory()
    out = options.out.resolve()  # "." has no name, and what is written into it would not be beside it
    work = out.parent / f".{out.name}.work"
    arguments = keywords(options) | {
        "text": options.text,
        "parallel": options.parallel,
        "donor": options.donor,
        "work": work,
    }
    with patient_interrupts():
        extended = initialise(options.source, options.tokenizer, options.vectors, **arguments)
    extended.save_pretrained(options.out)
    shutil.rmtree(work, ignore_errors=True)
    log.info("initialised %s in %.1f s", options.out, time.monotonic() - began)
    if options.json:
        print_json(extended.report)
    else:
        _print(extended.report, options.out)


def refuse_preset(namespace: argparse.Namespace) -> None:
    """Say what took the place of ``--preset``, as :class:`InputError`."""
    from hyperofa.init.registry import GONE

    raise InputError("there are no presets any more", where="--preset", todo=GONE["preset"])


def _print(record: dict[str, Any], out: Path) -> None:
    from hyperofa.init.quality.verdict_words import table_of, verdict_line
    from hyperofa_eval.base.console import console, output, table

    counts, refined, quality = record["counts"], record["refine"], record["quality"]
    description = f"method {record['method']}, rank {record['rank'] or 'full'}"
    description += f", learned from {refined['objective']}" if refined and refined["chosen_step"] else ""
    rows = [(name, n, 100 * n / sum(counts.values())) for name, n in _by_evidence(counts, record["evidence"]) if n]
    table(f"Rows of {out} by provenance ({description})", ("provenance", "rows", "%"), rows)
    head = quality["output"] or {}
    _print_matrix("Rows in the embedding space", quality)
    _print_matrix("Rows of the output matrix", head)
    if languages := list(quality["languages"].items()):
        columns = ("words", "matched", "copied", "predicted", "drawn")
        table(
            "Tokens by language" + (f" (the largest 25 of {len(languages)})" if len(languages) > 25 else ""),
            ("language", *columns, "% known"),
            [(name, *(row[c] for c in columns), 100 * row["known"]) for name, row in languages[:25]],
        )
    for what, check in (("Of", quality["held_out"]), ("Output matrix: of", head.get("held_out"))):
        if check:
            console.print(
                f"{what} {check['tokens']:,} source tokens predicted as if new, the true row is at place {check['rank']:.0f} of "
                f"{check['among']:,} (median); first {100 * check['top1']:.1f} %, among ten {100 * check['top10']:.1f} %"
            )
    for token, neighbours in list(quality["neighbours"].items())[:8]:
        console.print(f"  {token} → {', '.join(neighbours)}", markup=False)
    if refined:
        held, step = refined["held_out"], refined["chosen_step"]
        took = (
            f"step {step}, {refined['chosen_share']:.0%} of the change"
            if step
            else "the start is kept: nothing was better"
        )
        console.print(
            f"{refined['tokens_learned']:,} rows learned from {refined['objective']} in {refined['steps_done']} steps; held-out "
            f"{held['unit']} {held['start']:.3f} → {held['chosen']:.3f} ({took})"
        )
    if record["head"]["is_new"]:
        console.print("The source has no language-model head: one was made new, and must be trained.")
    if record["verdict"] is not None:
        title, heads, cells = table_of(record["verdict"])
        if cells:
            table(title, heads, cells)
    if record["made_by"]["settings"]["verdict"]:
        output.print(verdict_line(record), markup=False)


def _by_evidence(counts: dict[str, int], evidence: dict[str, int]) -> Iterator[tuple[str, int]]:
    """Rows by provenance, and below the predicted ones what they were made of."""
    for name, rows in counts.items():
        yield name, rows
        if name == "predicted":
            yield from ((f"  from {kind}", n) for kind, n in evidence.items() if kind != "none")


def _print_matrix(title: str, figures: dict[str, Any]) -> None:
    from hyperofa_eval.base.console import table

    kinds = ("source", "copied", "predicted", "drawn")
    if figures.get("predicted_norm") is None:
        return
    rows = []
    for name, key in (("mean norm", "norm"), ("mean centred cosine to others", "centred_cosine")):
        values = [figures[f"{kind}_{key}"] for kind in kinds]
        rows.append((name, *("–" if figure is None else figure for figure in values)))
    table(title, ("", *kinds), rows)


def list_methods(namespace: argparse.Namespace) -> None:
    """Print the methods, as JSON with their settings."""
    from hyperofa.init.registry import METHODS
    from hyperofa_eval.base.console import print_json, table
    from hyperofa_eval.settings.config import to_plain

    if getattr(namespace, "json", False):
        print_json(
            [
                {"name": m.name, "summary": m.summary, "options": to_plain(m.settings()), "reference": m.reference}
                for m in METHODS.values()
            ]
        )
        return
    rows = [(m.name, m.summary, m.reference) for m in METHODS.values()]
    table("Methods of initialisation", ("name", "what", "source"), rows)


COMMAND = Command(Init, run, instead={"list_methods": list_methods, "preset": refuse_preset})
