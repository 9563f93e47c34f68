"""The sections about the whole matrix: scores by task, scores on the way, steps saved, languages, the published figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from html import escape
from typing import Any

from hyperofa.report import figures, markup
from hyperofa.report.figures import Curve, Estimate
from hyperofa.report.svg import element

TASKS = {
    "sr-t": "SR-T, sentence retrieval",
    "sr-b": "SR-B, sentence retrieval by verse",
    "ner": "NER, named entities",
    "pos": "POS, parts of speech",
    "lm": "language modelling, bits per character (lower is better)",
}


def titled(results: Mapping[str, Any], task: str) -> str:
    """A task in words, with what its test sets are: the same task scores any pairs."""
    return TASKS.get(task, task) + markup.tested_on(results, task)


def failures(results: Mapping[str, Any]) -> str:
    """What failed and what is not finished, first of all."""
    failed, unfinished = results.get("failed") or {}, results.get("unfinished") or []
    if not failed and not unfinished:
        return ""
    items = "".join(f"<li><code>{escape(name)}</code>: {escape(words)}</li>" for name, words in failed.items())
    names = ", ".join(f"<code>{escape(name)}</code>" for name in unfinished)
    more = f"<details><summary>Those that are not finished</summary><p>{names}</p></details>" if names else ""
    words = f"{len(failed)} stages failed and {len(unfinished)} are not finished; what is below is what there is."
    return markup.section("Not complete", words, f"<ul>{items}</ul>{more}" if items else more)


def scores(results: Mapping[str, Any]) -> str:
    """Table 3: every task, source, rank and method, before and after training, with intervals over items and seeds."""
    rows = results.get("table") or []
    if not rows:
        return ""
    columns = list(dict.fromkeys((row["task"], row["when"]) for row in rows))
    columns.sort(
        key=lambda column: (list(dict.fromkeys(row["task"] for row in rows)).index(column[0]), column[1] == "after")
    )
    found = {(row["source"], row["rank"], row["method"], row["task"], row["when"]): row for row in rows}
    lines = dict.fromkeys((row["source"], row["rank"], row["method"]) for row in rows)
    body = []
    for line in lines:
        cells = [found.get((*line, *column)) for column in columns]
        words = [markup.value(cell) if cell else ("soft", "·") for cell in cells]
        body.append([escape(line[2]), str(line[1]), escape(line[0]), *words])
    head = ["method", "rank", "source", *(f"{task.upper()} {when}" for task, when in columns)]
    notes = [
        _note(titled(results, task), task, [row for row in rows if row["task"] == task])
        for task in dict.fromkeys(column[0] for column in columns)
    ]
    return markup.section(
        "Scores by task",
        "Means over languages with 95 % intervals over items and, where a method has several seeds, over those as well "
        f"(added in quadrature). {' '.join(notes)}",
        f"<figure>{markup.table(head, body)}</figure>",
    )


def _note(title: str, task: str, rows: Sequence[Mapping[str, Any]]) -> str:
    row = rows[0]
    seeds = sorted({entry["seeds"] for entry in rows})
    limit = f", the first {row['limit']} items of each" if row["limit"] else ""
    chance = f", chance {row['chance']:.1f}" if row["chance"] is not None else ""
    many = f", {' or '.join(map(str, seeds))} seeds" if seeds != [1] else ""
    words = f"{escape(title)}: {escape(markup.short(row['metric']))}, {row['n_languages']} languages{limit}"
    return f"<b>{task.upper()}</b> {words}{chance}{many}, protocol {escape(row['protocol'])}."


def heat_map(results: Mapping[str, Any]) -> str:
    """Language by method, the cell's colour by its score; one table a task."""
    cells = markup.shown_cells(results)
    tasks = dict.fromkeys(
        task for cell in cells.values() for when in markup.WHEN for task in cell.get("tasks", {}).get(when, {})
    )
    panels = [panel for task in tasks if (panel := _heat_panel(cells, task, titled(results, task)))]
    if not panels:
        return ""
    return markup.section(
        "Languages and methods",
        "One row a language; the stronger the colour, the higher the score (of the highest in its table).",
        f"<figure>{''.join(panels)}</figure>",
    )


