"""The report's tables in Markdown, for a paper's appendix or a page of documentation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hyperofa.report import markup

Results = Mapping[str, Any]


def render_tables(results: Results) -> str:
    """The content of ``tables.md``: scores (Table 3), paired differences, steps saved, tokens by origin (Table 2)."""
    parts = [
        f"# {results['recipe']}: tables",
        *_scores(results),
        *_paired(results),
        *_saved(results),
        *_origins(results),
    ]
    return "\n\n".join(parts) + "\n"


def _scores(results: Results) -> list[str]:
    rows = results.get("table") or []
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    columns = [
        (task, when) for task in tasks for when in ("before", "after")
        if any((row["task"], row["when"]) == (task, when) for row in rows)
    ]  # fmt: skip
    found = {(row["source"], row["rank"], row["method"], row["task"], row["when"]): row for row in rows}
    body = []
    for source, rank, method in dict.fromkeys((row["source"], row["rank"], row["method"]) for row in rows):
        own = [found.get((source, rank, method, *column)) for column in columns]
        seeds = sorted({row["seeds"] for row in own if row})
        body.append(
            [
                method,
                str(rank),
                source,
                "–".join(map(str, seeds)),
                *(markup.interval(row) if row else "" for row in own),
            ]
        )
    head = ["method", "rank", "source", "seeds", *(f"{task.upper()} {when}" for task, when in columns)]
    notes = []
    for task in tasks:
        row = next(row for row in rows if row["task"] == task)
        limit = "" if row["limit"] is None else f", the first {row['limit']} items of a language"
        chance = "" if row["chance"] is None else f", chance {row['chance']:.1f}"
        name = f"{task.upper()}{markup.tested_on(results, task)}"
        metric = markup.short(row["metric"])
        notes.append(f"{name}: {metric}, mean of {row['n_languages']} languages{limit}{chance}.")
    return ["## Scores by task", " ".join(notes), _table(head, body)] if body else []


def _paired(results: Results) -> list[str]:
    body = [[row["what"], *markup.difference(row)] for row in results.get("paired") or []]
    return ["## Paired differences", _table(["difference", "mean", "95 % interval"], body)] if body else []


def _saved(results: Results) -> list[str]:
    body = []
    for row in results.get("saved") or []:
        place, steps = f"rank {row['rank']}, seed {row['seed']}", markup.steps_reached(row)
        body.append([row["method"], place, f"{row['loss']:.3f}", f"{row['final_loss']:.3f}", steps])
    if not body:
        return []
    head = [
        "method",
        "cell",
        f"{results['saved'][0]['baseline']}'s last loss",
        "own last loss",
        "steps to it (95 % interval)",
    ]
    return ["## Steps saved at equal loss", _table(head, body)]


def _origins(results: Results) -> list[str]:
    cells = {name: cell for name, cell in markup.shown_cells(results).items() if cell.get("provenance")}
    if not cells:
        return []
    kinds = list(next(iter(cells.values()))["provenance"])
    body = [[name, *(f"{cell['provenance'].get(kind, 0):,}" for kind in kinds)] for name, cell in cells.items()]
    return ["## Where each token's row comes from", _table(["method", *kinds], body)]


def _table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *body]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)
