"""Quality of initialisations before any training, on three source models, beside the source with its own tokenizer.

    python benchmarks/init/init_quality.py multilingual --source DIR --data DIR --work DIR [--split report] [--seeds 0 1 2]
    python benchmarks/init/init_quality.py decoder      --source DIR --data DIR --work DIR
    python benchmarks/init/init_quality.py english      --source DIR --tokenizer DIR --data DIR --work DIR [--rank 100]

``multilingual`` is multilingual-e5-small with 15,000 further pieces, ``decoder`` SmolLM2-135M with 8,000, ``english`` MiniLM
with XLM-R's vocabulary (:mod:`quality_sources` says for which languages, learned from what, scored on what). ``--data`` holds
``text/``, ``ntrex/``, ``bible/`` and ``tatoeba/`` (any file may be .xz). Everything runs as the ordinary commands, finished
ones are kept in ``--work``. The last line is one JSON: each method's score by language and their mean, the paired 95 % interval
against the source with its own tokenizer (a bootstrap over sentences and seeds, see ``hyperofa-eval compare``), tokens saved,
seconds of ``hyperofa init``, and the floors of the default that do not hold; exit code 1 where there is one.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quality_sources import SETTINGS, Setting, Split, learning_text, parallel_text, scored_lines, test_sets

if TYPE_CHECKING:
    from hyperofa_eval.results.pairing import Run

OWN, DEFAULT, ALONE, PIECES = "own", "default", "network-alone", "subword-mean"
METHODS: dict[str, list[str]] = {
    OWN: [],
    DEFAULT: [],  # what the setting says
    ALONE: ["--method", "spelling-network"],
    PIECES: ["--method", "subword-mean"],
    "random": ["--method", "random"],
    "mean": ["--method", "mean"],
    "multivariate": ["--method", "multivariate"],
    "ofa": ["--method", "ofa", "--vectors", "VECTORS"],
    "focus": ["--method", "focus", "--vectors", "VECTORS"],
    "wechsel": ["--method", "wechsel", "--vectors", "VECTORS"],
    "ridge": ["--method", "ridge", "--vectors", "VECTORS"],
    "ofa-ridge": ["--method", "ofa-ridge", "--vectors", "VECTORS"],
    "hyperofa": ["--method", "hyperofa", "--vectors", "VECTORS"],
}
"""What each is given beside source, tokenizer, seed, rank and output; words in capitals stand for what was made."""
HEAVY = ("hyperofa",)
"""Hours on a CPU; only run where named."""
QUESTION, ANSWER = "What is the capital of Kenya?", "Nairobi"


def main() -> int:
    """Run the cells, and report; see the module's text."""
    args = _arguments()
    setting = SETTINGS[args.setting]
    split = setting.split(args.split)
    made = _prepare(args, setting, split)
    cells = {
        name: [_cell(args, setting, split, made, name, seed) for seed in _seeds(args, name)] for name in args.methods
    }
    outcome = report(setting, split, args.work, cells, made)
    outcome = {"setting": args.setting, "split": args.split, "rank": args.rank, "seeds": args.seeds, **outcome}
    missed = floors_missed(args.setting, args.rank, outcome) if args.split == "report" else []
    print(json.dumps(outcome | {"floors_missed": missed, "held": not missed}))
    return 1 if missed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("setting", choices=list(SETTINGS))
    for name in ("--source", "--data", "--work"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, help="target tokenizer, instead of one that is made here")
    parser.add_argument("--split", choices=["report", "development"], default="report")
    parser.add_argument("--rank", default="full")
    parser.add_argument(
        "--seeds", nargs="+", type=int, default=[0, 1, 2], help="of the default; other methods have the first"
    )
    parser.add_argument("--methods", nargs="+", default=[m for m in METHODS if m not in HEAVY], choices=list(METHODS))
    parser.add_argument(
        "--option", action="append", default=[], help="further words for init of the default, such as --steps=9"
    )
    args = parser.parse_args()
    args.work = args.work.resolve()
    if args.setting == "english" and args.tokenizer is None:
        parser.error("english needs --tokenizer, XLM-R's")
    return args


def _seeds(args: argparse.Namespace, name: str) -> list[int]:
    return args.seeds if name == DEFAULT else args.seeds[:1]


