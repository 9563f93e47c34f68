"""The sections about one model per method: retrieval by method and by language, provenance of tokens, training loss."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from html import escape
from typing import Any

from hyperofa.report import figures, markup
from hyperofa.report.figures import Change, Curve, Parts, Row

SMOOTHING = 10
"""Steps in the moving mean of the loss curves."""

PROVENANCE = {
    "special": "special tokens, by role",
    "copied": "copied from the source",
    "predicted": "predicted by the method",
    "drawn": "drawn at random",
    "appended": "padding rows",
}


def draw_means(results: Mapping[str, Any], width: float) -> str:
    """The figure of the means: hollow before, filled after training."""
    whens, cells = markup.moments(results), markup.scored_cells(results)
    series = markup.methods(results)
    rows = []
    for name, cell in cells.items():
        found = [markup.estimate(cell[when]["scores"][markup.METRIC]) for when in whens]
        rows.append(Change(name, series[name], found[0], found[1] if len(found) > 1 else None))
    first = next(iter(cells.values()))[next(iter(whens))]["scores"][markup.METRIC]
    unit = f"top-10 retrieval, % (mean of {first['n']} languages)"
    lines = {"chance": first["chance"]}
    sources = {name: source["scores"].get(markup.METRIC) for name, source in results["sources"].items()}
    lines |= {f"{name} as it is": score["mean"] for name, score in sources.items() if score}
    return figures.changes(rows, lines, width, title="Mean retrieval by method", unit=unit)


def means(results: Mapping[str, Any]) -> str:
    """Retrieval before and after training, a mark and an interval a method, and the paired differences."""
    whens, cells = markup.moments(results), markup.scored_cells(results)
    if not cells:
        return ""
    cuts = markup.metrics(results)
    table = markup.table(
        ["method", *(f"{title}, {markup.short(cut)}" for title in whens.values() for cut in cuts)],
        [
            [escape(name), *(markup.value(cell[when]["scores"][cut]) for when in whens for cut in cuts)]
            for name, cell in cells.items()
        ],
    )
    several = len(results["cells"]) > len(results["methods"])
    data = markup.tested_on(results, results.get("task", ""))
    one = next(iter(cells.values()))
    which = f" Shown here: {_place(one)}; the table below has all." if several else ""
    return markup.section(
        "Retrieval, mean over languages",
        f"Each English test sentence{escape(data)} looks for its translation among all test sentences of the language, by "
        "the cosine of mean-pooled hidden states. Hollow marks are before training, filled ones after; bars are 95 % bootstrap "
        f"intervals over sentences.{escape(which)}",
        f"<figure>{markup.responsive(partial(draw_means, results))}{table}{_differences(results)}</figure>",
    )


def _place(cell: Mapping[str, Any]) -> str:
    return f"{cell['source']}, rank {cell['rank']}, seed {cell['seed']}"


def _differences(results: Mapping[str, Any]) -> str:
    rows = [
        [
            escape(row["what"]),
            *map(escape, markup.difference(row)),
            "yes" if row["ci95"][0] > 0 or row["ci95"][1] < 0 else "no",
        ]
        for row in results.get("paired", [])
    ]
    if not rows:
        return ""
    head = ["difference", "mean", "paired 95 % interval", "leaves out 0"]
    return markup.table(head, rows)


def languages(results: Mapping[str, Any]) -> str:
    """A row a language: every method's score and interval, at each moment."""
    whens, cells = markup.moments(results), markup.scored_cells(results)
    if not cells or not results["languages"]:
        return ""
    named = {name: series for name, series in markup.methods(results).items() if name in cells}
    last = list(whens)[-1]
    high = figures.upper_end(
        [
            row[markup.METRIC]["ci95"][1]
            for cell in cells.values()
            for w in whens
            for row in cell[w]["languages"].values()
        ]
    )
    best = max(cells.values(), key=lambda cell: cell[last]["scores"][markup.METRIC]["mean"])
    order = sorted(results["languages"], key=lambda code: -best[last]["languages"][code][markup.METRIC]["value"])
    names = {series: name for name, series in named.items()}
    panels = []
    for when, title in whens.items():
        rows = [
            Row(
                best[when]["languages"][code]["name"],
                f"{code}, n {best[when]['languages'][code]['n']}",
                best[when]["languages"][code][markup.METRIC]["chance"],
                [(named[name], markup.estimate(cells[name][when]["languages"][code][markup.METRIC])) for name in named],
            )
            for code in order
        ]
        draw = partial(figures.intervals, rows, names, high, title=f"{title}: retrieval by language", unit="top-10, %")
        panels.append(f"<div><h3>{title}</h3>{markup.responsive(draw, markup.PANEL)}</div>")
    return markup.section(
        "Retrieval by language",
        f"Languages in the order of the best method {last} training. The dashed line is what a random order would give: "
        "small test sets have high chance, so compare a language with itself, not with its neighbours.",
        f'<figure><p class="keys">{markup.keys(named)}</p><div class="panels">{"".join(panels)}</div></figure>',
    )


