"""The last sections of the report: the data, the commands that were run, every number."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from html import escape
from typing import Any

from hyperofa.report import markup


def data(results: Mapping[str, Any]) -> str:
    """How much text each language has, and what was kept out of it."""
    split, unscored = results["split"], results["languages_unscored"]
    if split is None:
        return ""
    rows = []
    tested = split.get("test", {})
    for code, count in sorted(split["train"].items()):
        scored = "scored" if code in results["languages"] else "trained on"
        role = unscored.get(code) or ("pivot: trained on, not scored" if code in results["pivots"] else scored)
        more = [f"{tested.get(code, 0):,}"] if tested else [f"{split['left_out'].get(code, 0):,}"]
        rows.append([code, f"{count:,}", *more, ("words", escape(role))])
    head = (
        ["language", "training messages", "test pairs", "use"] if tested else ["language", "lines", "left out", "use"]
    )
    if tested:
        messages = split["messages"]
        words = (
            f"{messages['train']:,} English messages are for training and {messages['test']:,} are held out. A message and "
            "its near-duplicates are on one side in every language; word vectors, tokenizer and training see only the "
            "training side."
        )
    else:
        words = (
            f"{sum(split['train'].values()):,} lines of training text, {split['rows']:,} rows of it parallel. Lines that are in "
            "a test set of their language, up to case, digits, punctuation and spacing, were left out before word vectors, "
            "tokenizer and training."
        )
        if given := split.get("as_it_is"):
            words += f" Text of {escape(', '.join(given))} that the recipe names as a corpus went to training as it is."
    return markup.section(
        "Data", words, f"<details><summary>Text by language</summary>{markup.table(head, rows)}</details>"
    )


def done(results: Mapping[str, Any]) -> str:
    """The commands, with time and memory."""
    items = [
        f'<li>{escape(stage["title"])} <span class="soft">{_cost(stage)}</span>'
        f"<pre>{escape(stage['command'])}</pre></li>"
        for stage in results["stages"]
    ]
    machine = results["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    return markup.section(
        "What was done",
        f"{len(items)} ordinary commands, in this order, on {machine['cores']} cores ({escape(machine['system'])}). "
        f"{escape(versions)}.",
        f"<details><summary>The commands, with time and peak memory</summary>"
        f'<ol class="stages">{"".join(items)}</ol></details>',
    )


def _cost(stage: Mapping[str, Any]) -> str:
    parts = [
        f"{stage[key]:{form}}" for key, form in (("wall_s", ".1f"), ("peak_rss_gb", ".2f")) if stage[key] is not None
    ]
    return ", ".join(f"{part} {unit}" for part, unit in zip(parts, ("s", "GB"), strict=False))


def numbers(results: Mapping[str, Any]) -> str:
    """The results as a download, and every score as a table."""
    whens, cells = markup.moments(results), markup.scored_cells(results)
    tables = []
    for metric in markup.metrics(results):
        head = ["language", "n", "chance", *(f"{name}, {when}" for name in cells for when in whens)]
        body = []
        for code in results["languages"]:
            rows = [cells[name][when]["languages"][code] for name in cells for when in whens]
            words = [f"{escape(rows[0]['name'])} ({code})", str(rows[0]["n"]), f"{rows[0][metric]['chance']:.1f}"]
            body.append([*words, *(markup.value(row[metric]) for row in rows)])
        tables.append(f"<h3>{markup.short(metric)}, % with 95 % interval</h3>{markup.table(head, body)}")
    encoded = base64.b64encode(json.dumps(results, ensure_ascii=False, indent=1).encode()).decode()
    link = f'<a download="results.json" href="data:application/json;base64,{encoded}">Download results.json</a>'
    return markup.section(
        "Every number",
        "",
        f"<p>{link}: all of the above as data, with each step's loss. The same JSON is in this page's source.</p>"
        f"<details><summary>Retrieval by language, method and cut-off</summary>{''.join(tables)}</details>",
    )