def _prepare(args: argparse.Namespace, setting: Setting, split: Split) -> dict[str, Any]:
    """Text, vectors, test sets and the tokenizer, made where they are not there."""
    work = args.work / args.split
    text = learning_text(args.data, split, work / "text")
    made: dict[str, Any] = {"TEXT": [f"{language}={path}" for language, path in text.items()]}
    made["PARALLEL"] = [parallel_text(args.data, split, work / "parallel", everything=not split.extended)]
    made["source"], made["given"] = args.source, [(f"--{name.lower()}", name) for name in setting.given]
    made["tests"] = test_sets(args.data, split, work / "tests")
    made["tokenizer"] = args.tokenizer or work / "tokenizer"
    if not (made["tokenizer"] / "tokenizer.json").is_file():
        size = json.loads((args.source / "config.json").read_text(encoding="utf-8"))["vocab_size"] + setting.pieces
        run("hyperofa.cli", "tokenizer", "extend", "--source", args.source, "--text", *made["TEXT"], "--vocab-size", size,
            "--out", made["tokenizer"])  # fmt: skip
    made["VECTORS"] = [work / "vectors"]
    asked_for = {word for name in args.methods for word in METHODS[name]} | {*setting.given}
    if "VECTORS" in asked_for and not (work / "vectors" / "meta.json").is_file():
        everything = parallel_text(args.data, split, work / "parallel-all", everything=True)
        run("hyperofa.cli", "vectors", "build", "--parallel", everything, "--out", work / "vectors")
    return made


def run(*words: object) -> float:
    """Run a command of the project, shown as typed; the seconds it took."""
    line = [str(word) for word in words]
    print("$", *line, file=sys.stderr, flush=True)
    began = time.monotonic()
    subprocess.run([sys.executable, "-m", *line], check=True, stdout=sys.stderr)
    return time.monotonic() - began


def cell_of(work: Path, name: str, rank: str, seed: int) -> Path:
    """The folder of one method, rank and seed."""
    return work / f"{name}-r{rank}-s{seed}"


def _cell(args: argparse.Namespace, setting: Setting, split: Split, made: dict[str, Any], name: str, seed: int) -> Path:
    """Initialise and evaluate one cell, unless that is done; its folder."""
    cell = cell_of(args.work / args.split, name, "full" if name == OWN else args.rank, 0 if name == OWN else seed)
    model = args.source if name == OWN else cell / "model"
    if not (cell / "eval" / "summary.json").is_file():
        if name != OWN and not (model / "init.json").is_file():
            seconds = run("hyperofa.cli", "init", *init_words(args, made, name, seed), "--out", model)
            (cell / "seconds.json").write_text(json.dumps(round(seconds, 1)), encoding="utf-8")
        words: list[object] = ["--tasks", setting.task, "--data", made["tests"], "--languages", ",".join(split.scored)]
        words += ["--limit", split.limit] if split.limit else []
        run("hyperofa_eval", "run", model, *words, "--device", "cpu", "--out", cell / "eval")
    return cell


def init_words(args: argparse.Namespace, made: dict[str, Any], name: str, seed: int) -> list[object]:
    """The words of ``hyperofa init`` for a method, all but its output."""
    words: list[object] = ["--source", args.source, "--tokenizer", made["tokenizer"], "--seed", seed]
    words += [] if args.rank == "full" else ["--rank", args.rank]
    given = METHODS[name] if name != DEFAULT else [word for pair in made["given"] for word in pair]
    for option, stands_for in zip(given[::2], given[1::2], strict=True):
        values = made.get(stands_for, [stands_for]) if stands_for.isupper() else [stands_for]
        words += [option, *values] if values else []
    return words + (args.option if name == DEFAULT else [])


def report(
    setting: Setting, split: Split, work: Path, cells: dict[str, list[Path]], made: dict[str, Any]
) -> dict[str, Any]:
    """Scores by method and language, what each method lies above the own tokenizer, and tokens saved."""
    from hyperofa_eval.results.comparison import compare

    by_method: dict[str, Any] = {}
    for name, folders in cells.items():
        one = over_seeds(folders, name)
        values = {
            code: statistics.mean(result["values"][setting.metric]["value"] for result in results)
            for code, results in one.results[setting.task].items()
        }
        by_method[name] = {"languages": values, "mean": statistics.mean(values.values())}
        timed = [path for path in (folder / "seconds.json" for folder in folders) if path.is_file()]
        by_method[name]["init_seconds"] = [json.loads(path.read_text(encoding="utf-8")) for path in timed]
        if name != OWN and OWN in cells:
            own = over_seeds(cells[OWN] * len(folders), OWN)
            entry = compare([own, one])["tasks"][setting.task]
            gap = entry["against_first"][name]["difference"]
            by_method[name]["above_own"] = {key: gap[key] for key in ("mean", "ci95")}
            by_method[name]["above_own"]["languages"] = {
                row["language"]: row["difference"][name] for row in entry["rows"]
            }
    if setting.task == "lm":
        for name, folders in cells.items():
            by_method[name]["answer"] = answer(made["source"] if name == OWN else folders[0] / "model")
    if ALONE in cells and PIECES in cells:
        both = [over_seeds(cells[name], name) for name in (PIECES, ALONE)]
        gap = compare(both)["tasks"][setting.task]["against_first"][ALONE]["difference"]
        by_method[ALONE]["above_pieces"] = {key: gap[key] for key in ("mean", "ci95")}
    saved = tokens_saved(made, split) if split.extended else {}
    return {"metric": setting.metric, "methods": by_method, "tokens_saved": saved}


