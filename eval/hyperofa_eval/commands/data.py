"""``hyperofa-eval data``: look at a data folder, fetch a named hub data set into one, or make a task of text."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hyperofa_eval.base.errors import EXIT_FAILED
from hyperofa_eval.settings.commands import Command
from hyperofa_eval.settings.fields import Range, Settings, place, setting, shown


@dataclass(frozen=True, kw_only=True)
class Check(Settings):
    """The options of ``hyperofa-eval data check``."""

    data: Path = place(help="the data folder", positional=True, metavar="DIR")
    languages: tuple[str, ...] | None = setting(None, "comma-separated codes (default: all)", separator=",")
    training: tuple[Path, ...] = place((), "text the model was trained on", metavar="FILE")
    manifest: bool = setting(False, "write manifest.json with the files' SHA-256")
    aliases: bool = setting(False, "let zho stand for cmn, fas for pes, msa for zsm, swa for swh")
    json: bool = shown(False, "print JSON")


@dataclass(frozen=True, kw_only=True)
class Fetch(Settings):
    """The options of ``hyperofa-eval data fetch``."""

    corpus: Literal["ner", "pos", "tatoeba"] = place(help="kind of data set", positional=True)
    source: str = place(help="hub name such as unimelb-nlp/wikiann, or a local folder", positional=True)
    languages: tuple[str, ...] = setting(help="comma-separated codes", separator=",")
    config: str | None = setting(None, "name of one language's configuration: {L} its code, {s} its two-letter code")
    revision: str | None = setting(None, "commit or tag of the data set, so that it cannot change")
    out: Path = place(help="the data folder")


@dataclass(frozen=True, kw_only=True)
class Continuations(Settings):
    """The options of ``hyperofa-eval data continuations``."""

    text: Path = place(help="folder of text, L.txt a language, line i of each saying the same", positional=True)
    languages: tuple[str, ...] = setting(help="comma-separated codes", separator=",")
    last: int = setting(200, "so many lines at the end of each file are used", range=Range(1))
    seed: int = setting(0, "seed of the wrong choices and of the right one's place", range=Range(0))
    out: Path = place(help="the folder of the tasks, lm_eval's --include_path")
    json: bool = shown(False, "print the counts as JSON in place of the table")


def fetch(options: Fetch) -> None:
    """Fetch one data set."""
    from hyperofa_eval.data.fetch import fetch as fetch_data

    hub_options = {"config": options.config, "revision": options.revision}
    fetch_data(options.corpus, options.source, options.languages, options.out, **hub_options)


def continuations(options: Continuations) -> None:
    """Write the tasks, and say how many items each language has."""
    from hyperofa_eval.base.console import print_json, table
    from hyperofa_eval.data.continuations import NAME, write_continuations

    item_counts = write_continuations(
        options.text, options.languages, options.out, last=options.last, seed=options.seed
    )
    if options.json:
        print_json({"schema": 1, "items": item_counts})
        return
    table(f"{options.out}", ["task", "items"], [(f"{NAME}_{code}", n) for code, n in item_counts.items()])


def check(options: Check) -> int | None:
    """Look at a folder; returns 1 where something would stop a run."""
    from hyperofa_eval.base.console import print_json, table
    from hyperofa_eval.base.files import MANIFEST, write_json
    from hyperofa_eval.data.check import check as look
    from hyperofa_eval.data.layout import DataFolder

    report = look(DataFolder(options.data, aliases=options.aliases), options.languages, options.training)
    if options.manifest:
        write_json(options.data / MANIFEST, {"schema": 1, "files": report.files})
    if options.json:
        print_json({"schema": 1, **vars(report)})
        return EXIT_FAILED if report.faults else None
    counts = {
        corpus: " ".join(f"{code}:{n}" for code, n in entries.items()) for corpus, entries in report.present.items()
    }
    rows = [
        (corpus, entries or "none", " ".join(report.missing[corpus]) or "none") for corpus, entries in counts.items()
    ]
    table(f"{options.data}", ["corpus", "languages and items", "missing"], rows)
    kinds = {"fault": report.faults, "warning": report.warnings, "note": report.notes}
    findings = [(kind, line) for kind, entries in kinds.items() for line in entries]
    table("findings", ["kind", "what"], findings or [("none", "nothing looks wrong")])
    return EXIT_FAILED if report.faults else None


ACTIONS = {
    "check": Command(Check, check, "what is there, what is missing, what looks wrong"),
    "fetch": Command(Fetch, fetch, "the only command that downloads data: a hub data set you name"),
    "continuations": Command(
        Continuations, continuations, "a task for lm-evaluation-harness: choose the right second half of a sentence"
    ),
}
