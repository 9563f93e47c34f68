"""``hyperofa vectors``: build word vectors from parallel text, or import a foreign vector file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hyperofa.vectors.settings import BuildSettings, ImportSettings
from hyperofa_eval.settings.commands import Command, keywords
from hyperofa_eval.settings.fields import place, shown

if TYPE_CHECKING:
    from hyperofa.vectors.store import WordVectors


@dataclass(frozen=True, kw_only=True)
class Build(BuildSettings):
    """The options of ``hyperofa vectors build``."""

    parallel: tuple[Path, ...] = place(
        help="folders (or single files) of LANG.txt, line-aligned, or LANG.tsv, id<TAB>text; .gz and .xz are read too",
        metavar="DIR",
    )
    out: Path = place(help="where the store is written", metavar="DIR")
    json: bool = shown(False, "print the summary as JSON")


@dataclass(frozen=True, kw_only=True)
class Import(ImportSettings):
    """The options of ``hyperofa vectors import``."""

    file: Path = place(help=".wv, .vec, .bin, .txt (text also .gz, .xz)", positional=True, metavar="FILE")
    out: Path = place(help="where the store is written", metavar="DIR")
    json: bool = shown(False, "print the summary as JSON")


def build(options: Build) -> None:
    """Build vectors and print how many words each language has."""
    from hyperofa.api.vectors import build_vectors

    vectors = build_vectors(options.parallel, out=options.out, **keywords(options))
    text = vectors.meta["text"]
    columns = {
        name: {language: counts[name] for language, counts in text.items()} for name in ("sentences", "translated")
    }
    _print_summary(options, vectors, columns, {"dim": vectors.dim})


def import_(options: Import) -> None:
    """Import vectors and print how many words each language has, and what was left out."""
    from hyperofa.api.vectors import import_vectors
    from hyperofa_eval.base.console import table

    vectors = import_vectors(options.file, out=options.out, **keywords(options))
    left_out = dict(vectors.meta["left_out"])
    skipped = {
        "malformed keys": left_out.pop("malformed"),
        "duplicates": left_out.pop("duplicates"),
        "unwanted": left_out.pop("unwanted"),
        **left_out["bad_rows"],
    }
    facts = {"dim": vectors.dim, "format": vectors.meta["made_by"]["settings"]["format"]}
    _print_summary(options, vectors, {}, facts | ({"skipped": skipped} if options.json else {}))
    if any(skipped.values()) and not options.json:
        table("left out", ["what", "rows"], [[what, count] for what, count in skipped.items() if count])


def _print_summary(
    options: Build | Import, vectors: WordVectors, further_columns: dict[str, dict[str, int]], facts: dict[str, Any]
) -> None:
    """A line per language (words and further columns), or the same as JSON."""
    from hyperofa_eval.base.console import print_json, table

    words = dict(sorted(vectors.meta["languages"].items()))
    if options.json:
        print_json({"out": str(options.out), "words": len(vectors), **facts, "languages": words, **further_columns})
        return
    rows = [
        [language, count, *(column.get(language, 0) for column in further_columns.values())]
        for language, count in words.items()
    ]
    title = ", ".join([f"{len(vectors):,} word vectors", *(f"{key} {value}" for key, value in facts.items())])
    table(f"{title} → {options.out}", ["language", "words", *further_columns], rows)


ACTIONS = {
    "build": Command(Build, build, "build word vectors from parallel text of any number of languages"),
    "import": Command(Import, import_, "import word vectors from a gensim, word2vec, fastText or plain text file"),
}
