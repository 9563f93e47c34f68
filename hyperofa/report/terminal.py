"""The report's table in the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hyperofa.report import formats
from hyperofa.report.cells import METRIC, moments, scored_cells
from hyperofa_eval.base.console import output, table


def print_results(results: Mapping[str, Any]) -> None:
    """Print retrieval per language and method at each moment, then the means of every task, with 95 % intervals."""
    whens, cells = list(moments(results)), scored_cells(results)
    rows: list[list[object]] = []
    for code in results["languages"] if cells else ():
        scores = [[cell[when]["languages"][code] for when in whens] for cell in cells.values()]
        values = [" → ".join(f"{score[METRIC]['value']:.1f}" for score in own) for own in scores]
        rows.append([code, str(scores[0][0]["n"]), f"{scores[0][0][METRIC]['chance']:.1f}", *values])
    words = "before → after training" if len(whens) > 1 else "before training"
    if rows:
        table(f"Top-10 retrieval, %: {words}", ("language", "n", "chance", *cells), rows)
        means = [
            [name, *(formats.interval(formats.estimate(cell[when]["scores"][METRIC])) for when in whens)]
            for name, cell in cells.items()
        ]
        table(f"Mean of {len(results['languages'])} languages, with 95 % interval", ("method", *whens), means)
    if len(results["cells"]) > len(cells) or len({row["task"] for row in results.get("table") or ()}) > 1:
        _print_matrix(results)
    for task, words in (results.get("tested_on") or {}).items():
        output.print(f"{task}: {words}", markup=False)
    for row in results.get("paired", ()):
        mean, bounds = formats.difference(row)
        output.print(f"{row['what']}: {mean}, paired 95 % interval {bounds}", markup=False)
    for name, cell in results["cells"].items():
        if cell.get("verdict"):
            output.print(f"{name}, beside the source with its own tokenizer: {cell['verdict']}", markup=False)
    if results["languages_unscored"]:
        unscored = "; ".join(f"{code}: {reason}" for code, reason in results["languages_unscored"].items())
        output.print(f"Trained on but not scored: {unscored}", markup=False)


def _print_matrix(results: Mapping[str, Any]) -> None:
    places = ("task", "source", "rank", "method", "when", "seeds")
    rows = [[*(str(row[key]) for key in places), formats.interval(formats.estimate(row))] for row in results["table"]]
    table("All tasks, with 95 % interval", (*places, "mean"), rows)
    for row in results["saved"]:
        reached = "does not reach" if row["steps"] is None else f"reaches at step {formats.steps_reached(row)}"
        place = f"{row['source']}, rank {row['rank']}, seed {row['seed']}"
        output.print(
            f"{row['method']} ({place}) {reached} {row['baseline']}'s last loss, {row['loss']:.3f}", markup=False
        )
