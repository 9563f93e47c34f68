"""A comparison as Markdown, CSV and one self-contained HTML page with a heat map and bars."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from hyperofa_eval.results.pages import Heat, Table, decimals_of, environment, interval, markdown_table, number

Comparison = Mapping[str, Any]
DIFFERENCES = ("run", "group", "difference", "languages")
"""The columns of :func:`differences`."""


def markdown(comparison: Comparison) -> str:
    """Tables of values per language, means, differences and groups."""
    parts = []
    for task, entry in comparison["tasks"].items():
        runs, digits = comparison["runs"], decimals_of(entry["unit"])
        parts.append(f"## {task}: {entry['metric']} ({entry['unit']})\n")
        rows = [
            [r["language"], *(_cell(r["values"][run], r["ci95"][run], digits) for run in runs)] for r in entry["rows"]
        ]
        means = [_cell(entry["means"][run]["mean"], entry["means"][run]["ci95"], digits) for run in runs]
        rows.append([f"**mean of {len(entry['in_mean'])}**", *means])
        parts.append(markdown_table(["language", *runs], rows))
        parts.append("\n" + "\n".join(f"- {note}" for note in notes(entry)))
        if entry["against_first"]:
            parts.append(f"\nAgainst {runs[0]}, paired 95 % intervals:\n")
            parts.append(markdown_table(DIFFERENCES, differences(entry)))
        if "published" in entry:
            parts.append(f"\n{entry['published']['note']}\n")
            parts.append(markdown_table(*published_table(entry)))
    return "\n".join(parts) + "\n"


def table_csv(comparison: Comparison) -> str:
    """One line per (task, language, run): value, interval, difference from the first run and its interval.

    ``note`` holds the run's own value of each setting that the runs do not share. Published means, where asked for, are
    lines of the language ``mean`` and the run ``published MODEL METHOD``; they have no interval.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    columns = "task metric language script resource_class run value low high"
    writer.writerow([*columns.split(), "difference", "difference_low", "difference_high", "note"])
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
    """The HTML page: per task bars of the means with intervals, and a heat map (language x run)."""
    runs = comparison["runs"]
    tasks = [
        {
            "name": name,
            "metric": entry["metric"],
            "unit": entry["unit"],
            "digits": decimals_of(entry["unit"]),
            "bars": _bars({run: entry["means"][run] for run in runs}),
            "notes": notes(entry),
            "heat_map": _heat_map(runs, entry),
            "differences": Table(DIFFERENCES, differences(entry)),
            "published": Table(*published_table(entry)) if "published" in entry else None,
            "published_note": entry.get("published", {}).get("note"),
        }
        for name, entry in comparison["tasks"].items()
    ]
    return environment().get_template("compare.html").render(runs=runs, tasks=tasks)


def notes(entry: Mapping[str, Any]) -> list[str]:
    """What a reader of the table must know: the mean's languages, those left out, settings that are not the same."""
    lines = [f"mean of {len(entry['in_mean'])}: {' '.join(entry['in_mean'])}"]
    for code, runs in entry["left_out"].items():
        lines.append(f"left out: {code}, not in {', '.join(runs)}")
    for name, values in entry["settings_differ"].items():
        lines.append(f"not the same: {name} " + ", ".join(f"{value} in {run}" for run, value in values.items()))
    return lines


def differences(entry: Mapping[str, Any]) -> list[list[str]]:
    """Rows (run, group, difference with its interval, languages): all, then by resource class and script."""
    rows, digits = [], max(decimals_of(entry["unit"]), 2)
    for run, gap in entry["against_first"].items():
        score = f"{gap['wins']} won, {gap['losses']} lost, {gap['undecided']} undecided"
        rows.append([run, "all", _signed(gap["difference"], digits), score])
        for title in ("by_resource_class", "by_script"):
            for name, group in gap[title].items():
                rows.append([run, name, _signed(group, digits), " ".join(group["languages"])])
    return rows


def _signed(group: Mapping[str, Any], digits: int) -> str:
    return f"{group['mean']:+.{digits}f} {interval(group['ci95'], digits, '+')}"


def _cell(value: float, bounds: Sequence[float], digits: int) -> str:
    return f"{number(value, digits)} {interval(bounds, digits)}"


def published_table(entry: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Columns and rows of the published means of one task: a model a row, a method a column."""
    means = entry["published"]["means"]
    columns = list(next(iter(means.values())))
    return ["model", *columns], [[model, *(f"{row[name]:.1f}" for name in columns)] for model, row in means.items()]


def _heat_map(runs: Sequence[str], entry: Mapping[str, Any]) -> Table:
    everything = [value for row in entry["rows"] for value in row["values"].values()]
    low, high, digits = min(everything), max(everything), decimals_of(entry["unit"])

    def cell(row: Mapping[str, Any], run: str) -> Heat:
        value = row["values"][run]
        share = 0.5 if high == low else (value - low) / (high - low)
        hint = f"{row['language']}, {run}: {_cell(value, row['ci95'][run], digits)}"
        return Heat(number(value, digits), share if entry["higher_is_better"] else 1 - share, hint)

    rows = [[row["language"], *(cell(row, run) for run in runs)] for row in entry["rows"]]
    return Table(["language", *runs], rows)


def _bars(means: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """For each run its mean, and where that and the ends of its interval lie on an axis of 400 pixels."""
    scale = 400 / max([mean["ci95"][1] for mean in means.values()] + [1e-9])
    places = {run: [scale * max(value, 0) for value in (mean["mean"], *mean["ci95"])] for run, mean in means.items()}
    return [
        {"run": run, "mean": means[run]["mean"], "mean_x": mean, "low_x": low, "high_x": high}
        for run, (mean, low, high) in places.items()
    ]
