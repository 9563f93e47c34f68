"""What the report shows of an experiment's results: the cell that stands for a method, the moments and metrics it has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Results = Mapping[str, Any]
METRIC = "top10"
WHEN = {"before": "Before training", "after": "After training"}
BASELINE = "random"


def methods(results: Results) -> dict[str, int]:
    """The methods in the recipe's order, each with its series: 0 (grey) for the random baseline, then from 1."""
    names = dict.fromkeys([*shown_cells(results), *(cell["method"] for cell in results["cells"].values())])
    numbers = iter(range(1, 1 + len(names)))
    return {name: 0 if name == BASELINE else next(numbers) for name in names}


def shown_cells(results: Results) -> dict[str, Mapping[str, Any]]:
    """The cell that stands for each method: the one that the results name, else the first of it."""
    cells: dict[str, Mapping[str, Any]] = {}
    for name in results.get("shown") or results["cells"]:
        cell = results["cells"][name]
        cells.setdefault(cell["method"], cell)
    return cells


def scored_cells(results: Results) -> dict[str, Mapping[str, Any]]:
    """Of the cells shown, those with a retrieval score at every moment of :func:`moments`.

    Where the first task is no retrieval there are none; the tables by task have its scores.
    """
    whens = moments(results)
    return {
        name: cell
        for name, cell in shown_cells(results).items()
        if whens and all(cell[when] and METRIC in cell[when]["scores"] for when in whens)
    }


def without_own(cells: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """The cells of extended models alone."""
    return {name: cell for name, cell in cells.items() if not cell.get("own")}


def moments(results: Results) -> dict[str, str]:
    """The moments at which any cell that is shown has a score, with their titles."""
    cells = shown_cells(results).values()
    return {when: title for when, title in WHEN.items() if any(cell[when] for cell in cells)}


def metrics(results: Results) -> list[str]:
    """The metrics of the main task, such as top1, top5 and top10."""
    cells = scored_cells(results).values()
    return list(next(iter(cells))[next(iter(moments(results)))]["scores"]) if cells else []


def training_losses(results: Results) -> dict[str, list[tuple[int, float]]]:
    """By method that was trained, its loss by step; not of a source with its own tokens, which are others."""
    cells = without_own(shown_cells(results))
    return {name: cells[name]["loss"] for name in methods(results) if name in cells and cells[name]["loss"]}


def training_scores(results: Results) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """By task, then by method, the scores measured in training; not of a source with its own tokens: its steps are others."""
    cells = {name: cell for name, cell in without_own(shown_cells(results)).items() if cell.get("way")}
    return {
        task: {name: cell["way"]["scores"][task] for name, cell in cells.items() if cell["way"]["scores"].get(task)}
        for task in dict.fromkeys(task for cell in cells.values() for task in cell["way"]["scores"])
    }
