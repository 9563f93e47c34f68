"""``hyperofa tokenizer``: train a tokenizer for many languages, or extend one that a model has."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands ``train`` and ``extend``."""
    commands = parser.add_subparsers(dest="action", required=True, metavar="train|extend")
    train = commands.add_parser("train", help="a new SentencePiece-style unigram tokenizer")
    _add_common(train)
    train.add_argument(
        "--normalizer", choices=("nfkc", "nfc", "none"), default="nfkc", help="(default: %(default)s, as XLM-R)"
    )
    train.add_argument(
        "--byte-fallback",
        action="store_true",
        help="spell unknown characters as bytes (256 entries) instead of <unk>",
    )
    train.add_argument("--max-length", type=int, default=512, help="longest input in tokens (default: %(default)s)")
    extend = commands.add_parser("extend", help="more entries for a model's tokenizer; old ids stay")
    extend.add_argument(
        "--source", required=True, metavar="MODEL", help="hub id or directory of the model or tokenizer"
    )
    _add_common(extend)
    extend.add_argument(
        "--source-text",
        nargs="+",
        default=[],
        metavar="LANG=FILE",
        help="text of the source's own languages (50,000 lines of each are read): how much of it is cut differently is told",
    )
    extend.add_argument(
        "--keep-source-text",
        action="store_true",
        help="take no new entry by which a line of --source-text would be cut differently",
    )


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--text",
        nargs="+",
        required=True,
        metavar="LANG=FILE",
        help="text, one sentence or paragraph a line, .gz and .xz too; a bare FILE takes LANG from its name",
    )
    parser.add_argument("--vocab-size", type=int, required=True, metavar="N", help="entries in all, specials included")
    parser.add_argument(
        "--alpha", type=float, default=0.5, help="exponent on language sizes; 1: text as it is (default: %(default)s)"
    )
    parser.add_argument(
        "--coverage", type=float, default=0.9999, help="share of characters covered (default: %(default)s)"
    )
    parser.add_argument(
        "--longest", type=int, default=16, help="characters of the longest piece (default: %(default)s)"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the tokenizer is written")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")


def run(args: argparse.Namespace) -> None:
    """Run the chosen subcommand."""
    if args.action == "train":
        _train(args)
    else:
        _extend(args)


def _train(args: argparse.Namespace) -> None:
    from dataclasses import asdict

    from hyperofa.config import build_config
    from hyperofa.files import check_output
    from hyperofa.textfiles import language_files
    from hyperofa.vocab.report import MARKER, print_fertility, save_tokenizer, text_fertility
    from hyperofa.vocab.train import TokenizerConfig, train_tokenizer

    names = ("vocab_size", "normalizer", "byte_fallback", "alpha", "coverage", "longest", "max_length")
    config = build_config(TokenizerConfig, {name: getattr(args, name) for name in names}, "tokenizer train")
    check_output(args.out, MARKER)
    files = language_files(args.text)
    tokenizer = train_tokenizer(files, config)
    fertility = {"new": text_fertility(tokenizer, files)}
    save_tokenizer(args.out, tokenizer, "tokenizer train", files, asdict(config), fertility)
    print_fertility(args.out, len(tokenizer), fertility, as_json=args.json)


def _extend(args: argparse.Namespace) -> None:
    from dataclasses import asdict

    from hyperofa.config import build_config
    from hyperofa.errors import InputError
    from hyperofa.files import check_output
    from hyperofa.textfiles import language_files
    from hyperofa.vocab.change import changed_share, print_changes, source_lines
    from hyperofa.vocab.extend import ExtendConfig, extend_tokenizer
    from hyperofa.vocab.report import MARKER, load_tokenizer, print_fertility, save_tokenizer, text_fertility

    names = ("vocab_size", "alpha", "coverage", "longest")
    config = build_config(ExtendConfig, {name: getattr(args, name) for name in names}, "tokenizer extend")
    if args.keep_source_text and not args.source_text:
        raise InputError("no text to keep", where="--keep-source-text", todo="name it with --source-text LANG=FILE")
    check_output(args.out, MARKER)
    files = language_files(args.text)
    own = language_files(args.source_text)
    source = load_tokenizer(args.source)
    lines = source_lines(own)
    kept = [line for lines_of in lines.values() for line in lines_of] if args.keep_source_text else []
    tokenizer = extend_tokenizer(source, files, config, kept=kept)
    fertility = {"before": text_fertility(source, files), "after": text_fertility(tokenizer, files)}
    changes = {language: changed_share(source, tokenizer, lines_of) for language, lines_of in lines.items()}
    more = {"source_text": {language: change.summary() for language, change in changes.items()}} if changes else {}
    settings = {"source": Path(args.source).name, "keep_source_text": args.keep_source_text, **asdict(config)}
    inputs = files | {f"source text {language}": paths for language, paths in own.items()}
    save_tokenizer(args.out, tokenizer, "tokenizer extend", inputs, settings, fertility, more)
    print_fertility(args.out, len(tokenizer), fertility, as_json=args.json, more=more)
    if not args.json:
        print_changes(changes)
