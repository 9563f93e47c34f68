"""Which figures the report has, and which of the results' numbers each of them draws."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import product
from xml.etree.ElementTree import Element

from hyperofa.report import figures, formats
from hyperofa.report.cells import (
    METRIC,
    Results,
    methods,
    moments,
    scored_cells,
    shown_cells,
    training_losses,
    training_scores,
)
from hyperofa.report.figures import Change, Curve, Row
from hyperofa.report.formats import estimate
from hyperofa.report.tables import PROVENANCE, SMOOTHING

WIDE, NARROW, PANEL = 900.0, 330.0, 430.0


@dataclass(frozen=True)
class Drawing:
    """A figure drawn twice, for a wide and for a narrow screen; the style sheet shows one of them."""

    wide: Element
    narrow: Element


def _drawing(draw: Callable[[float], Element], wide: float = WIDE) -> Drawing:
    return Drawing(draw(wide), draw(NARROW))


def means(results: Results) -> Drawing | None:
    """Mean retrieval by method: hollow before, filled after training. None where no cell has a score."""
    whens, cells, series = moments(results), scored_cells(results), methods(results)
    if not cells:
        return None
    rows = []
    for name, cell in cells.items():
        estimates = [estimate(cell[when]["scores"][METRIC]) for when in whens]
        rows.append(Change(name, series[name], estimates[0], estimates[1] if len(estimates) > 1 else None))
    first = next(iter(cells.values()))[next(iter(whens))]["scores"][METRIC]
    unit = f"top-10 retrieval, % (mean of {first['n']} languages)"
    lines = {"chance": first["chance"]}
    sources = {name: source["scores"].get(METRIC) for name, source in results["sources"].items()}
    lines |= {f"{name} as it is": score["mean"] for name, score in sources.items() if score}
    return _drawing(partial(figures.changes, rows, lines, title="Mean retrieval by method", unit=unit))


def languages(results: Results) -> dict[str, Drawing]:
    """By moment, every method's score in every language, in the order of the method that is best at the last moment."""
    whens, cells = moments(results), scored_cells(results)
    if not cells or not results["languages"]:
        return {}
    series = {name: number for name, number in methods(results).items() if name in cells}
    best = max(cells.values(), key=lambda cell: cell[list(whens)[-1]]["scores"][METRIC]["mean"])
    ranked = best[list(whens)[-1]]["languages"]
    order = sorted(results["languages"], key=lambda code: -ranked[code][METRIC]["value"])
    scored = (cell[when]["languages"].values() for cell, when in product(cells.values(), whens))
    tops = [row[METRIC]["ci95"][1] for rows in scored for row in rows]
    names, high = {number: name for name, number in series.items()}, figures.upper_end(tops)
    drawings = {}
    for when, title in whens.items():
        own = best[when]["languages"]
        rows = []
        for code in order:
            scores = [(series[name], estimate(cells[name][when]["languages"][code][METRIC])) for name in series]
            note, chance = f"{code}, n {own[code]['n']}", own[code][METRIC]["chance"]
            rows.append(Row(own[code]["name"], note, chance, scores))
        draw = partial(figures.intervals, rows, names, high, title=f"{title}: retrieval by language", unit="top-10, %")
        drawings[title] = _drawing(draw, PANEL)
    return drawings


def legend(results: Results) -> dict[str, Element]:
    """The mark of each method that has retrieval scores."""
    cells = scored_cells(results)
    return {name: figures.legend_mark(number, name) for name, number in methods(results).items() if name in cells}


def provenance(results: Results) -> Drawing | None:
    """Where each token's row comes from, by method."""
    counts = {name: cell["provenance"] for name, cell in shown_cells(results).items() if cell["provenance"]}
    rows = {name: {kind: count[kind] for kind in PROVENANCE} for name, count in counts.items()}
    draw = partial(figures.stacked, rows, title="Where each token's row comes from")
    return _drawing(draw) if rows else None


def losses(results: Results) -> Drawing | None:
    """The training losses by step, None where nothing was trained."""
    series = methods(results)
    curves = [Curve(name, series[name], loss) for name, loss in training_losses(results).items()]
    step = results["resumed_at_step"]
    draw = partial(figures.losses, curves, step, title="Training loss by step", window=SMOOTHING)
    return _drawing(draw) if curves else None


def scores_by_step(results: Results) -> dict[str, Drawing]:
    """By task, its scores during training."""
    series = methods(results)
    drawings = {}
    for task, scores in training_scores(results).items():
        runs = [
            Curve(name, series[name], [(row["step"], estimate(row)) for row in rows]) for name, rows in scores.items()
        ]
        unit = f"{task.upper()} {formats.measured(next(iter(scores.values()))[-1])}"
        drawings[task] = _drawing(partial(figures.progress, runs, title=f"{task.upper()} by step", unit=unit))
    return drawings
