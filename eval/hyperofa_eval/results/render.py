"""A comparison as Markdown, CSV and one self-contained HTML page with a heat map and bars."""

from __future__ import annotations

import csv
import html
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Comparison = Mapping[str, Any]
STYLE = Path(__file__).with_name("compare.css")


def markdown(comparison: Comparison) -> str:
    """Tables of values per language, means, differences and groups."""
    parts = []
    for task, entry in comparison["tasks"].items():
        runs = comparison["runs"]
        parts.append(f"## {task}: {entry['metric']} ({entry['unit']})\n")
        rows = [
            [row["language"], *(_cell(row["values"][run], row["ci95"][run]) for run in runs)] for row in entry["rows"]
        ]
        means = [_cell(entry["means"][run]["mean"], entry["means"][run]["ci95"]) for run in runs]
        rows.append([f"**mean of {len(entry['in_mean'])}**", *means])
        parts.append(_table(["language", *runs], rows))
        parts.append("\n" + "\n".join(f"- {note}" for note in notes(entry)))
        if entry["against_first"]:
            parts.append(f"\nAgainst {runs[0]}, paired 95 % intervals:\n")
            parts.append(_table(["run", "group", "difference", "languages"], differences(entry)))
        if "published" in entry:
            parts.append(f"\n{entry['published']['note']}\n")
            parts.append(_table(*published_table(entry)))
    return "\n".join(parts) + "\n"


def table_csv(comparison: Comparison) -> str:
    """One line per (task, language, run): value, interval, difference from the first run and its interval.

    ``note`` holds the run's own value of each setting that the runs do not share. Published means, where asked for, are
    lines of the language ``mean`` and the run ``published MODEL METHOD``; they have no interval.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    columns = (
        "task metric language script resource_class run value low high difference difference_low difference_high note"
    )
    writer.writerow(columns.split())
    for task, entry in comparison["tasks"].items():
        for row in entry["rows"]:
            for run in comparison["runs"]:
                gap = row["difference"].get(run)
                cells = ["", "", ""] if gap is None else [gap["value"], *gap["ci95"]]
                place = [task, entry["metric"], row["language"], row["script"], row["resource_class"], run]
                own = "; ".join(f"{name}={values[run]}" for name, values in entry["settings_differ"].items())
                writer.writerow([*place, row["values"][run], *row["ci95"][run], *cells, own])
        for model, methods in entry.get("published", {}).get("means", {}).items():
            for method, value in methods.items():
                place = [task, "", "mean", "", "", f"published {model} {method}"]
                writer.writerow([*place, value, *[""] * 5, entry["published"]["note"]])
    return out.getvalue()


def page(comparison: Comparison) -> str:
    """The HTML page: per task a heat map (language x run) and bars of the means with intervals."""
    body = []
    for task, entry in comparison["tasks"].items():
        body.append(f"<section><h2>{_e(task)}</h2><p>{_e(entry['metric'])}, {_e(entry['unit'])}, 95 % intervals</p>")
        body.append(_bars({run: entry["means"][run] for run in comparison["runs"]}))
        body.append("<ul>" + "".join(f"<li>{_e(note)}</li>" for note in notes(entry)) + "</ul>")
        body.append(_heat_map(comparison["runs"], entry))
        if entry["against_first"]:
            body.append(f"<h3>Against {_e(comparison['runs'][0])} (paired)</h3>")
            body.append(_html_table(["run", "group", "difference", "languages"], differences(entry)))
        if "published" in entry:
            body.append(f"<h3>Published</h3><p>{_e(entry['published']['note'])}</p>")
            body.append(_html_table(*published_table(entry)))
        body.append("</section>")
    style = STYLE.read_text(encoding="utf-8")
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    title = "Comparison: " + _e(", ".join(comparison["runs"]))
    return (
        f'<!doctype html>\n<html lang="en"><head>{head}<title>{title}</title><style>\n{style}</style></head>'
        f"<body><main><h1>{title}</h1>\n{''.join(body)}\n</main></body></html>\n"
    )


def notes(entry: Mapping[str, Any]) -> list[str]:
    """What a reader of the table must know: the mean's languages, those left out, settings that are not the same."""
    found = [f"mean of {len(entry['in_mean'])}: {' '.join(entry['in_mean'])}"]
    for code, lacking in entry["left_out"].items():
        found.append(f"left out: {code}, not in {', '.join(lacking)}")
    for name, values in entry["settings_differ"].items():
        found.append(f"not the same: {name} " + ", ".join(f"{value} in {run}" for run, value in values.items()))
    return found