def _heat_panel(cells: Mapping[str, Mapping[str, Any]], task: str, heading: str) -> str:
    columns = [(name, when) for when in markup.WHEN for name, cell in cells.items() if task in cell["tasks"][when]]
    entries = {column: cells[column[0]]["tasks"][column[1]][task]["languages"] for column in columns}
    codes = dict.fromkeys(code for entry in entries.values() for code in entry)
    most = max((row["value"] for entry in entries.values() for row in entry.values()), default=0.0)
    if not codes or most <= 0:
        return ""
    head = "".join(f'<th scope="col">{escape(f"{name}, {when}")}</th>' for name, when in columns)
    body = []
    for code in sorted(codes):
        row = [element("th", escape(code), scope="row")]
        for column in columns:
            score = entries[column].get(code)
            if score is None:
                row.append("<td></td>")
                continue
            form = f".{markup.digits(cells[column[0]]['tasks'][column[1]][task])}f"
            title = f"{score['value']:{form}} [{score['ci95'][0]:{form}}, {score['ci95'][1]:{form}}], n {score['n']}"
            share = f"--v:{100 * max(score['value'], 0) / most:.0f}%"
            row.append(element("td", f"{score['value']:{form}}", class_="heat", style=share, title=title))
        body.append(f"<tr>{''.join(row)}</tr>")
    table = f"<table><thead><tr><th scope=col>language</th>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"
    return f'<h3>{escape(heading)}</h3><div class="scroll">{table}</div>'


def draw_on_the_way(results: Mapping[str, Any]) -> dict[str, Callable[[float], str]]:
    """By task, what draws the figure of its scores during training at a width."""
    series = markup.methods(results)
    found: dict[str, Callable[[float], str]] = {}
    for task, points in _way(results).items():
        curves = [
            Curve(name, series[name], [(row["step"], row["mean"]) for row in rows]) for name, rows in points.items()
        ]
        spans = {
            name: [(row["step"], Estimate(row["mean"], *row["ci95"])) for row in rows] for name, rows in points.items()
        }
        unit = f"{task.upper()} {_measured(next(iter(points.values()))[-1])}"
        found[task] = partial(figures.progress, curves, spans, title=f"{task.upper()} by step", unit=unit)
    return found


def _measured(row: Mapping[str, Any]) -> str:
    """How a score on the way was measured: metric, languages, the share of each, protocol."""
    limit = f", the first {row['limit']} of each" if row.get("limit") else ""
    protocol = f", protocol {row['protocol']}" if row.get("protocol") else ""
    return f"{markup.short(row['metric'])}, mean of {row['n_languages']} languages{limit}{protocol}"


