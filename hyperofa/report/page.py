"""The report as one HTML file: no script, no request, every figure with its numbers in a table and the JSON inside."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

from hyperofa.report import figures
from hyperofa.report.figures import Change, Curve, Estimate, Parts, Row
from hyperofa.report.svg import element

METRIC = "top10"
WHEN = {"before": "Before training", "after": "After training"}
BASELINE = "random"
WIDE, NARROW, PANEL = 900.0, 330.0, 430.0
SMOOTHING = 10
"""Steps in the moving mean of the loss curves."""

PROVENANCE = {
    "special": "special tokens, by role",
    "copied": "copied from the source",
    "predicted": "predicted by the method",
    "drawn": "drawn at random",
    "appended": "padding rows",
}


def render(results: Mapping[str, Any]) -> str:
    """The page for an experiment's ``results.json``."""
    sections = [
        _head(results),
        _means(results),
        _languages(results),
        _provenance(results),
        _losses(results),
        _data(results),
        _done(results),
        _numbers(results),
    ]
    embedded = json.dumps(results, ensure_ascii=False).replace("</", "<\\/")
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(results['recipe'])}: HyperOFA report</title>",
            f"<style>{_style()}</style></head><body><main>",
            *sections,
            "</main>",
            f'<script type="application/json" id="results">{embedded}</script>',
            "</body></html>\n",
        ]
    )


def methods(results: Mapping[str, Any]) -> dict[str, int]:
    """The methods in the recipe's order, each with its series: 0 (grey) for the random baseline, then from 1."""
    others = iter(range(1, 1 + len(results["methods"])))
    return {name: 0 if name == BASELINE else next(others) for name in results["methods"]}


def estimate(score: Mapping[str, Any]) -> Estimate:
    """A score of the results as value and interval."""
    low, high = score["ci95"]
    return Estimate(score.get("mean", score.get("value")), low, high)


