"""``hyperofa-eval data``: look at a data folder, or fetch a named hub data set into one."""

from __future__ import annotations

import argparse
from pathlib import Path

from hyperofa_eval.base.console import print_json, table
from hyperofa_eval.base.errors import EXIT_FAILED, InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare ``check`` and ``fetch``."""
    commands = parser.add_subparsers(dest="action", required=True, metavar="check|fetch")
    check = commands.add_parser("check", help="what is there, what is missing, what looks wrong")
    check.add_argument("data", type=Path, metavar="DIR")
    check.add_argument("--languages", help="comma-separated codes (default: all of the table)")
    check.add_argument(
        "--training", type=Path, nargs="+", default=[], metavar="FILE", help="text the model was trained on"
    )
    check.add_argument("--manifest", action="store_true", help="write manifest.json with the files' SHA-256")
    check.add_argument("--aliases", action="store_true", help="let zho stand for cmn, fas for pes, msa, swa")
    check.add_argument("--json", action="store_true", help="print JSON")
    fetch = commands.add_parser("fetch", help="the only command that downloads data: a hub data set you name")
    fetch.add_argument("corpus", choices=("ner", "pos", "tatoeba"))
    fetch.add_argument("source", help="hub name such as unimelb-nlp/wikiann, or a local folder")
    fetch.add_argument("--languages", required=True, help="comma-separated codes")
    fetch.add_argument("--config", help="name of one language's configuration: {L} its code, {s} its two-letter code")
    fetch.add_argument("--revision", help="commit or tag, so that the data cannot change")
    fetch.add_argument("--out", type=Path, required=True)


def run(args: argparse.Namespace) -> int | None:
    """Do it; ``check`` returns 1 where something would stop a run."""
    codes = [code.strip() for code in args.languages.split(",") if code.strip()] if args.languages is not None else None
    if codes is not None and not codes:
        raise InputError("no language named", where="--languages")
    if args.action == "fetch":
        from hyperofa_eval.data.fetch import fetch

        fetch(args.corpus, args.source, codes or [], args.out, config=args.config, revision=args.revision)
        return None
    return _check(args, codes)


def _check(args: argparse.Namespace, codes: list[str] | None) -> int | None:
    from hyperofa_eval.base.files import write_json
    from hyperofa_eval.data.check import MANIFEST, check
    from hyperofa_eval.data.layout import DataFolder

    report = check(DataFolder(args.data, aliases=args.aliases), codes, args.training)
    if args.manifest:
        write_json(args.data / MANIFEST, {"schema": 1, "files": report.files})
    if args.json:
        print_json(report.plain())
        return EXIT_FAILED if report.faults else None
    rows = [
        (
            corpus,
            " ".join(f"{code}:{n}" for code, n in found.items()) or "none",
            " ".join(report.missing[corpus]) or "none",
        )
        for corpus, found in report.present.items()
    ]
    table(f"{args.data}", ["corpus", "languages and items", "missing"], rows)
    kinds = {"fault": report.faults, "warning": report.warnings, "note": report.notes}
    findings = [(kind, line) for kind, found in kinds.items() for line in found]
    table("findings", ["kind", "what"], findings or [("none", "nothing looks wrong")])
    return EXIT_FAILED if report.faults else None
