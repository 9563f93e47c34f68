"""The report as one HTML file: no script, no request, every figure with its numbers in a table and the JSON inside."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hyperofa.report import formats, plots, tables
from hyperofa.report.cells import METRIC, Results, moments, scored_cells, training_scores, without_own
from hyperofa.report.svg import element, markup
from hyperofa_eval.results import pages

ENVIRONMENT = pages.environment(Path(__file__).with_name("templates"))
ENVIRONMENT.filters["svg"] = markup
TABLES: tuple[Callable[[Results], Any], ...] = (
    *(tables.means, tables.paired, tables.scores, tables.heat_maps, tables.provenance, tables.losses, tables.saved),
    *(tables.published, tables.training_text, tables.retrieval, tables.beside, tables.vocabulary, tables.reading),
)
DRAWINGS: tuple[Callable[[Results], Any], ...] = (plots.means, plots.languages, plots.provenance, plots.losses)


def render(results: Results) -> str:
    """The page for an experiment's ``results.json``."""
    by_step = plots.scores_by_step(results)
    return ENVIRONMENT.get_template("report.html").render(
        results=results,
        lead=_lead(results),
        tables={prepare.__name__: prepare(results) for prepare in TABLES},
        drawings={prepare.__name__: prepare(results) for prepare in DRAWINGS},
        scores_by_step=[
            {
                "title": formats.titled(results, task),
                "measured": formats.measured(next(iter(scores.values()))[-1]),
                "drawing": by_step[task],
                "table": tables.scores_by_step(scores),
            }
            for task, scores in training_scores(results).items()
        ],
        task_notes=tables.task_notes(results),
        tested_on=formats.tested_on(results, results.get("task", "")),
        legend=plots.legend(results),
        origins=tables.PROVENANCE,
        smoothing=tables.SMOOTHING,
        download=base64.b64encode(json.dumps(results, ensure_ascii=False, indent=1).encode()).decode(),
    )


def _lead(results: Results) -> dict[str, Any] | None:
    """What the page says first: the best method before training and its scores, and figures of the whole experiment."""
    cells, whens = without_own(scored_cells(results)), list(moments(results))
    if not cells:
        return None
    best = max(cells, key=lambda name: cells[name][whens[0]]["scores"][METRIC]["mean"])
    scores = [cells[best][when]["scores"][METRIC] for when in whens]
    steps = max((step for cell in cells.values() for step, _ in cell["loss"]), default=0)
    unseen = results["split"] is not None and not results["split"].get("as_it_is")
    initialised = without_own(results["cells"])
    several = len(results["cells"]) > len(results["methods"])
    return {
        "best": best,
        "scores": scores,
        "steps": steps,
        "tiles": [
            (str(len(results["languages"])), "languages scored"),
            (f"{scores[0]['pairs']:,}", f"test pairs{' never trained on' if unseen else ''}"),
            (str(len(initialised)), "models initialised"),
            (f"{steps:,}", "training steps per model"),
            (str(results["resumed_at_step"] or "none"), "step of the SIGTERM and resume"),
            (formats.duration(results["wall_s"]), "in all stages"),
            (f"{results['peak_rss_gb']:.1f} GB", "peak memory"),
        ],
        "moments": whens,
        "shown": next(iter(cells.values())) if several else None,
    }


def standalone_figures(results: Results) -> dict[str, str]:
    """Figures as SVG files of their own, by name, for a README or a slide; they follow light and dark too.

    ``retrieval`` (means before and after), ``loss`` by step, and ``steps`` (the scores by step); those without numbers are
    left out.
    """
    drawings = {
        "retrieval": plots.means(results),
        "loss": plots.losses(results),
        "steps": next(iter(plots.scores_by_step(results).values()), None),
    }
    style = "".join(ENVIRONMENT.get_template(name).render() for name in ("page.css", "report.css"))
    svgs = {}
    for name, drawing in drawings.items():
        if drawing is not None:
            drawing.wide.set("xmlns", "http://www.w3.org/2000/svg")
            drawing.wide.insert(0, element("style", style.replace("--panel: #ffffff", "--panel: transparent")))
            svgs[name] = markup(drawing.wide)
    return svgs