def _cells(results: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The cell that stands for each method: the first one of it."""
    found: dict[str, Mapping[str, Any]] = {}
    for cell in results["cells"].values():
        found.setdefault(cell["method"], cell)
    return found


def _head(results: Mapping[str, Any]) -> str:
    named = methods(results)
    scores = results["methods"]
    best = max(named, key=lambda name: scores[name]["before"][METRIC]["mean"])
    before, after = scores[best]["before"][METRIC], scores[best]["after"][METRIC]
    steps = max(step for cell in results["cells"].values() for step, _ in cell["loss"])
    tiles = [
        (str(len(results["languages"])), "languages scored"),
        (f"{before['pairs']:,}", "test pairs never trained on"),
        (f"{steps}", "training steps per model"),
        (str(results["resumed_at_step"] or "none"), "step of the SIGTERM and resume"),
        (f"{results['wall_s'] / 60:.1f} min", "in all stages"),
        (f"{results['peak_rss_gb']:.1f} GB", "peak memory"),
    ]
    items = "".join(f"<li><b>{escape(number)}</b><span>{escape(what)}</span></li>" for number, what in tiles)
    sentence = (
        f"Given an English sentence encoder and a tokenizer for {len(results['languages']) + 1} languages, the model "
        f"initialised by <b>{escape(best)}</b> finds the right translation among its first ten candidates for "
        f"<b>{before['mean']:.1f} %</b> of test sentences before any training, and for <b>{after['mean']:.1f} %</b> "
        f"after {steps} steps. By chance it would be {before['chance']:.1f} %."
    )
    return (
        f'<p class="kicker">HyperOFA · recipe <code>{escape(results["recipe"])}</code></p>'
        f'<h1>What the new vocabulary knows, before and after training</h1><p class="lead">{sentence}</p>'
        f'<ul class="tiles">{items}</ul>'
    )


def standalone_figure(results: Mapping[str, Any]) -> str:
    """The figure of the means as an SVG file of its own, for a README or a slide; it follows light and dark too."""
    drawn = _draw_means(results, WIDE)
    style = element("style", _style().replace("--panel: #ffffff", "--panel: transparent"))
    return drawn.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1).replace(
        "<title>", f"{style}<title>", 1
    )


def _style() -> str:
    return (Path(__file__).parent / "style.css").read_text(encoding="utf-8")


def _draw_means(results: Mapping[str, Any], width: float) -> str:
    rows = [
        Change(name, series, *(estimate(results["methods"][name][when][METRIC]) for when in WHEN))
        for name, series in methods(results).items()
    ]
    first = next(iter(results["methods"].values()))["before"][METRIC]
    unit = f"top-10 retrieval, % (mean of {first['n']} languages)"
    lines = {"chance": first["chance"]}
    lines |= {f"{name} as it is": source["scores"][METRIC]["mean"] for name, source in results["sources"].items()}
    return figures.changes(rows, lines, width, title="Mean retrieval by method", unit=unit)


def _means(results: Mapping[str, Any]) -> str:
    draw = partial(_draw_means, results)
    table = _table(
        ["method", *(f"{WHEN[when]}, {_short(metric)}" for when in WHEN for metric in _metrics(results))],
        [
            [name, *(_value(results["methods"][name][when][metric]) for when in WHEN for metric in _metrics(results))]
            for name in results["methods"]
        ],
    )
    return _section(
        "Retrieval, mean over languages",
        "Each English test sentence looks for its translation among all test sentences of the language, by the cosine "
        "of mean-pooled hidden states. Hollow marks are before training, filled ones after; bars are 95 % bootstrap "
        "intervals over sentences.",
        f"<figure>{_responsive(draw)}{table}{_differences(results)}</figure>",
    )


def _differences(results: Mapping[str, Any]) -> str:
    rows = [
        [
            escape(row["what"]),
            f"{row['difference']:+.1f}",
            f"[{row['ci95'][0]:+.1f}, {row['ci95'][1]:+.1f}]",
            "yes" if row["ci95"][0] > 0 or row["ci95"][1] < 0 else "no",
        ]
        for row in results.get("paired", [])
    ]
    if not rows:
        return ""
    head = ["difference in top-10 points", "mean", "paired 95 % interval", "leaves out 0"]
    return _table(head, rows)


def _languages(results: Mapping[str, Any]) -> str:
    named = methods(results)
    cells = _cells(results)
    high = figures.upper_end(
        [row[METRIC]["ci95"][1] for cell in cells.values() for when in WHEN for row in cell[when]["languages"].values()]
    )
    best = cells[max(named, key=lambda name: results["methods"][name]["after"][METRIC]["mean"])]
    order = sorted(results["languages"], key=lambda code: -best["after"]["languages"][code][METRIC]["value"])
    names = {series: name for name, series in named.items()}
    panels = []
    for when, title in WHEN.items():
        rows = [
            Row(
                best[when]["languages"][code]["name"],
                f"{code}, n {best[when]['languages'][code]['n']}",
                best[when]["languages"][code][METRIC]["chance"],
                [(named[name], estimate(cells[name][when]["languages"][code][METRIC])) for name in named],
            )
            for code in order
        ]
        draw = partial(figures.intervals, rows, names, high, title=f"{title}: retrieval by language", unit="top-10, %")
        panels.append(f"<div><h3>{title}</h3>{_responsive(draw, PANEL)}</div>")
    return _section(
        "Retrieval by language",
        "Languages in the order of the best method after training. The dashed line is what a random order would give: "
        "small test sets have high chance, so compare a language with itself, not with its neighbours.",
        f'<figure><p class="keys">{_keys(results)}</p><div class="panels">{"".join(panels)}</div></figure>',
    )


def _provenance(results: Mapping[str, Any]) -> str:
    cells = _cells(results)
    kinds = [kind for kind in PROVENANCE if any(cell["provenance"][kind] for cell in cells.values())]
    rows = [Parts(name, [cell["provenance"][kind] for kind in PROVENANCE]) for name, cell in cells.items()]

    def draw(width: float) -> str:
        return figures.stacked(rows, list(PROVENANCE), width, title="Where each token's row comes from")

    keys = "".join(
        f'<span class="key"><span class="swatch p{number}"></span>{escape(words)}</span>'
        for number, (kind, words) in enumerate(PROVENANCE.items())
        if kind in kinds
    )
    table = _table(
        ["method", *kinds, "all"],
        [
            [name, *(f"{cell['provenance'][kind]:,}" for kind in kinds), f"{sum(cell['provenance'].values()):,}"]
            for name, cell in cells.items()
        ],
    )
    return _section(
        "Where each token comes from",
        "The overlap with the source vocabulary is the same for all methods, and so are the rows left to chance where "
        "no word vector helps; only the predicted part is each method's own work (random draws it too).",
        f'<figure><p class="keys">{keys}</p>{_responsive(draw)}{table}</figure>',
    )


def _losses(results: Mapping[str, Any]) -> str:
    named, cells = methods(results), _cells(results)
    curves = [Curve(name, series, cells[name]["loss"]) for name, series in named.items()]

    def draw(width: float) -> str:
        return figures.losses(
            curves, results["resumed_at_step"], width, title="Training loss by step", window=SMOOTHING
        )

    ends = {name: figures.moving_mean(cells[name]["loss"], SMOOTHING) for name in named}
    last = min(points[-1][0] for points in ends.values())
    marks = sorted({max(1, round(last * share)) for share in (0.0, 0.25, 0.5, 0.75, 1.0)})
    table = _table(
        ["method", *(f"step {step}" for step in marks)],
        [[name, *(f"{dict(points).get(step, float('nan')):.3f}" for step in marks)] for name, points in ends.items()],
    )
    return _section(
        "Training loss",
        f"Masked-language-model loss; the thick line is the mean of the last {SMOOTHING} steps, the faint one each "
        f"step. {_interruption(results)}",
        f"<figure>{_responsive(draw)}{table}</figure>",
    )


def _interruption(results: Mapping[str, Any]) -> str:
    if results["resumed_at_step"] is None:
        return "No run was interrupted."
    return "Every run was stopped by SIGTERM and went on from its sharded checkpoint by the same command."


def _data(results: Mapping[str, Any]) -> str:
    split, unscored = results["split"], results["languages_unscored"]
    rows = []
    for code, count in sorted(split["train"].items()):
        role = unscored.get(code) or ("pivot: trained on, not scored" if code in results["pivots"] else "scored")
        rows.append([code, f"{count:,}", f"{split['test'].get(code, 0):,}", ("words", escape(role))])
    table = _table(["language", "training messages", "test pairs", "use"], rows)
    messages = split["messages"]
    return _section(
        "Data",
        f"{messages['train']:,} English messages are for training and {messages['test']:,} are held out. A message and "
        "its near-duplicates are on one side in every language; word vectors, tokenizer and training see only the "
        "training side.",
        f"<details><summary>Messages and test pairs by language</summary>{table}</details>",
    )


def _done(results: Mapping[str, Any]) -> str:
    items = [
        f'<li>{escape(stage["title"])} <span class="soft">{stage["wall_s"]:.1f} s, {stage["peak_rss_gb"]:.2f} GB</span>'
        f"<pre>{escape(stage['command'])}</pre></li>"
        for stage in results["stages"]
    ]
    machine = results["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    return _section(
        "What was done",
        f"{len(items)} ordinary commands, in this order, on {machine['cores']} cores ({escape(machine['system'])}). "
        f"{escape(versions)}.",
        f"<details><summary>The commands, with time and peak memory</summary>"
        f'<ol class="stages">{"".join(items)}</ol></details>',
    )


def _numbers(results: Mapping[str, Any]) -> str:
    cells = _cells(results)
    tables = []
    for metric in _metrics(results):
        head = ["language", "n", "chance", *(f"{name}, {when}" for name in cells for when in WHEN)]
        body = []
        for code in results["languages"]:
            rows = [cells[name][when]["languages"][code] for name in cells for when in WHEN]
            chance = rows[0][metric]["chance"]
            body.append(
                [
                    f"{escape(rows[0]['name'])} ({code})",
                    str(rows[0]["n"]),
                    f"{chance:.1f}",
                    *(_value(row[metric]) for row in rows),
                ]
            )
        tables.append(f"<h3>{_short(metric)}, % with 95 % interval</h3>{_table(head, body)}")
    data = base64.b64encode(json.dumps(results, ensure_ascii=False, indent=1).encode()).decode()
    link = f'<a download="results.json" href="data:application/json;base64,{data}">Download results.json</a>'
    return _section(
        "Every number",
        "",
        f"<p>{link}: all of the above as data, with each step's loss. The same JSON is in this page's source.</p>"
        f"<details><summary>Retrieval by language, method and cut-off</summary>{''.join(tables)}</details>",
    )


def _metrics(results: Mapping[str, Any]) -> list[str]:
    return list(next(iter(results["methods"].values()))["before"])


def _short(metric: str) -> str:
    return metric.replace("top", "top-")


def _value(score: Mapping[str, Any]) -> str:
    found = estimate(score)
    return f"{found.value:.1f} <small>[{found.low:.1f}, {found.high:.1f}]</small>"


def _keys(results: Mapping[str, Any]) -> str:
    return "".join(figures.key(series, name) for name, series in methods(results).items())


def _responsive(draw: Callable[[float], str], wide: float = WIDE) -> str:
    """The figure drawn for a wide and for a narrow screen; the style sheet shows one of them."""
    return f'<div class="wide">{draw(wide)}</div><div class="narrow">{draw(NARROW)}</div>'


def _section(title: str, words: str, body: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{f'<p class=soft>{words}</p>' if words else ''}{body}</section>"


def _table(head: Sequence[str], rows: Sequence[Sequence[str | tuple[str, str]]]) -> str:
    """A table; cells are markup, a pair is (class, markup)."""
    top = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    body = []
    for row in rows:
        cells = [f'<th scope="row">{row[0]}</th>']
        for cell in row[1:]:
            words, kind = (cell[1], cell[0]) if isinstance(cell, tuple) else (cell, None)
            cells.append(element("td", words, class_=kind))
        body.append(f"<tr>{''.join(cells)}</tr>")
    return f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>{"".join(body)}</tbody></table></div>'
