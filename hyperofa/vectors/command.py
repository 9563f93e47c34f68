"""``hyperofa vectors``: build word vectors from parallel text, or import a foreign vector file."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hyperofa.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands ``build`` and ``import``."""
    commands = parser.add_subparsers(dest="action", required=True, metavar="build|import")
    build = commands.add_parser("build", help="from parallel text of any number of languages")
    build.add_argument(
        "--parallel",
        type=Path,
        nargs="+",
        required=True,
        metavar="DIR",
        help="folders (or single files) of LANG.txt, line-aligned, or LANG.tsv, id<TAB>text; .gz and .xz are read too",
    )
    build.add_argument(
        "--languages",
        nargs="+",
        metavar="LANG",
        help="read these languages only (default: all); aze_Latn is read from aze.tsv where there is no aze_Latn.tsv",
    )
    build.add_argument("--dim", type=int, default=200, help="length of a vector (default: %(default)s)")
    build.add_argument("--min-count", type=int, default=2, help="sentences a word must stand in (default: %(default)s)")
    build.add_argument(
        "--ngrams", type=int, default=3, help="longest n-gram of scripts without spaces (default: %(default)s)"
    )
    build.add_argument(
        "--smoothing", type=float, default=1.0, help="exponent on sentence sizes in the PMI (default: %(default)s)"
    )
    build.add_argument("--power", type=float, default=0.0, help="exponent on singular values (default: %(default)s)")
    build.add_argument(
        "--balance",
        type=float,
        default=1.0,
        help="1: languages have equal say in the SVD, 0: words have (default: %(default)s)",
    )
    build.add_argument("--no-normalise", action="store_true", help="leave vectors at the length they come with")
    build.add_argument("--seed", type=int, default=0, help="of the randomised SVD (default: %(default)s)")
    _add_output(build)
    _add_import(commands.add_parser("import", help="from a gensim, word2vec, fastText or plain text file"))


def _add_import(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help=".wv, .vec, .bin, .txt (text also .gz, .xz)")
    parser.add_argument(
        "--format", metavar="NAME", help="gensim, fasttext, binary (word2vec) or text (default: by the first bytes)"
    )
    parser.add_argument(
        "--separator", default=":", help="between language and word, or none for bare words (default: %(default)s)"
    )
    parser.add_argument(
        "--default-language", default="eng", metavar="LANG", help="of bare keys, or none (default: %(default)s)"
    )
    parser.add_argument(
        "--boundary", default="$", help="the mark that stands for a word boundary, or none (default: %(default)s)"
    )
    parser.add_argument("--languages", nargs="+", metavar="LANG", help="keep these only (default: all)")
    parser.add_argument(
        "--skip-bad", action="store_true", help="count and skip bad rows; otherwise the first one ends it"
    )
    _add_output(parser)


def _add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dtype", choices=("float16", "float32"), default="float16", help="(default: %(default)s)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the store is written")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")


def run(args: argparse.Namespace) -> None:
    """Run the chosen subcommand."""
    if args.action == "build":
        _build(args)
    else:
        _import(args)


def _build(args: argparse.Namespace) -> None:
    from hyperofa.base.config import build_config
    from hyperofa.base.files import check_output, made_by, named_inputs
    from hyperofa.data.parallel import parallel_files, read_parallel
    from hyperofa.vectors.build import BuildConfig, build_vectors, languages_of
    from hyperofa.vectors.store import MARKER, write_store

    settings = {
        name: getattr(args, name) for name in ("dim", "min_count", "ngrams", "smoothing", "power", "balance", "seed")
    }
    config = build_config(BuildConfig, settings | {"normalise": not args.no_normalise}, "vectors build")
    check_output(args.out, MARKER)
    languages = _codes(args.languages)
    text = read_parallel(args.parallel, languages)
    words, vectors = build_vectors(text, config)
    files = parallel_files(args.parallel, languages)
    inputs: dict[str, Path] = {}
    for folder in dict.fromkeys(path.parent.name for path in files):
        inputs |= named_inputs(folder, [path for path in files if path.parent.name == folder])
    made = made_by("vectors build", inputs, asdict(config))
    counts = languages_of(words)
    meta = {"sentences": text.n_sentences, "languages": counts, "made_by": made}
    write_store(args.out, words, vectors, meta, dtype=args.dtype)
    columns = {
        "sentences": {language: len(rows) for language, rows in text.texts.items()},
        "translated": {language: text.translated(language) for language in text.texts},
    }
    _print_summary(args, counts, columns, {"dim": int(vectors.shape[1])})


def _codes(words: list[str] | None) -> list[str] | None:
    """The languages that are asked for; None where the option is not given.

    Raises:
        InputError: no language is named.
    """
    from hyperofa.base.wordkeys import language_codes

    codes = None if words is None else language_codes(words)
    if codes == []:
        raise InputError("no language named", where="--languages", todo="write codes such as eng,tur, or leave it out")
    return codes


def _import(args: argparse.Namespace) -> None:
    from hyperofa.base.wordkeys import KeyScheme, is_language
    from hyperofa.vectors.importing import import_vectors

    separator, language, boundary = (
        None if value == "none" else value for value in (args.separator, args.default_language, args.boundary)
    )
    if language is not None and not is_language(language):
        raise InputError(f"{language!r} is no language code", where="--default-language", todo="such as eng, or none")
    for option, value in (("--separator", separator), ("--boundary", boundary)):
        if value is not None and (len(value) != 1 or value.isalnum()):
            raise InputError(f"{value!r} is not one sign", where=option, todo="give a single sign, or none")
    summary = import_vectors(
        args.file,
        args.out,
        scheme=KeyScheme(separator, language, boundary),
        languages=_codes(args.languages),
        format_name=args.format,
        skip_bad=args.skip_bad,
        dtype=args.dtype,
    )
    skipped = {"malformed keys": summary.malformed, "duplicates": summary.duplicates, "unwanted": summary.unwanted}
    skipped |= summary.bad_rows
    facts = {"dim": summary.dim, "format": summary.format}
    if args.json:
        facts["skipped"] = skipped
    _print_summary(args, dict(sorted(summary.languages.items())), {}, facts)
    if any(skipped.values()) and not args.json:
        from hyperofa.base.console import table

        table("left out", ["what", "rows"], [[what, count] for what, count in skipped.items() if count])


def _print_summary(
    args: argparse.Namespace, words: dict[str, int], more: dict[str, dict[str, int]], facts: dict[str, Any]
) -> None:
    """A line per language (words and further columns), or the same as JSON."""
    from hyperofa.base.console import print_json, table

    if args.json:
        print_json({"out": str(args.out), "words": sum(words.values()), **facts, "languages": words, **more})
        return
    rows = [
        [language, count, *(column.get(language, 0) for column in more.values())] for language, count in words.items()
    ]
    title = ", ".join([f"{sum(words.values()):,} word vectors", *(f"{key} {value}" for key, value in facts.items())])
    table(f"{title} → {args.out}", ["language", "words", *more], rows)