def _way(results: Mapping[str, Any]) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Task, then method, to the scores during training."""
    cells = {name: cell for name, cell in markup.shown_cells(results).items() if cell.get("way")}
    return {
        task: {name: cell["way"]["scores"][task] for name, cell in cells.items() if cell["way"]["scores"].get(task)}
        for task in dict.fromkeys(task for cell in cells.values() for task in cell["way"]["scores"])
    }


def on_the_way(results: Mapping[str, Any]) -> str:
    """Figure 2, second half: the scores during training, by method."""
    panels = []
    draws = draw_on_the_way(results)
    for task, points in _way(results).items():
        draw = draws[task]
        marks = sorted({row["step"] for rows in points.values() for row in rows})
        table = markup.table(
            ["method", *(f"step {step}" for step in marks)],
            [[escape(name), *_at({row["step"]: row for row in rows}, marks)] for name, rows in points.items()],
        )
        measured = escape(_measured(next(iter(points.values()))[-1]))
        title = f"<h3>{escape(titled(results, task))}</h3><p class=soft>{measured}.</p>"
        panels.append(f"{title}{markup.responsive(draw)}{table}")
    if not panels:
        return ""
    words = (
        "Scored in training; bars are 95 % intervals. Step 0 is the score before training, drawn where it was measured on the "
        "same items in the same way."
    )
    return markup.section("Scores against steps", words, f"<figure>{''.join(panels)}</figure>")


def _at(points: Mapping[int, Mapping[str, Any]], marks: Sequence[int]) -> list[str]:
    return [f"{points[mark]['mean']:.{markup.digits(points[mark])}f}" if mark in points else "" for mark in marks]


def saved(results: Mapping[str, Any]) -> str:
    """Steps and hours until a method's loss is where the baseline's ends."""
    rows = results.get("saved") or []
    if not rows:
        return ""
    body = []
    for row in rows:
        share = "never" if row["share"] is None else f"{100 * (1 - row['share']):.0f} %"
        hours = "" if row["hours"] is None else f"{row['hours']:.2f} of {row['of_hours']:.2f}"
        place = f"rank {row['rank']}, seed {row['seed']}, {escape(row['source'])}"
        body.append(
            [
                escape(row["method"]),
                place,
                f"{row['loss']:.3f}",
                f"{row['final_loss']:.3f}",
                markup.steps_reached(row),
                share,
                hours,
            ]
        )
    baseline, window = rows[0]["baseline"], rows[0]["window"]
    head = ["method", "cell", f"{baseline}'s last loss", "own last loss", "steps to it", "steps saved", "hours to it"]
    return markup.section(
        "Steps saved at equal loss",
        f"The first step at which the loss is no higher than {escape(baseline)}'s at its end, with its 95 % interval over the "
        f"draw of batches. The loss of a step is that of a line through {window} steps around it, since batches differ. "
        "Hours are those of the steps alone.",
        f"<figure>{markup.table(head, body)}</figure>",
    )


def published(results: Mapping[str, Any]) -> str:
    """The paper's means before training, beside ours where source and rank are the same."""
    rows = results.get("published") or []
    if not rows:
        return ""
    ours = {
        (row["source"], row["rank"], row["method"], row["task"]): row
        for row in results["table"]
        if row["when"] == "before"
    }
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    values = {(row["model"], row["method"], row["task"]): row for row in rows}
    body = []
    for model, method in dict.fromkeys((row["model"], row["method"]) for row in rows):
        cells: list[str] = []
        for task in tasks:
            row = values.get((model, method, task))
            place = row["ours"] if row else None
            same = place and ours.get((place["source"], place["rank"], place["method"], task))
            cells += [f"{row['value']:.1f}" if row else "", markup.value(same) if same else ""]
        body.append([escape(model), escape(method), *cells])
    head = ["published", "method", *(words for task in tasks for words in (f"{task.upper()} published", "here"))]
    return markup.section(
        "The published figures",
        "Before training, one seed, no intervals, over other sets of languages (mono: RoBERTa-base, multi: XLM-R-base, then "
        "the rank). They are context; &ldquo;here&rdquo; is filled where this experiment has the same source, rank and "
        "method (HyperOFA: with the preset paper).",
        f"<details><summary>The published table</summary>{markup.table(head, body)}</details>",
    )


def differences(results: Mapping[str, Any]) -> str:
    """What of the published experiment is different here; the document explains each."""
    rows = results.get("differences") or []
    if not rows:
        return ""
    body: list[list[str | tuple[str, str]]] = [
        [
            escape(row["what"]),
            ("words", escape(row["paper"])),
            ("words", escape(row["here"])),
            ("words", f"<code>docs/differences.md#{escape(row['anchor'])}</code>"),
        ]
        for row in rows
    ]
    return markup.section(
        "What differs from the paper",
        "Each with the place where it is explained.",
        markup.table(["what", "the paper", "here", "explained in"], body),
    )
