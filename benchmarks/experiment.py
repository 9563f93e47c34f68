"""Keeps what the manual quotes of a finished experiment: ``python benchmarks/experiment.py OUT --name NAME``.

Reads ``OUT/results.json``, which ``hyperofa experiment`` writes, and writes ``benchmarks/results/experiment_NAME.json``: scores
by task and language before and after training, paired differences, steps saved, what the vocabulary saves, seconds of each stage.
Nothing is measured here.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
PAIRED = ("what", "cell", "task", "difference", "ci95", "seeds")
SAVED = ("method", "seed", "steps", "ci95", "of_steps", "loss", "final_loss")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="the experiment's folder")
    parser.add_argument("--name", required=True, help="the file is called experiment_NAME.json")
    parser.add_argument("--note", help="a word on how it ran, such as what ran beside it")
    args = parser.parse_args()
    results = args.out / "results.json"
    if not results.is_file():
        parser.error(f"{results}: not there; hyperofa experiment writes it with the report")
    path = RESULTS / f"experiment_{args.name}.json"
    record = summary(json.loads(results.read_text(encoding="utf-8")), args.note)
    path.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(path)


def summary(results: dict[str, Any], note: str | None) -> dict[str, Any]:
    """What is kept of a ``results.json``; percentages and bits to three decimals."""
    cells = results["cells"]
    return {
        "recipe": results["recipe"],
        **({"note": note} if note else {}),
        "machine": results["machine"],
        "versions": results["versions"],
        "scores": {name: scores(cell["tasks"]) for name, cell in cells.items()},
        "paired": [rounded({key: row[key] for key in PAIRED} | by_language(row)) for row in results["paired"]],
        "saved": [rounded({key: row[key] for key in SAVED}) for row in results["saved"]],
        "read": {name: rounded(cell["read"]) for name, cell in cells.items() if cell.get("read")},
        "vocabulary": rounded(results["vocabulary"]),
        "seconds": {stage["name"]: round(stage["wall_s"], 1) for stage in results["stages"]},
        "peak_rss_gb": results["peak_rss_gb"],
    }


def scores(tasks: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Mean, interval and languages of each task, before and after."""
    return {
        when: {
            task: rounded(
                {
                    "metric": score["metric"],
                    "mean": score["mean"],
                    "ci95": score["ci95"],
                    "languages": {code: one["value"] for code, one in score["languages"].items()},
                }
            )
            for task, score in by_task.items()
        }
        for when, by_task in tasks.items()
    }


def by_language(row: dict[str, Any]) -> dict[str, Any]:
    """The differences by language, where they were kept."""
    found = row.get("languages") or {}
    return {"languages": {code: [one["mean"], *one["ci95"]] for code, one in found.items()}} if found else {}


def rounded(value: Any) -> Any:
    """The same with numbers to three decimals."""
    if isinstance(value, dict):
        return {key: rounded(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(one) for one in value]
    return round(value, 3) if isinstance(value, float) else value


if __name__ == "__main__":
    main()
