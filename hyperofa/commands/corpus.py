"""``hyperofa corpus``: tokenise and pack text for pre-training, and say what a corpus holds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hyperofa.corpus.settings import CorpusSettings
from hyperofa_eval.settings.commands import Command, keywords
from hyperofa_eval.settings.fields import Settings, place, shown

if TYPE_CHECKING:
    from hyperofa.corpus.packed import PackedCorpus


@dataclass(frozen=True, kw_only=True)
class Prepare(CorpusSettings):
    """The options of ``hyperofa corpus prepare``."""

    tokenizer: str = place(help="tokenizer of the model to train", metavar="DIR")
    text: tuple[str, ...] = place(
        (),
        "text of a language, a document a line: plain, .jsonl, .parquet, .arrow, .gz or .xz. LANG=hub:NAME[:REVISION]"
        "[@CONFIG][#SPLIT] fetches a data set. A bare FILE takes LANG from its name; a language may be named again",
        metavar="LANG=FILE",
    )
    source: str | None = place(
        None,
        "a sentence encoder whose vectors the sentences learn (train with objective: sentence): a directory or hub id; text is "
        "then a sentence a line",
        metavar="MODEL",
    )
    parallel: tuple[Path, ...] = place(
        (), "with source: folders of parallel text, one LANG.txt a language, line by line the same", metavar="DIR"
    )
    cache: Path | None = place(None, "with source: keep its vectors in this folder, found by content", metavar="DIR")
    out: Path = place(help="where the corpus is written", metavar="DIR")
    json: bool = shown(False, "print corpus.json instead of a table")


@dataclass(frozen=True, kw_only=True)
class Show(Settings):
    """The options of ``hyperofa corpus show``."""

    corpus: Path = place(help="the corpus", positional=True, metavar="DIR")
    verify: bool = shown(False, "compare the files with their checksums")
    json: bool = shown(False, "print corpus.json instead of a table")


def prepare(options: Prepare) -> None:
    """Make a corpus and print what it holds."""
    from hyperofa.api.corpora import prepare_corpus

    places = {name: getattr(options, name) for name in ("source", "parallel", "cache")}
    corpus = prepare_corpus(options.tokenizer, options.text, out=options.out, **places, **keywords(options))
    _print(corpus, as_json=options.json)


def show(options: Show) -> None:
    """Print what a corpus holds."""
    from hyperofa.corpus.packed import PackedCorpus

    corpus = PackedCorpus.open(options.corpus)
    if options.verify:
        corpus.verify()
    _print(corpus, as_json=options.json)


def _print(corpus: PackedCorpus, *, as_json: bool) -> None:
    """A line per language, or ``corpus.json``."""
    from hyperofa_eval.base.console import print_json, table

    if as_json:
        print_json(corpus.meta)
        return
    rows = [
        (
            language.name,
            language.documents,
            language.tokens,
            language.sequences,
            100.0 * float(share),
            100.0 * language.unknown / max(language.tokens, 1),
            language.characters / max(language.tokens, 1),
        )
        for language, share in zip(corpus.languages, corpus.order(seed=0).shares, strict=True)
    ]
    title = f"{corpus.directory}: {corpus.n_sequences:,} sequences of {corpus.length}"
    table(title, ["language", "documents", "tokens", "sequences", "drawn %", "unknown %", "characters/token"], rows)


ACTIONS = {
    "prepare": Command(
        Prepare, prepare, "tokenise text into a corpus directory: packed, or as sentences with target vectors"
    ),
    "show": Command(Show, show, "print what a corpus holds"),
}
