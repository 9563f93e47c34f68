"""``hyperofa tokenizer``: train a tokenizer for many languages, or extend or trim one that a model has."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hyperofa.vocab.settings import ExtendSettings, TrainSettings, TrimSettings
from hyperofa_eval.settings.commands import Command, keywords
from hyperofa_eval.settings.fields import Settings, place, shown


@dataclass(frozen=True, kw_only=True)
class _Places(Settings):
    text: tuple[str, ...] = place(
        help="text, one sentence or paragraph a line, .gz and .xz too; a bare FILE takes LANG from its name",
        metavar="LANG=FILE",
    )
    out: Path = place(help="where the tokenizer is written", metavar="DIR")
    json: bool = shown(False, "print the summary as JSON")


@dataclass(frozen=True, kw_only=True)
class Train(TrainSettings, _Places):
    """The options of ``hyperofa tokenizer train``."""


@dataclass(frozen=True, kw_only=True)
class Extend(ExtendSettings, _Places):
    """The options of ``hyperofa tokenizer extend``."""

    source: str = place(help="hub id or directory of the model or tokenizer", metavar="MODEL")


@dataclass(frozen=True, kw_only=True)
class Trim(TrimSettings, _Places):
    """The options of ``hyperofa tokenizer trim``."""

    source: str = place(help="hub id or directory of the model or tokenizer", metavar="MODEL")


def train(options: Train) -> None:
    """Train a tokenizer and print its fertility per language."""
    from hyperofa.api.tokenizers import train_tokenizer
    from hyperofa.vocab.report import print_record

    tokenizer = train_tokenizer(options.text, out=options.out, **keywords(options))
    print_record(options.out, tokenizer.hyperofa_report, as_json=options.json)


def extend(options: Extend) -> None:
    """Extend a tokenizer and print its fertility per language, before and after."""
    from hyperofa.api.tokenizers import extend_tokenizer
    from hyperofa.vocab.report import print_record

    tokenizer = extend_tokenizer(
        options.source, options.text, source_text=options.source_text, out=options.out, **keywords(options)
    )
    print_record(options.out, tokenizer.hyperofa_report, as_json=options.json)


def trim(options: Trim) -> None:
    """Trim a tokenizer and print how many entries are left, and its fertility per language."""
    from hyperofa.api.tokenizers import trim_tokenizer
    from hyperofa.vocab.report import print_record

    tokenizer = trim_tokenizer(options.source, options.text, out=options.out, **keywords(options))
    print_record(options.out, tokenizer.hyperofa_report, as_json=options.json)


ACTIONS = {
    "train": Command(Train, train, "train a new SentencePiece-style unigram tokenizer"),
    "extend": Command(Extend, extend, "add entries to a model's tokenizer; old ids stay"),
    "trim": Command(Trim, trim, "keep only those entries of a model's tokenizer that a text uses, numbered anew"),
}
