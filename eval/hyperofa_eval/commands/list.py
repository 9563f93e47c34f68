"""``hyperofa-eval list``: the tasks, protocols and languages."""

from __future__ import annotations

import argparse
from pathlib import Path

from hyperofa_eval.base.console import print_json, table
from hyperofa_eval.languages import languages


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``list``."""
    parser.add_argument("--with", dest="extensions", type=Path, action="append", default=[], metavar="FILE.py")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> None:
    """Print what there is."""
    from hyperofa_eval.tasks import extensions
    from hyperofa_eval.tasks.protocols import PROTOCOLS
    from hyperofa_eval.tasks.registry import tasks
    from hyperofa_eval.tasks.task import settings_of

    extensions.load(args.extensions)
    known = {protocol: tasks(protocol) for protocol in PROTOCOLS}
    rows = list(languages().values())
    if args.json:
        print_json(
            {
                "protocols": {p: {n: settings_of(t) for n, t in ts.items()} for p, ts in known.items()},
                "languages": [vars(row) for row in rows],
            }
        )
        return
    for protocol, named in known.items():
        settings = [(n, t.summary, t.metric, _differs(settings_of(t))) for n, t in named.items()]
        table(f"tasks, protocol {protocol}", ["task", "what", "metric", "settings"], settings)
    cells = [
        (r.code, r.script, r.name, r.family, r.resource_class, " ".join(r.aliases), " ".join(r.papers)) for r in rows
    ]
    table("languages", ["code", "script", "name", "family", "class", "aliases", "in the paper's mean of"], cells)


def _differs(settings: dict[str, object]) -> str:
    return " ".join(f"{key}={value}" for key, value in settings.items() if key not in {"task", "name", "corpus"})
