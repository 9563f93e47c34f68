"""Trials of initialisation on development text: what the default was chosen by, and what did not become a part of it.

    python benchmarks/init/init_trials.py --source DIR --tokenizer DIR --data DIR --work DIR [--donor DIR] [--trials NAME ...]

The development set is every fifth line of NTREX in German, French, Spanish, Russian, Hindi and Arabic, none of which a report
of ours scores; ``--data`` holds ``ntrex/`` and ``bible/`` (any file may be .xz). Word vectors are built from the other lines of
NTREX and the Bible's training verses of all languages. Each trial is one row of :data:`TRIALS`: the words that are given to
``hyperofa init``; those with ``trial_methods.py:`` are methods of the file beside this one, and those of ``omp`` run where a
``--donor`` is given. Finished trials are kept in ``--work``. The last line is one JSON: top-1 and top-10 of each trial, and its
paired difference to the default with its 95 % interval.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from init_quality import run
from quality_sources import Split, parallel_text

from hyperofa_eval.text.textfiles import read_lines

LANGUAGES = ("deu", "fra", "spa", "rus", "hin", "arb")
EVERY = 5
"""Every such line of NTREX, from the first, is held out."""
DEFAULT = "default"
DONOR = ("--donor", "DONOR")
"""Words of the trials that take the donor given to this command."""


def _words(method: str, *options: str) -> list[str]:
    """The words of ``hyperofa init`` for a method with options."""
    return ["--method", method, *(word for option in options for word in ("--option", option))]


def _own(name: str, *options: str) -> list[str]:
    """Likewise for a method of the file beside this one."""
    return _words(f"{Path(__file__).with_name('trial_methods.py')}:{name}", *options)


TRIALS: dict[str, list[str]] = {
    "random": _words("random"),
    "ofa": _words("ofa"),
    "wechsel": _words("wechsel"),
    DEFAULT: _words("ofa-ridge"),
    "rest-drawn": [*_words("ofa-ridge"), "--rest", "drawn"],
    "omp": [*_words("omp"), *DONOR],
    "omp-16": [*_words("omp", "k=16"), *DONOR],
    "omp-published": [*_words("omp", "growth=0"), *DONOR],
    "residual-alone": _own("residual", "base=ofa"),
    "residual-on-default": _own("residual", "base=default"),
    "pieces-ridge": _own("pieces", "network=false"),
    "pieces-network": _own("pieces", "network=true"),
    "pieces-network-without-pieces": _own("pieces", "network=true", "pieces=false"),
    "by-word": _own("by_word"),
    "hubs": _own("hubs"),
    **{f"length-{factor}": _own("length", f"factor={factor}") for factor in (0.75, 1.3, 1.7)},
}


def main() -> int:
    """Run the trials; see the module's text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("--source", "--tokenizer", "--data", "--work"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("--trials", nargs="+", choices=list(TRIALS))
    parser.add_argument("--donor", type=Path)
    parser.add_argument("--rank", default="100")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    args.trials = args.trials or [name for name, words in TRIALS.items() if args.donor or DONOR[0] not in words]
    if not args.donor and any(DONOR[0] in TRIALS[name] for name in args.trials):
        parser.error("omp needs a --donor")
    held_out = development_set(args.data, args.work / "development")
    learned = Split((), LANGUAGES, "ntrex", keeps=lambda line: line % EVERY != 0)
    parallel = parallel_text(args.data, learned, args.work / "parallel", everything=True)
    vectors = args.work / "vectors"
    if not (vectors / "meta.json").is_file():
        run("hyperofa.cli", "vectors", "build", "--parallel", parallel, "--out", vectors)
    for name in args.trials:
        score(args, vectors, held_out, name)
    print(json.dumps({"rank": args.rank, "seed": args.seed, "trials": results(args)}))
    return 0


def development_set(data: Path, out: Path) -> Path:
    """The held-out lines as pairs for the harness: ``tatoeba/L-eng.L`` and ``tatoeba/L-eng.eng``."""
    if out.is_dir():
        return out
    temporary = out.with_suffix(".tmp")
    (temporary / "tatoeba").mkdir(parents=True, exist_ok=True)
    sides = {code: list(read_lines(next((data / "ntrex").glob(f"{code}.txt*")))) for code in ("eng", *LANGUAGES)}
    for code in LANGUAGES:
        chosen = [i for i in range(0, len(sides["eng"]), EVERY) if sides["eng"][i].strip() and sides[code][i].strip()]
        for side in (code, "eng"):
            text = "".join(sides[side][i].strip() + "\n" for i in chosen)
            (temporary / "tatoeba" / f"{code}-eng.{side}").write_text(text, encoding="utf-8")
    temporary.rename(out)
    return out


def cell_of(args: argparse.Namespace, name: str) -> Path:
    """The folder of a trial."""
    folder: Path = args.work / f"{name}-r{args.rank}-s{args.seed}"
    return folder


def score(args: argparse.Namespace, vectors: Path, held_out: Path, name: str) -> None:
    """Initialise and evaluate one trial, unless that is done."""
    cell = cell_of(args, name)
    if (cell / "eval" / "summary.json").is_file():
        return
    words: list[object] = ["--source", args.source, "--tokenizer", args.tokenizer, "--vectors", vectors]
    words += [args.donor if word == DONOR[1] else word for word in TRIALS[name]]
    words += ["--seed", args.seed, "--out", cell / "model"]
    words += [] if args.rank == "full" else ["--rank", args.rank]
    if not (cell / "model" / "init.json").is_file():
        run("hyperofa.cli", "init", *words)
    evaluate: list[object] = ["hyperofa_eval", "run", cell / "model", "--tasks", "sr-t", "--data", held_out]
    run(*evaluate, "--languages", ",".join(LANGUAGES), "--out", cell / "eval")


def results(args: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Scores of the trials and, where the default is among them, what each lies above it, paired by sentence."""
    from hyperofa_eval.results.comparison import compare
    from hyperofa_eval.results.pairing import load_run

    runs = {name: load_run(cell_of(args, name) / "eval", name) for name in args.trials}
    scores: dict[str, dict[str, Any]] = {}
    for name, one in runs.items():
        values = one.summary["tasks"]["sr-t"]["values"]
        scores[name] = {key: round(values[key]["mean"], 2) for key in ("top1", "top10")}
        if name != DEFAULT and DEFAULT in runs:
            gap = compare([runs[DEFAULT], one])["tasks"]["sr-t"]["against_first"][name]["difference"]
            scores[name]["above_default"] = {key: gap[key] for key in ("mean", "ci95")}
    return scores


if __name__ == "__main__":
    sys.exit(main())