def differences(entry: Mapping[str, Any]) -> list[list[str]]:
    """Rows (run, group, difference with its interval, languages): all, then by resource class and script."""
    rows = []
    for run, gap in entry["against_first"].items():
        score = f"{gap['wins']} won, {gap['losses']} lost, {gap['undecided']} undecided"
        rows.append([run, "all", _signed(gap["difference"]), score])
        for title in ("by_resource_class", "by_script"):
            for name, group in gap[title].items():
                rows.append([run, name, _signed(group), " ".join(group["languages"])])
    return rows


def _signed(group: Mapping[str, Any]) -> str:
    low, high = group["ci95"]
    return f"{group['mean']:+.2f} [{low:+.2f}, {high:+.2f}]"


def _cell(value: float, bounds: Sequence[float]) -> str:
    return f"{value:.1f} [{bounds[0]:.1f}, {bounds[1]:.1f}]"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def published_table(entry: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Columns and rows of the published means of one task: a model a row, a method a column."""
    found = entry["published"]["means"]
    columns = list(next(iter(found.values())))
    return ["model", *columns], [[model, *(f"{row[name]:.1f}" for name in columns)] for model, row in found.items()]


def _heat_map(runs: Sequence[str], entry: Mapping[str, Any]) -> str:
    everything = [value for row in entry["rows"] for value in row["values"].values()]
    low, high = min(everything), max(everything)
    lines = []
    for row in entry["rows"]:
        cells = []
        for run in runs:
            value = row["values"][run]
            share = 0.5 if high == low else (value - low) / (high - low)
            share = share if entry["higher_is_better"] else 1 - share
            bounds = row["ci95"][run]
            hint = f"{row['language']}, {run}: {_cell(value, bounds)}"
            cells.append(f'<td class="heat" style="--share:{share:.3f}" title="{_e(hint)}">{value:.1f}</td>')
        lines.append(f"<tr><th>{_e(row['language'])}</th>{''.join(cells)}</tr>")
    header = "".join(f"<th>{_e(run)}</th>" for run in runs)
    return f'<div class="wide"><table><tr><th>language</th>{header}</tr>{"".join(lines)}</table></div>'


def _bars(means: Mapping[str, Mapping[str, Any]]) -> str:
    top = max([mean["ci95"][1] for mean in means.values()] + [1e-9])
    lines = []
    for i, (run, mean) in enumerate(means.items()):
        y = 34 * i
        scale = 400 / top
        low, high = (scale * max(bound, 0) for bound in mean["ci95"])
        lines.append(
            f'<text x="0" y="{y + 12}">{_e(run)}</text>'
            f'<rect class="bar" x="0" y="{y + 16}" width="{scale * max(mean["mean"], 0):.1f}" height="12"/>'
            f'<line class="range" x1="{low:.1f}" x2="{high:.1f}" y1="{y + 22}" y2="{y + 22}"/>'
            f'<text x="{max(high, scale * mean["mean"]) + 6:.1f}" y="{y + 26}">{mean["mean"]:.1f}</text>'
        )
    height = 34 * len(means)
    return f'<svg viewBox="0 0 460 {height}" role="img" aria-label="means with 95 % intervals">{"".join(lines)}</svg>'


def _html_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    header = "".join(f"<th>{_e(column)}</th>" for column in columns)
    lines = "".join("<tr>" + "".join(f"<td>{_e(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table><tr>{header}</tr>{lines}</table></div>'


def _e(text: str) -> str:
    return html.escape(text, quote=True)
