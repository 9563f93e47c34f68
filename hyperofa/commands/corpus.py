"""``hyperofa corpus``: tokenise and pack text for pre-training, and say what a corpus holds."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from hyperofa.errors import InputError

if TYPE_CHECKING:
    from hyperofa.corpus.packed import PackedCorpus

T = TypeVar("T", int, float)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The subcommands ``prepare`` and ``show``."""
    commands = parser.add_subparsers(dest="action", required=True)
    prepare = commands.add_parser("prepare", help="tokenise and pack text into a corpus directory")
    prepare.add_argument("--tokenizer", required=True, metavar="DIR", help="tokenizer of the model to train")
    prepare.add_argument(
        "--text",
        nargs="+",
        action="extend",
        required=True,
        metavar="LANG=FILE",
        help="text of a language, a document a line: plain, .jsonl, .parquet, .arrow, .gz or .xz, or LANG=hub:NAME[:REVISION]"
        "[@CONFIG][#SPLIT] to fetch a data set; a bare FILE takes LANG from its name; a language may be named again",
    )
    prepare.add_argument("--length", type=int, default=512, metavar="N", help="tokens per sequence (default 512)")
    prepare.add_argument("--keep-whole", action="store_true", help="do not cut a document that fits into one sequence")
    prepare.add_argument("--field", default="text", help="field or column that holds the text (default text)")
    prepare.add_argument(
        "--read-special-tokens",
        action="store_true",
        help="read special tokens that are typed in the text (<|im_end|> in chat data) as tokens; by default they are text",
    )
    prepare.add_argument(
        "--cap",
        nargs="+",
        default=[],
        metavar="[LANG=]N",
        help="documents per language at most (the first N are taken)",
    )
    prepare.add_argument("--weight", nargs="+", default=[], metavar="LANG=W", help="sampling weight (default 1)")
    prepare.add_argument(
        "--temperature", type=float, default=1.0, help="share of a language ~ weight * sequences^(1/T) (default 1)"
    )
    prepare.add_argument(
        "--processes", type=int, default=1, metavar="N", help="that tokenise, each with threads of its own (default 1)"
    )
    prepare.add_argument("--out", type=Path, required=True, metavar="DIR")
    prepare.add_argument("--json", action="store_true", help="print corpus.json instead of a table")
    show = commands.add_parser("show", help="print what a corpus holds")
    show.add_argument("corpus", type=Path, metavar="DIR")
    show.add_argument("--verify", action="store_true", help="compare the files with their checksums")
    show.add_argument("--json", action="store_true", help="print corpus.json instead of a table")


def run(args: argparse.Namespace) -> int | None:
    """Run ``prepare`` or ``show``."""
    from hyperofa.corpus.packed import PackedCorpus

    if args.action == "prepare":
        corpus = _prepare(args)
    else:
        corpus = PackedCorpus.open(args.corpus)
        if args.verify:
            corpus.verify()
    _print(corpus, as_json=args.json)
    return None


def _prepare(args: argparse.Namespace) -> PackedCorpus:
    from hyperofa.corpus.prepare import Settings, prepare

    if args.processes < 1:
        raise InputError(f"--processes {args.processes} is less than 1")
    texts: dict[str, list[str]] = {}
    for word in args.text:
        language, equals, file = word.partition("=")
        if not equals and "." in word:
            language, file = Path(word).name.partition(".")[0], word
        if not file or not language.replace("_", "").replace("-", "").isalnum():
            raise InputError(f"{word!r} is not LANG=FILE", where="--text")
        texts.setdefault(language, []).append(file)
    settings = Settings(
        length=args.length,
        keep_whole=args.keep_whole,
        text_field=args.field,
        caps=_numbers(args.cap, int, "--cap", bare=True),
        weights=_numbers(args.weight, float, "--weight", bare=False),
        temperature=args.temperature,
        read_special=args.read_special_tokens,
    )
    return prepare(args.tokenizer, texts, args.out, settings, args.processes)


def _numbers(words: Iterable[str], kind: Callable[[str], T], option: str, *, bare: bool) -> dict[str, T]:
    """``LANG=N`` words as a dictionary; a bare ``N`` is kept under the empty name."""
    found: dict[str, T] = {}
    for word in words:
        name, equals, text = word.rpartition("=")
        try:
            value = kind(text)
        except ValueError:
            value = kind("-1")
        if not 0 <= value < math.inf or not (bare or equals):
            raise InputError(f"{word!r} is not {'[LANG=]N' if bare else 'LANG=W'}", where=option)
        found[name] = value
    return found


def _print(corpus: PackedCorpus, *, as_json: bool) -> None:
    from hyperofa.corpus.order import quotas
    from hyperofa_eval.base.console import print_json, table

    if as_json:
        print_json(corpus.meta)
        return
    sampling = corpus.meta["sampling"]
    counts = [language.sequences for language in corpus.languages]
    drawn = quotas(counts, sampling["weights"], sampling["temperature"])
    rows = [
        (
            language.name,
            language.documents,
            language.tokens,
            language.sequences,
            100.0 * float(quota) / sum(counts),
            100.0 * language.unknown / max(language.tokens, 1),
            language.characters / max(language.tokens, 1),
        )
        for language, quota in zip(corpus.languages, drawn, strict=True)
    ]
    title = f"{corpus.directory}: {corpus.n_sequences:,} sequences of {corpus.length}"
    table(title, ["language", "documents", "tokens", "sequences", "drawn %", "unknown %", "characters/token"], rows)
