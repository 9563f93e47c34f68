"""What every section of the report is made of: headings, tables, responsive figures, the order and colour of methods."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

from hyperofa.report import figures
from hyperofa.report.figures import Estimate
from hyperofa.report.svg import element

METRIC = "top10"
WHEN = {"before": "Before training", "after": "After training"}
BASELINE = "random"
WIDE, NARROW, PANEL = 900.0, 330.0, 430.0


def methods(results: Mapping[str, Any]) -> dict[str, int]:
    """The methods in the recipe's order, each with its series: 0 (grey) for the random baseline, then from 1."""
    names = dict.fromkeys([*shown_cells(results), *(cell["method"] for cell in results["cells"].values())])
    others = iter(range(1, 1 + len(names)))
    return {name: 0 if name == BASELINE else next(others) for name in names}


def estimate(score: Mapping[str, Any]) -> Estimate:
    """A score of the results as value and interval."""
    low, high = score["ci95"]
    return Estimate(score.get("mean", score.get("value")), low, high)


def shown_cells(results: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The cell that stands for each method: the one that the results name, else the first of it."""
    found: dict[str, Mapping[str, Any]] = {}
    names = results.get("shown") or results["cells"]
    for name in names:
        cell = results["cells"][name]
        found.setdefault(cell["method"], cell)
    return found


def scored_cells(results: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Of the cells shown, those with a retrieval score at every moment of :func:`moments`.

    Where the first task is no retrieval there are none; the tables by task have its scores.
    """
    whens = moments(results)
    return {
        name: cell
        for name, cell in shown_cells(results).items()
        if whens and all(cell[when] and METRIC in cell[when]["scores"] for when in whens)
    }


def moments(results: Mapping[str, Any]) -> dict[str, str]:
    """The moments at which any cell that is shown has a score, with their titles."""
    cells = shown_cells(results).values()
    return {when: title for when, title in WHEN.items() if any(cell[when] for cell in cells)}


def metrics(results: Mapping[str, Any]) -> list[str]:
    """The metrics of the main task, such as top1, top5 and top10."""
    cells = scored_cells(results).values()
    return list(next(iter(cells))[next(iter(moments(results)))]["scores"]) if cells else []


def tested_on(results: Mapping[str, Any], task: str) -> str:
    """What a task's test sets are, in brackets after its name; empty where the results do not say."""
    words = (results.get("tested_on") or {}).get(task)
    return f" ({words})" if words else ""


def short(metric: str) -> str:
    """A metric as it is written in the page."""
    return metric.replace("top", "top-").replace("bits_per_character", "bits per character")


def digits(score: Mapping[str, Any]) -> int:
    """Decimals of a score: one of a percentage, three of what is no percentage, such as bits per character."""
    return 3 if score.get("metric") == "bits_per_character" or score.get("unit", "percent") != "percent" else 1


def difference(row: Mapping[str, Any]) -> tuple[str, str]:
    """A paired difference with its unit, and its interval."""
    form, unit = f"+.{digits(row)}f", row.get("unit", "percent")
    low, high = row["ci95"]
    points = "points" if unit == "percent" else unit
    return f"{row['difference']:{form}} {points}", f"[{low:{form}}, {high:{form}}]"


def interval(score: Mapping[str, Any]) -> str:
    """A mean with its interval, as text."""
    (low, high), form = score["ci95"], f".{digits(score)}f"
    return f"{score['mean']:{form}} ({low:{form}}–{high:{form}})"


def steps_reached(row: Mapping[str, Any]) -> str:
    """The step at which a loss was reached, of how many, with its interval."""
    if row["steps"] is None:
        return "not reached"
    low, high = (f"{step:,}" if step is not None else "never" for step in row["ci95"])
    return f"{row['steps']:,} of {row['of_steps']:,} ({low}–{high})"


def value(score: Mapping[str, Any]) -> str:
    """A score with its interval."""
    found, form = estimate(score), f".{digits(score)}f"
    return f"{found.value:{form}} <small>[{found.low:{form}}, {found.high:{form}}]</small>"


def keys(series: Mapping[str, int]) -> str:
    """The legend of methods, each with its series."""
    return "".join(figures.key(number, name) for name, number in series.items())


def responsive(draw: Callable[[float], str], wide: float = WIDE) -> str:
    """The figure drawn for a wide and for a narrow screen; the style sheet shows one of them."""
    return f'<div class="wide">{draw(wide)}</div><div class="narrow">{draw(NARROW)}</div>'


def section(title: str, words: str, body: str) -> str:
    """A section with a heading and, where there are any, introductory words (markup)."""
    return f"<section><h2>{escape(title)}</h2>{f'<p class=soft>{words}</p>' if words else ''}{body}</section>"


def table(head: Sequence[str], rows: Sequence[Sequence[str | tuple[str, str]]]) -> str:
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
