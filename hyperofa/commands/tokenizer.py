"""``hyperofa tokenizer``: train a tokenizer for many languages, or extend one that a model has."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hyperofa.vocab.learning.sampling import SamplingConfig


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
        help="text of the source's own languages: measured before and after, not learnt from",
    )
    extend.add_argument(
        "--keep-source-text",
        action="store_true",
        help="take no new entry that would cut a line of --source-text differently (the first 50,000 lines of a language)",
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
    parser.add_argument(
        "--cap",
        type=int,
        default=200_000,
        metavar="N",
        help="lines of a language at most, drawn with the seed (default: %(default)s)",
    )
    parser.add_argument(
        "--held-out",
        type=float,
        default=0.05,
        metavar="SHARE",
        help="share of a language's lines kept out to measure on, 2000 at most (default: %(default)s)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the lines drawn and kept out (default: %(default)s)")
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

    from hyperofa.base.files import check_output
    from hyperofa.base.textfiles import language_files
    from hyperofa.vocab.learning.sampling import survey
    from hyperofa.vocab.learning.train import TokenizerConfig, train_tokenizer
    from hyperofa.vocab.report import MARKER, Report, fertilities, print_report, save_tokenizer
    from hyperofa_eval.settings.config import build_config

    names = ("vocab_size", "normalizer", "byte_fallback", "alpha", "coverage", "longest", "max_length")
    config = build_config(TokenizerConfig, {name: getattr(args, name) for name in names}, "tokenizer train")
    sampling = _sampling(args)
    check_output(args.out, MARKER)
    files = language_files(args.text)
    texts = survey(files, sampling)
    tokenizer = train_tokenizer(files, config, texts)
    report = Report(len(tokenizer), {"new": fertilities(tokenizer, texts)}, texts)
    settings = {**asdict(config), **asdict(sampling)}
    save_tokenizer(args.out, tokenizer, "tokenizer train", files, settings, report)
    print_report(args.out, report, as_json=args.json)


def _extend(args: argparse.Namespace) -> None:
    from dataclasses import asdict

    from hyperofa.base.files import check_output
    from hyperofa.base.textfiles import language_files
    from hyperofa.errors import InputError
    from hyperofa.vocab.learning.extend import ExtendConfig, extend_tokenizer
    from hyperofa.vocab.learning.keeping import kept_lines
    from hyperofa.vocab.learning.sampling import survey
    from hyperofa.vocab.report import (
        MARKER,
        Report,
        fertilities,
        load_tokenizer,
        print_report,
        save_tokenizer,
        source_changes,
        source_lines,
    )
    from hyperofa_eval.settings.config import build_config

    names = ("vocab_size", "alpha", "coverage", "longest")
    config = build_config(ExtendConfig, {name: getattr(args, name) for name in names}, "tokenizer extend")
    sampling = _sampling(args)
    if args.keep_source_text and not args.source_text:
        raise InputError("no text to keep", where="--keep-source-text", todo="name it with --source-text LANG=FILE")
    check_output(args.out, MARKER)
    files, source_files = language_files(args.text), language_files(args.source_text, where="--source-text")
    own_lines = source_lines(source_files, sampling.seed)
    source = load_tokenizer(args.source)
    texts = survey(files, sampling)
    kept = kept_lines(source_files, own_lines) if args.keep_source_text else []
    tokenizer = extend_tokenizer(source, files, config, texts, kept)
    fertility = {"before": fertilities(source, texts), "after": fertilities(tokenizer, texts)}
    changes = source_changes(source, tokenizer, own_lines)
    report = Report(len(tokenizer), fertility, texts, changes)
    settings = {"source": Path(args.source).name, "keep_source_text": args.keep_source_text}
    settings |= {**asdict(config), **asdict(sampling)}
    save_tokenizer(args.out, tokenizer, "tokenizer extend", files, settings, report, source_files)
    print_report(args.out, report, as_json=args.json)


def _sampling(args: argparse.Namespace) -> SamplingConfig:
    from hyperofa.vocab.learning.sampling import SamplingConfig
    from hyperofa_eval.settings.config import build_config

    names = ("cap", "held_out", "seed")
    return build_config(SamplingConfig, {name: getattr(args, name) for name in names}, f"tokenizer {args.action}")