def provenance(results: Mapping[str, Any]) -> str:
    """Table 2: how many rows came about in which way, by method."""
    cells = {name: cell for name, cell in markup.shown_cells(results).items() if cell["provenance"]}
    if not cells:
        return ""
    kinds = [kind for kind in PROVENANCE if any(cell["provenance"][kind] for cell in cells.values())]
    rows = [Parts(name, [cell["provenance"][kind] for kind in PROVENANCE]) for name, cell in cells.items()]

    def draw(width: float) -> str:
        return figures.stacked(rows, list(PROVENANCE), width, title="Where each token's row comes from")

    keys = "".join(
        f'<span class="key"><span class="swatch p{number}"></span>{escape(words)}</span>'
        for number, (kind, words) in enumerate(PROVENANCE.items())
        if kind in kinds
    )
    table = markup.table(
        ["method", *kinds, "all"],
        [
            [name, *(f"{cell['provenance'][kind]:,}" for kind in kinds), f"{sum(cell['provenance'].values()):,}"]
            for name, cell in cells.items()
        ],
    )
    return markup.section(
        "Where each token comes from",
        "The overlap with the source vocabulary is the same for all methods, and so are the rows left to chance where "
        "no word vector helps; only the predicted part is each method's own work (random draws it too).",
        f'<figure><p class="keys">{keys}</p>{markup.responsive(draw)}{table}</figure>',
    )


def draw_losses(results: Mapping[str, Any], width: float) -> str | None:
    """The figure of the losses, None where nothing was trained."""
    cells = markup.shown_cells(results)
    curves = [
        Curve(name, series, cells[name]["loss"])
        for name, series in markup.methods(results).items()
        if name in cells and cells[name]["loss"]
    ]
    if not curves:
        return None
    return figures.losses(curves, results["resumed_at_step"], width, title="Training loss by step", window=SMOOTHING)


def losses(results: Mapping[str, Any]) -> str:
    """Training loss by step, and where a run was interrupted."""
    cells = {name: cell for name, cell in markup.shown_cells(results).items() if cell["loss"]}
    if not cells:
        return ""
    named = {name: series for name, series in markup.methods(results).items() if name in cells}

    def draw(width: float) -> str:
        return draw_losses(results, width) or ""

    ends = {name: figures.moving_mean(cells[name]["loss"], SMOOTHING) for name in named}
    last = min(points[-1][0] for points in ends.values())
    marks = sorted({max(1, round(last * share)) for share in (0.0, 0.25, 0.5, 0.75, 1.0)})
    table = markup.table(
        ["method", *(f"step {step}" for step in marks)],
        [[name, *(f"{dict(points).get(step, float('nan')):.3f}" for step in marks)] for name, points in ends.items()],
    )
    return markup.section(
        "Training loss",
        f"Language-model loss; the thick line is the mean of the last {SMOOTHING} steps, the faint one each "
        f"step. {_interruption(results)}",
        f"<figure>{markup.responsive(draw)}{table}</figure>",
    )


def _interruption(results: Mapping[str, Any]) -> str:
    if results["resumed_at_step"] is None:
        return "No run was interrupted."
    return "Every run was stopped by SIGTERM and went on from its sharded checkpoint by the same command."
