"""``hyperofa-eval list``: the tasks, protocols and languages."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hyperofa_eval.settings.commands import Command
from hyperofa_eval.settings.fields import Settings, place, shown


@dataclass(frozen=True, kw_only=True)
class List(Settings):
    """The options of ``hyperofa-eval list``."""

    extensions: tuple[Path, ...] = place(
        (), "files that define tasks or languages of your own", flag="--with", append=True, metavar="FILE.py"
    )
    json: bool = shown(False, "print JSON")


def run(options: List) -> None:
    """Print what there is."""
    from hyperofa_eval.base.console import print_json, table
    from hyperofa_eval.languages import languages
    from hyperofa_eval.tasks import extensions
    from hyperofa_eval.tasks.protocols import PROTOCOLS
    from hyperofa_eval.tasks.registry import tasks
    from hyperofa_eval.tasks.task import settings_of

    extensions.load(options.extensions)
    known = {protocol: tasks(protocol) for protocol in PROTOCOLS}
    rows = list(languages().values())
    if options.json:
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


COMMAND = Command(List, run)
