"""``hyperofa init``: write the embeddings of a larger vocabulary into a model."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from hyperofa.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--source", metavar="MODEL", help="source model: a directory, or a hub id")
    parser.add_argument("--tokenizer", metavar="DIR", help="target tokenizer: a directory, or a hub id")
    parser.add_argument(
        "--vectors",
        type=Path,
        metavar="DIR",
        help="word vectors, from hyperofa vectors build or import (mean, multivariate, subword-mean and random need none)",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="model directory to write")
    parser.add_argument(
        "--method", default="hyperofa", metavar="NAME", help="see --list-methods; or FILE.py:NAME, your own"
    )
    parser.add_argument(
        "--preset", metavar="NAME", help="of method hyperofa: default, or paper (exactly the published one)"
    )
    parser.add_argument("--option", action="append", default=[], metavar="KEY=VALUE", help="a setting of the method")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--rank", type=int, metavar="R", help="columns of the coordinates (default: not factorised)")
    size.add_argument(
        "--energy", type=float, metavar="SHARE", help="instead of a rank, the share of squared norm to keep"
    )
    parser.add_argument(
        "--scale-split", type=float, metavar="A", help="scale of F = U S^A; 1 all in F (default), 0 all in P"
    )
    parser.add_argument(
        "--factorization", choices=("gram", "randomized", "svd"), default="gram", help="how the SVD is made"
    )
    parser.add_argument(
        "--refine", metavar="KIND", help="parallel or distill: let new rows learn through the frozen model (minutes)"
    )
    parser.add_argument(
        "--parallel", type=Path, nargs="+", default=[], metavar="DIR", help="parallel text to refine with"
    )
    parser.add_argument(
        "--text",
        nargs="+",
        default=[],
        metavar="LANG=FILE",
        help="text to distil with (--refine distill), and to report the model's loss on",
    )
    parser.add_argument(
        "--refine-option", action="append", default=[], metavar="KEY=VALUE", help="a setting of the refinement"
    )
    parser.add_argument(
        "--held-out",
        type=int,
        metavar="N",
        help="source tokens predicted as if new, for the report (default: 1000; 0 for hyperofa)",
    )
    parser.add_argument("--fold-case", action="store_true", help="copy also rows of tokens that differ in case only")
    parser.add_argument(
        "--fold-boundary", action="store_true", help="copy also rows of tokens that differ in boundary only"
    )
    parser.add_argument("--pad-to-multiple", type=int, default=1, metavar="N", help="append rows to a multiple of N")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print init.json instead of a table")
    parser.add_argument("--list-methods", action="store_true", help="list the methods and their settings, and stop")


def run(arguments: argparse.Namespace) -> None:
    """Run the command.

    Raises:
        InputError, DataMissingError: see :func:`hyperofa.init.pipeline.initialise`.
    """
    if arguments.list_methods:
        _list_methods(arguments.json)
        return
    for name in ("source", "tokenizer", "out"):
        if getattr(arguments, name) is None:
            raise InputError(f"--{name} is needed", todo="see hyperofa init --help")
    from hyperofa.base.textfiles import language_files
    from hyperofa.init.pipeline import InitConfig, initialise

    options = parse_options(arguments.option)
    if arguments.preset is not None:
        options["preset"] = arguments.preset
    config = InitConfig(
        source=arguments.source,
        tokenizer=arguments.tokenizer,
        vectors=arguments.vectors,
        out=arguments.out,
        method=arguments.method,
        rank=arguments.rank,
        energy=arguments.energy,
        scale_split=arguments.scale_split,
        factorization=arguments.factorization,
        options=options,
        refine=arguments.refine,
        refine_options=parse_options(arguments.refine_option, "--refine-option"),
        parallel=tuple(arguments.parallel),
        text=language_files(arguments.text),
        held_out=arguments.held_out,
        fold_case=arguments.fold_case,
        fold_boundary=arguments.fold_boundary,
        pad_to_multiple=arguments.pad_to_multiple,
        seed=arguments.seed,
    )
    record = initialise(config)
    if arguments.json:
        from hyperofa_eval.base.console import print_json

        print_json(record)
    else:
        _print(record, arguments.out)


def parse_options(words: list[str], where: str = "--option") -> dict[str, Any]:
    """``KEY=VALUE`` words as a dictionary; values are read as YAML scalars."""
    from hyperofa_eval.settings.yamltext import parse_yaml

    options: dict[str, Any] = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not equals or not key:
            raise InputError(f"{word!r} is not KEY=VALUE", where=where)
        try:
            options[key] = parse_yaml(text)
        except ValueError:
            raise InputError(f"{word!r} has no readable value", where=where) from None
    return options


def _print(record: dict[str, Any], out: Path) -> None:
    from hyperofa_eval.base.console import console, table

    counts = record["counts"]
    total = sum(counts.values())
    made = f"method {record['method']}, rank {record['rank'] or 'full'}"
    if record["refine"]:
        made += f", refined: {record['refine']['kind']}"
    table(
        f"Rows of {out} by provenance ({made})",
        ("provenance", "rows", "%"),
        [(name, n, 100 * n / total) for name, n in counts.items() if n],
    )
    _print_quality(record["quality"])
    if record["refine"]:
        done = record["refine"]
        console.print(
            f"Refined {done['tokens_learned']:,} rows in {done['steps']} steps: "
            f"loss {done['loss_first']:.3f} → {done['loss_last']:.3f}"
        )
    if record["head"]["is_new"]:
        console.print("The source has no language-model head: one was made new, and must be trained.")


def _print_quality(quality: dict[str, Any]) -> None:
    from hyperofa_eval.base.console import console, table

    _print_matrix("Rows in the embedding space", quality)
    if quality["output"]:
        _print_matrix("Rows of the output matrix", quality["output"])
    languages = list(quality["languages"].items())
    if languages:
        columns = ("words", "matched", "copied", "predicted", "drawn")
        table(
            "Tokens by language" + (f" (the largest 25 of {len(languages)})" if len(languages) > 25 else ""),
            ("language", *columns, "% known"),
            [(name, *(row[c] for c in columns), 100 * row["known"]) for name, row in languages[:25]],
        )
    for what, check in (("Of", quality["held_out"]), ("Output matrix: of", (quality["output"] or {}).get("held_out"))):
        if not check:
            continue
        console.print(
            f"{what} {check['tokens']:,} source tokens predicted as if new, the true row is at place {check['rank']:.0f} of "
            f"{check['among']:,} (median); first {100 * check['top1']:.1f} %, among ten {100 * check['top10']:.1f} %"
        )
    if quality["text_loss"]:
        table(
            "Loss on the given text, before training (nats a token)",
            ("language", "loss", "tokens"),
            [(name, row["loss"], row["tokens"]) for name, row in quality["text_loss"].items()],
        )
    for token, neighbours in list(quality.get("neighbours", {}).items())[:8]:
        console.print(f"  {token} → {', '.join(neighbours)}", markup=False)


def _print_matrix(title: str, figures: dict[str, Any]) -> None:
    from hyperofa_eval.base.console import table

    kinds = ("source", "copied", "predicted", "drawn")
    if figures.get("predicted_norm") is not None:
        table(
            title,
            ("", *kinds),
            [
                (name, *("–" if figures[f"{kind}_{key}"] is None else figures[f"{kind}_{key}"] for kind in kinds))
                for name, key in (("mean norm", "norm"), ("mean centred cosine to others", "centred_cosine"))
            ],
        )


def _list_methods(as_json: bool) -> None:
    import hyperofa.init.methods  # noqa: F401  (registers them)
    from hyperofa.init.registry import METHODS
    from hyperofa_eval.base.console import print_json, table

    if as_json:
        print_json(
            [
                {"name": m.name, "summary": m.summary, "options": m.options, "reference": m.reference}
                for m in METHODS.values()
            ]
        )
        return
    table(
        "Methods of initialisation",
        ("name", "what", "source"),
        [(m.name, m.summary, m.reference) for m in METHODS.values()],
    )