def answer(model: Path) -> str:
    """What a decoder says, greedily and in its chat template, to :data:`QUESTION`."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    import hyperofa  # noqa: F401  (its model types)

    tokenizer, decoder = AutoTokenizer.from_pretrained(model), AutoModelForCausalLM.from_pretrained(model)
    chat = [{"role": "user", "content": QUESTION}]
    given = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    made = decoder.generate(**given, max_new_tokens=40, do_sample=False)[0, given["input_ids"].shape[1] :]
    return str(tokenizer.decode(made, skip_special_tokens=True))


def over_seeds(folders: list[Path], name: str) -> Run:
    """The evaluations of all seeds of one method as one run of the harness."""
    from hyperofa_eval.results.pairing import Run, load_run

    runs = [load_run(folder / "eval", name) for folder in folders]
    results = {
        task: {
            code: [result | {"seed": seed} for seed, run in enumerate(runs) for result in run.results[task][code]]
            for code in languages
        }
        for task, languages in runs[0].results.items()
    }
    return Run(name, runs[0].summary, results)


def tokens_saved(made: dict[str, Any], split: Split) -> dict[str, float]:
    """Percent of tokens saved on the scored sentences of each extended language, and their mean."""
    from hyperofa.vocab.report import fertility, load_tokenizer

    old, new = load_tokenizer(made["source"]), load_tokenizer(made["tokenizer"])
    saved = {}
    for language in split.scored:
        if language in split.extended:
            lines = scored_lines(made["tests"], split, language)
            before, after = (fertility(one, lines)["tokens_per_word"] for one in (old, new))
            saved[language] = 100 * (1 - after / before)
    return saved | {"mean": statistics.mean(saved.values())}


def floors_missed(setting: str, rank: str, outcome: dict[str, Any]) -> list[str]:
    """What the default has to reach, where it does not; one line each."""
    methods = outcome["methods"]
    if DEFAULT not in methods or (setting != "english" and OWN not in methods):
        return []
    mean, rows = methods[DEFAULT]["mean"], methods[DEFAULT]["languages"]
    missed = []
    if setting == "english":
        least = 34.2 if rank == "full" else 25.1
        missed += [f"mean {mean:.1f} is below {least}"] * (mean < least)
        return missed
    gap, saved = methods[DEFAULT]["above_own"], outcome["tokens_saved"]["mean"]
    if setting == "multilingual":
        missed += [f"the mean lies below the own tokenizer's: {gap['ci95']}"] * (gap["ci95"][1] < 0)
        missed += [
            f"{code} lies 5 below: {row['ci95']}" for code, row in gap["languages"].items() if row["ci95"][1] < -5
        ]
        missed += [f"{saved:.1f} % of tokens saved, not 12"] * (saved < 12)
    else:
        own = methods[OWN]
        missed += [f"mean is {mean / own['mean']:.3f} of the own tokenizer's, not 0.93"] * (mean > 0.93 * own["mean"])
        most = {code: 1.02 if code == "eng" else 1.0 for code in rows}
        missed += [
            f"{code} above {most[code]} of own" for code in rows if rows[code] > most[code] * own["languages"][code]
        ]
        missed += [f"{saved:.1f} % of tokens saved, not 35"] * (saved < 35)
        knew, knows = (ANSWER in methods[name].get("answer", "") for name in (OWN, DEFAULT))
        missed += [f"the answer to {QUESTION!r} has lost {ANSWER}"] * (knew and not knows)
    if ALONE in methods and PIECES in methods:
        low, high = methods[ALONE]["above_pieces"]["ci95"]
        better = low > 0 if SETTINGS[setting].higher_is_better else high < 0
        missed += ["the network alone is no better than the mean of pieces"] * (not better)
    return missed


if __name__ == "__main__":
    sys.exit(main())
