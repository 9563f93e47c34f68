"""Quality of every method of initialisation before any training: MiniLM with XLM-R's vocabulary, SR-T and SR-B.

    python benchmarks/init_quality.py --source DIR --tokenizer DIR --data DIR --work DIR [--ranks 100 full] [--seeds 0 1 2]

``--data`` holds ``ntrex/``, ``bible/`` and ``tatoeba/`` (any file may be .xz). Vectors are built from NTREX and the Bible's
training verses; the test sets are those of ``hyperofa-eval``. Everything runs as the ordinary commands, finished ones are kept
in ``--work``, and the last line is one JSON with each method's mean, the ratios of the default and its refinement to OFA, whether
their floors (1.35 and 1.6 times OFA's top-10 on SR-T) hold, and the paired 95 % interval of the default against every other
method over all seeds (a bootstrap over sentences and seeds, see ``hyperofa-eval compare``); exit code 1 where a floor does not
hold or an interval does not lie above 0.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hyperofa_eval.text.textfiles import read_lines

if TYPE_CHECKING:
    from hyperofa_eval.results.pairing import Run

FLOORS = {"ofa-ridge": 1.35, "ofa-ridge-parallel": 1.6}
"""Of the ratio to OFA's top-10 on SR-T, at every rank."""
METHODS: dict[str, list[str]] = {
    "random": [],
    "mean": [],
    "multivariate": [],
    "subword-mean": [],
    "ofa": [],
    "focus": [],
    "wechsel": [],
    "ridge": [],
    "ofa-ridge": [],
    "hyperofa": [],
    "ofa-ridge-parallel": ["--refine", "parallel", "--parallel", "PARALLEL"],
}
DEFAULT = "ofa-ridge"
BUILT_ON_IT = ("ofa-ridge-parallel",)
"""The default and more: reported, but nothing that the default should be above."""
HEAVY = ("hyperofa",)
"""Hours on a CPU; only run where named."""


def run(*words: object) -> None:
    """Run a command of the project, shown as typed."""
    line = [str(word) for word in words]
    print("$", *line, file=sys.stderr, flush=True)
    subprocess.run([sys.executable, "-m", *line], check=True, stdout=sys.stderr)


