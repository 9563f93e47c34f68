"""The report's table in the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hyperofa.console import output, table

METRIC = "top10"


def print_results(results: Mapping[str, Any]) -> None:
    """Print retrieval per language and method, before and after training, with the mean's 95 % intervals."""
    cells: dict[str, Mapping[str, Any]] = {}
    for cell in results["cells"].values():
        cells.setdefault(cell["method"], cell)
    rows: list[list[object]] = []
    for code in results["languages"]:
        scores = [[cell[when]["languages"][code] for when in ("before", "after")] for cell in cells.values()]
        chance = f"{scores[0][0][METRIC]['chance']:.1f}"
        values = [f"{before[METRIC]['value']:.1f} → {after[METRIC]['value']:.1f}" for before, after in scores]
        rows.append([code, str(scores[0][0]["n"]), chance, *values])
    table("Top-10 retrieval, %: before → after training", ("language", "n", "chance", *cells), rows)
    means = {name: [results["methods"][name][when][METRIC] for when in ("before", "after")] for name in cells}
    title = f"Mean of {len(results['languages'])} languages, with 95 % interval"
    table(title, ("method", "before", "after"), [[name, *map(_interval, pair)] for name, pair in means.items()])
    for row in results.get("paired", ()):
        low, high = row["ci95"]
        output.print(f"{row['what']}: {row['difference']:+.1f} points, paired 95 % interval [{low:+.1f}, {high:+.1f}]")
    if results["languages_unscored"]:
        unscored = "; ".join(f"{code}: {reason}" for code, reason in results["languages_unscored"].items())
        output.print(f"Trained on but not scored: {unscored}", markup=False)


def _interval(score: Mapping[str, Any]) -> str:
    low, high = score["ci95"]
    return f"{score['mean']:.1f} ({low:.1f}–{high:.1f})"
