"""The report as one HTML file: no script, no request, every figure with its numbers in a table and the JSON inside."""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from hyperofa.report import appendix, markup, matrix, sections
from hyperofa.report.svg import element

SECTIONS = (
    matrix.failures,
    sections.means,
    matrix.scores,
    sections.languages,
    matrix.heat_map,
    sections.provenance,
    sections.losses,
    matrix.on_the_way,
    matrix.saved,
    matrix.published,
    matrix.differences,
    appendix.data,
    appendix.done,
    appendix.numbers,
)
"""In the page's order; one that has nothing to show is empty."""


def render(results: Mapping[str, Any]) -> str:
    """The page for an experiment's ``results.json``."""
    embedded = json.dumps(results, ensure_ascii=False).replace("<", "\\u003c")  # nothing in it is markup
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(results['recipe'])}: HyperOFA report</title>",
            f"<style>{_style()}</style></head><body><main>",
            _head(results),
            *filter(None, (draw(results) for draw in SECTIONS)),
            "</main>",
            f'<script type="application/json" id="results">{embedded}</script>',
            "</body></html>\n",
        ]
    )


def _head(results: Mapping[str, Any]) -> str:
    cells, whens = markup.scored_cells(results), list(markup.moments(results))
    title = f'<p class="kicker">HyperOFA · recipe <code>{escape(results["recipe"])}</code></p>'
    title += "<h1>What the new vocabulary knows, before and after training</h1>"
    if not cells:
        words = "Scores by task are below." if results.get("table") else "No cell has been scored yet."
        return f'{title}<p class="lead">{words}</p>'
    best = max(cells, key=lambda name: cells[name][whens[0]]["scores"][markup.METRIC]["mean"])
    scores = [cells[best][when]["scores"][markup.METRIC] for when in whens]
    steps = max((step for cell in cells.values() for step, _ in cell["loss"]), default=0)
    clean = results["split"] is not None and not results["split"].get("as_it_is")
    tiles = [
        (str(len(results["languages"])), "languages scored"),
        (f"{scores[0]['pairs']:,}", f"test pairs{' never trained on' if clean else ''}"),
        (f"{len(results['cells'])}", "models initialised"),
        (f"{steps:,}", "training steps per model"),
        (str(results["resumed_at_step"] or "none"), "step of the SIGTERM and resume"),
        (_time(results["wall_s"]), "in all stages"),
        (f"{results['peak_rss_gb']:.1f} GB", "peak memory"),
    ]
    items = "".join(f"<li><b>{escape(number)}</b><span>{escape(what)}</span></li>" for number, what in tiles)
    sentence = (
        f"Given a source model and a tokenizer for new languages, the model initialised by <b>{escape(best)}</b> finds the "
        f"right translation among its first ten candidates for <b>{scores[0]['mean']:.1f} %</b> of the test sentences in "
        f"{len(results['languages'])} languages before any training"
    )
    sentence += f", and for <b>{scores[1]['mean']:.1f} %</b> after {steps:,} steps." if len(scores) > 1 else "."
    sentence += f" By chance it would be {scores[0]['chance']:.1f} %."
    return f'{title}<p class="lead">{sentence}</p><ul class="tiles">{items}</ul>'


def _time(seconds: float) -> str:
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def standalone_figures(results: Mapping[str, Any]) -> dict[str, str]:
    """Figures as SVG files of their own, by name, for a README or a slide; they follow light and dark too.

    ``retrieval`` (means before and after), ``loss`` by step, and ``steps`` (the scores by step); those without numbers are
    left out.
    """
    drawn = {
        "retrieval": sections.draw_means(results, markup.WIDE) if markup.scored_cells(results) else None,
        "loss": sections.draw_losses(results, markup.WIDE),
        "steps": next(iter(matrix.draw_on_the_way(results).values()), lambda _: None)(markup.WIDE),
    }
    style = element("style", _style().replace("--panel: #ffffff", "--panel: transparent"))
    return {
        name: figure.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1).replace(
            "<title>", f"{style}<title>", 1
        )
        for name, figure in drawn.items()
        if figure is not None
    }


def _style() -> str:
    return (Path(__file__).parent / "style.css").read_text(encoding="utf-8")