def parallel_text(data: Path, out: Path, *, without: Callable[[int], bool] = lambda line: False) -> Path:
    """One ``LANG.tsv`` a language with the ids of NTREX's lines and the Bible's verses, so that both meet in one matrix.

    Lines of NTREX whose number is in ``without`` are left out.
    """
    if out.is_dir():
        return out
    found: dict[str, list[str]] = {}
    for path in sorted((data / "ntrex").glob("*.txt*")):
        found.setdefault(path.name[:3], []).extend(
            f"N{i}\t{text}" for i, text in enumerate(read_lines(path)) if text.strip() and not without(i)
        )
    for path in sorted((data / "bible").glob("*.train.tsv*")):
        found.setdefault(path.name[:3], []).extend(line for line in read_lines(path) if line.strip())
    temporary = out.with_suffix(".tmp")
    temporary.mkdir(parents=True, exist_ok=True)
    for language, rows in found.items():
        (temporary / f"{language}.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    temporary.rename(out)
    return out


def main() -> int:
    """Run the matrix; see the module's text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--ranks", nargs="+", default=["100", "full"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--methods", nargs="+", default=[m for m in METHODS if m not in HEAVY], choices=list(METHODS))
    parser.add_argument("--languages", help="passed on to hyperofa-eval")
    parser.add_argument("--tasks", default="sr-t,sr-b")
    parser.add_argument("--option", action="append", default=[], help="further KEY=VALUE for the default hyperofa")
    parser.add_argument(
        "--paper-option", action="append", default=[], help="further KEY=VALUE for hyperofa, such as epochs=40"
    )
    asked = parser.parse_args()
    vectors, parallel = asked.work / "vectors", parallel_text(asked.data, asked.work / "parallel")
    if not (vectors / "meta.json").is_file():
        run(
            "hyperofa.cli",
            "vectors",
            "build",
            "--parallel",
            parallel,
            "--out",
            vectors,
        )
    scores: dict[str, dict[str, list[float]]] = {}
    for rank in asked.ranks:
        for name in asked.methods:
            for seed in asked.seeds:
                cell = cell_of(asked.work, name, rank, seed)
                score(asked, vectors, name, rank, seed, cell)
                summary = json.loads((cell / "eval" / "summary.json").read_text(encoding="utf-8"))
                for task, found in summary["tasks"].items():
                    values = scores.setdefault(f"{task} r{rank}", {}).setdefault(name, [])
                    values.append(found["values"]["top10"]["mean"])
    means = {key: {name: round(statistics.mean(v), 2) for name, v in row.items()} for key, row in scores.items()}
    ratios: dict[str, dict[str, float]] = {name: {} for name in FLOORS}
    for key, row in means.items():
        for name in FLOORS:
            if {name, "ofa"} <= set(row):
                ratios[name][key] = round(row[name] / row["ofa"], 3)
    paired = {rank: against_others(asked.work, rank, asked.methods, asked.seeds) for rank in asked.ranks}
    above = default_is_above(paired)
    held = above and all(
        ratio >= floor
        for name, floor in FLOORS.items()
        for key, ratio in ratios[name].items()
        if key.startswith("sr-t")
    )
    outcome = {"top10": means, "ratio_to_ofa": ratios, "floors": FLOORS, "default_against": paired, "above_all": above}
    print(json.dumps(outcome | {"held": held, "seeds": asked.seeds}))
    return 0 if held else 1


def cell_of(work: Path, name: str, rank: str, seed: int) -> Path:
    """The folder of one method, rank and seed."""
    return work / f"{name}-r{rank}-s{seed}"


def against_others(work: Path, rank: str, methods: list[str], seeds: list[int]) -> dict[str, dict[str, Any]]:
    """For each task and other method: the default's score minus the other's, paired by sentence and seed."""
    from hyperofa_eval.results.comparison import compare

    if DEFAULT not in methods:
        return {}
    found: dict[str, dict[str, Any]] = {}
    default = over_seeds(work, DEFAULT, rank, seeds)
    for name in methods:
        if name == DEFAULT:
            continue
        for task, entry in compare([over_seeds(work, name, rank, seeds), default])["tasks"].items():
            gap = entry["against_first"][DEFAULT]
            mean = {key: gap["difference"][key] for key in ("mean", "ci95")}
            row = mean | {key: gap[key] for key in ("wins", "losses", "undecided")}
            found.setdefault(task, {})[name] = row | {"metric": entry["metric"]}
    return found


def over_seeds(work: Path, name: str, rank: str, seeds: list[int]) -> Run:
    """The evaluations of all seeds of one method as one run of the harness."""
    from hyperofa_eval.results.pairing import Run, load_run

    runs = [load_run(cell_of(work, name, rank, seed) / "eval", name) for seed in seeds]
    results = {
        task: {
            code: [
                result | {"seed": seed}
                for seed, run in zip(seeds, runs, strict=True)
                for result in run.results[task][code]
            ]
            for code in languages
        }
        for task, languages in runs[0].results.items()
    }
    return Run(name, runs[0].summary, results)


def default_is_above(paired: dict[str, dict[str, dict[str, Any]]]) -> bool:
    """Whether every interval of the default against another method lies above 0, at every rank and on every task."""
    return all(
        row["ci95"][0] > 0
        for tasks in paired.values()
        for methods in tasks.values()
        for name, row in methods.items()
        if name not in BUILT_ON_IT
    )


def score(asked: argparse.Namespace, vectors: Path, name: str, rank: str, seed: int, cell: Path) -> None:
    """Initialise and evaluate one cell, unless that is done."""
    if (cell / "eval" / "summary.json").is_file():
        return
    words: list[object] = ["hyperofa.cli", "init", "--source", asked.source, "--tokenizer", asked.tokenizer]
    words += ["--vectors", vectors, "--method", name.removesuffix("-parallel")]
    words += [str(asked.work / "parallel") if word == "PARALLEL" else word for word in METHODS[name]]
    words += ["--seed", seed]
    words += ["--out", cell / "model"]
    words += [] if rank == "full" else ["--rank", rank]
    if name in (DEFAULT, *BUILT_ON_IT):
        words += [word for option in asked.option for word in ("--option", option)]
    if name in HEAVY:
        words += [word for option in asked.paper_option for word in ("--option", option)]
    if not (cell / "model" / "init.json").is_file():
        run(*words)
    evaluate: list[object] = ["hyperofa_eval", "run", cell / "model", "--tasks", asked.tasks, "--data", asked.data]
    evaluate += ["--out", cell / "eval", *(["--languages", asked.languages] if asked.languages else [])]
    run(*evaluate)


if __name__ == "__main__":
    sys.exit(main())
