"""The report's tables as plain data, and ``tables.md``: some of them in Markdown, for a paper's appendix or a page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import Any

from hyperofa.report import formats
from hyperofa.report.cells import WHEN, Results, metrics, moments, scored_cells, shown_cells, training_losses
from hyperofa.report.figures import moving_mean
from hyperofa.report.formats import estimate
from hyperofa_eval.results.pages import Cell, Estimate, Heat, Table, markdown_table

PROVENANCE = {
    "special": "special tokens, by role",
    "copied": "copied from the source",
    "predicted": "predicted by the method",
    "drawn": "drawn at random",
    "padding": "padding rows",
}
SMOOTHING = 10
"""Steps in the moving mean of the losses."""


def render_tables(results: Results) -> str:
    """The content of ``tables.md``: scores (Table 3), paired differences, steps saved, tokens by origin (Table 2)."""
    notes = " ".join(f"{words}." for words in task_notes(results).values())
    parts = [f"# {results['recipe']}: tables"]
    for title, words, table in (
        ("Scores by task", [notes], scores(results)),
        ("Languages that are replayed, or outside the mean", [], beside(results)),
        ("Paired differences", [], paired(results)),
        ("What the vocabulary saves", [], vocabulary(results)),
        ("What was read in training", [], reading(results)),
        ("Steps saved at equal loss", [], saved(results)),
        ("Where each token's row comes from", [], provenance(results)),
        ("Beside the source with its own tokenizer, on text kept out, before training", [], verdicts(results)),
    ):
        if table:
            parts += [f"## {title}", *words, markdown_table(table.head, [list(map(_text, row)) for row in table.rows])]
    return "\n\n".join(parts) + "\n"


def _text(cell: Cell) -> str:
    return formats.interval(cell) if isinstance(cell, Estimate) else str(cell or "")


def means(results: Results) -> Table:
    """Retrieval by method at each moment, with every cut-off."""
    columns = list(product(moments(results).items(), metrics(results)))
    head = ["method", *(f"{title}, {formats.short(cut)}" for (_, title), cut in columns)]
    cells = scored_cells(results).items()
    return Table(head, [[n, *(estimate(cell[when]["scores"][cut]) for (when, _), cut in columns)] for n, cell in cells])


def paired(results: Results) -> Table:
    """The paired differences, and whether their intervals leave out 0."""
    rows = results.get("paired") or []
    head = ["difference", "mean", "paired 95 % interval", "leaves out 0"]
    clear = ["yes" if row["ci95"][0] > 0 or row["ci95"][1] < 0 else "no" for row in rows]
    return Table(head, [[row["what"], *formats.difference(row), c] for row, c in zip(rows, clear, strict=True)])


def scores(results: Results) -> Table:
    """Table 3: every task, source, rank and method, before and after training, with intervals over items and seeds."""
    rows = results.get("table") or []
    by_place = {(row["source"], row["rank"], row["method"], row["task"], row["when"]): row for row in rows}
    scored = {(row["task"], row["when"]) for row in rows}
    columns = [column for column in product(_unique(rows, "task"), WHEN) if column in scored]
    body: list[list[Cell]] = []
    for source, rank, method in dict.fromkeys((row["source"], row["rank"], row["method"]) for row in rows):
        own = [by_place.get((source, rank, method, *column)) for column in columns]
        seeds = sorted({row["seeds"] for row in own if row})
        beside = any(row.get("own_tokenizer") for row in own if row) and rank != "full"
        line = [method, f"beside {rank}" if beside else str(rank), source, "–".join(map(str, seeds))]
        body.append([*line, *(estimate(row) if row else None for row in own)])
    return Table(["method", "rank", "source", "seeds", *(f"{task.upper()} {when}" for task, when in columns)], body)


def beside(results: Results) -> Table:
    """Scores of languages that have no part in a mean, such as the replayed English, by method and moment."""
    tasks = {name: cell["tasks"] for name, cell in shown_cells(results).items() if cell.get("tasks")}
    estimates: dict[tuple[str, str, str], dict[str, Estimate]] = {}
    for name, when in product(tasks, WHEN):
        for task, entry in tasks[name][when].items():
            for code in [code for code in entry["languages"] if code not in entry.get("in_mean", entry["languages"])]:
                score = {"metric": entry["metric"], "unit": entry["unit"], **entry["languages"][code]}
                estimates.setdefault((task, code, when), {})[name] = estimate(score)
    places = product(dict.fromkeys((task, code) for task, code, _ in estimates), WHEN)
    columns = [(*place, when) for place, when in places if (*place, when) in estimates]
    names = [name for name in tasks if any(name in scores for scores in estimates.values())]
    body: list[list[Cell]] = [[name, *(estimates[column].get(name) for column in columns)] for name in names]
    return Table(["method", *(f"{task.upper()}, {code}, {when}" for task, code, when in columns)], body)


def vocabulary(results: Results) -> Table:
    """By language, how finely the source's tokenizer and the target's cut it, and what the same text takes."""
    rows = results.get("vocabulary") or []
    several = len({row["source"] for row in rows}) > 1
    head = [
        "language",
        "characters a token, own tokenizer",
        "extended",
        "tokens for the same text",
        "operations for it",
    ]
    body: list[list[Cell]] = []
    for row in rows:
        name = row["language"] + (" (replayed)" if row["replayed"] else "") + (f", {row['source']}" if several else "")
        shares = [row["tokens"], row["operations"]]
        percent = ["" if share is None else f"{100 * share:.0f} %" for share in shares]
        body.append([name, f"{row['own']:.2f}", f"{row['extended']:.2f}", *percent])
    return Table(head, body)


def reading(results: Results) -> Table:
    """What each method read in training, and how fast: in characters, which do not depend on the tokenizer."""
    cells = {name: cell["read"] for name, cell in shown_cells(results).items() if cell.get("read")}
    head = ["method", "steps", "tokens", "characters", "characters a second", "hours"]
    body: list[list[Cell]] = []
    for name, read in cells.items():
        speed = read["characters_per_second"]
        numbers = [f"{read[key]:,}" for key in ("steps", "tokens", "characters")]
        body.append([name, *numbers, f"{speed:,.0f}" if speed else "", f"{read['seconds'] / 3600:.2f}"])
    return Table(head, body)


def task_notes(results: Results) -> dict[str, str]:
    """By task, what its scores are: the test sets, metric, languages, items, chance, seeds and protocol."""
    table = results.get("table") or []
    notes = {}
    for task in _unique(table, "task"):
        rows = [row for row in table if row["task"] == task]
        row, seeds = rows[0], sorted(_unique(rows, "seeds"))
        parts = [f"{formats.titled(results, task)}: {formats.short(row['metric'])}"]
        parts += [f"mean of {row['n_languages']} languages"]
        parts += [f"the first {row['limit']} items of each"] if row["limit"] else []
        parts += [f"chance {row['chance']:.1f}"] if row["chance"] is not None else []
        parts += [f"{' or '.join(map(str, seeds))} seeds"] if seeds != [1] else []
        notes[task] = ", ".join([*parts, f"protocol {row['protocol']}"])
    return notes


def _unique(rows: Iterable[Mapping[str, Any]], key: str) -> list[Any]:
    return list(dict.fromkeys(row[key] for row in rows))


def heat_maps(results: Results) -> dict[str, Table]:
    """By task in words, language by method; a cell is the stronger, the nearer its score is to the table's highest."""
    cells = shown_cells(results)
    by_moment = [cell.get("tasks", {}).get(when, {}) for cell in cells.values() for when in WHEN]
    tasks = dict.fromkeys(task for scored in by_moment for task in scored)
    tables = {formats.titled(results, task): _heat_map(cells, task) for task in tasks}
    return {title: table for title, table in tables.items() if table}


def _heat_map(cells: Mapping[str, Mapping[str, Any]], task: str) -> Table:
    entries = {
        f"{name}, {when}": cell["tasks"][when][task]
        for when, (name, cell) in product(WHEN, cells.items())
        if task in cell["tasks"][when]
    }
    codes = sorted({code for entry in entries.values() for code in entry["languages"]})
    most = max((row["value"] for entry in entries.values() for row in entry["languages"].values()), default=0.0)

    def cell(entry: Mapping[str, Any], code: str) -> Heat | str:
        if code not in entry["languages"]:
            return ""
        score, form = entry["languages"][code], f".{formats.digits(entry)}f"
        (low, high), value = score["ci95"], f"{score['value']:{form}}"
        return Heat(value, max(score["value"], 0) / most, f"{value} [{low:{form}}, {high:{form}}], n {score['n']}")

    rows = [[code, *(cell(entry, code) for entry in entries.values())] for code in codes] if most > 0 else []
    return Table(["language", *entries], rows)


def provenance(results: Results) -> Table:
    """Table 2: how many rows came about in which way, by method."""
    counts = {name: cell["provenance"] for name, cell in shown_cells(results).items() if cell.get("provenance")}
    kinds = [kind for kind in PROVENANCE if any(count[kind] for count in counts.values())]
    numbers = {name: [*(count[kind] for kind in kinds), sum(count.values())] for name, count in counts.items()}
    return Table(["method", *kinds, "all"], [[name, *(f"{n:,}" for n in own)] for name, own in numbers.items()])


def verdicts(results: Results) -> Table:
    """The line of each initialised model that was measured beside its source."""
    lines = {name: cell.get("verdict") for name, cell in results["cells"].items()}
    return Table(["model", "verdict"], [[name, line] for name, line in lines.items() if line])


def losses(results: Results) -> Table:
    """The smoothed loss of each method at the start, the end and three steps between."""
    ends = {name: dict(moving_mean(loss, SMOOTHING)) for name, loss in training_losses(results).items()}
    last = min((max(points) for points in ends.values()), default=0)
    marks = sorted({max(1, round(last * share)) for share in (0.0, 0.25, 0.5, 0.75, 1.0)})
    rows = [[name, *(f"{points.get(step, float('nan')):.3f}" for step in marks)] for name, points in ends.items()]
    return Table(["method", *(f"step {step}" for step in marks)], rows)


def scores_by_step(scores: Mapping[str, Sequence[Mapping[str, Any]]]) -> Table:
    """The scores of one task during training, by method and step; of replayed languages, which are in no mean, a row each."""
    marks = sorted({row["step"] for rows in scores.values() for row in rows})
    body = []
    for name, rows in scores.items():
        values = {row["step"]: f"{row['mean']:.{formats.digits(row)}f}" for row in rows}
        body.append([name, *(values.get(step, "") for step in marks)])
        for code in sorted({code for row in rows for code in row.get("beside", {})}):
            beside = [
                (row["step"], row["beside"][code], formats.digits(row)) for row in rows if code in row.get("beside", {})
            ]
            own = {step: f"{score['value']:.{digits}f}" for step, score, digits in beside}
            body.append([f"{name}, {code}", *(own.get(step, "") for step in marks)])
    return Table(["method", *(f"step {step}" for step in marks)], body)


def saved(results: Results) -> Table:
    """Steps and hours until a method's loss is where the baseline's ends."""
    rows = results.get("saved") or []
    head = ["method", "cell", f"{rows[0]['baseline'] if rows else ''}'s last loss", "own last loss"]
    body = []
    for row in rows:
        place = f"rank {row['rank']}, seed {row['seed']}, {row['source']}"
        steps = "never" if row["share"] is None else f"{100 * (1 - row['share']):.0f} %"
        hours = "" if row["hours"] is None else f"{row['hours']:.2f} of {row['of_hours']:.2f}"
        losses_at_end = [f"{row['loss']:.3f}", f"{row['final_loss']:.3f}"]
        body.append([row["method"], place, *losses_at_end, formats.steps_reached(row), steps, hours])
    return Table([*head, "steps to it (95 % interval)", "steps saved", "hours to it"], body)


def published(results: Results) -> Table:
    """The paper's means before training, beside ours where source and rank are the same."""
    rows = results.get("published") or []
    tasks = _unique(rows, "task")
    values = {(row["model"], row["method"], row["task"]): row for row in rows}
    places = ("source", "rank", "method", "task")
    own_rows = {tuple(row[key] for key in places): row for row in results.get("table", ()) if row["when"] == "before"}
    body: list[list[Cell]] = []
    for model, method in dict.fromkeys((row["model"], row["method"]) for row in rows):
        cells: list[Cell] = [model, method]
        for task in tasks:
            row = values.get((model, method, task))
            same = row and row["ours"] and own_rows.get(tuple(({**row["ours"], "task": task})[key] for key in places))
            cells += [f"{row['value']:.1f}" if row else "", estimate(same) if same else ""]
        body.append(cells)
    head = ["published", "method", *(words for task in tasks for words in (f"{task.upper()} published", "here"))]
    return Table(head, body)


def training_text(results: Results) -> Table:
    """How much text each language has, what was kept out of it, and what it is for."""
    split, unscored = results["split"], results["languages_unscored"]
    if split is None:
        return Table((), ())
    tested = split.get("test", {})
    kept_out = tested or split["left_out"]
    rows = []
    for code, count in sorted(split["train"].items()):
        use = "scored" if code in results["languages"] else "trained on"
        use = unscored.get(code) or ("pivot: trained on, not scored" if code in results["pivots"] else use)
        rows.append([code, f"{count:,}", f"{kept_out.get(code, 0):,}", use])
    columns = ("training messages", "test pairs") if tested else ("lines", "left out")
    return Table(["language", *columns, "use"], rows)


def retrieval(results: Results) -> dict[str, Table]:
    """By metric, retrieval of every language, method and moment."""
    whens, cells = moments(results), scored_cells(results)
    columns = list(product(cells, whens))
    tables = {}
    for metric in metrics(results):
        body: list[list[Cell]] = []
        for code in results["languages"]:
            rows = [cells[name][when]["languages"][code] for name, when in columns]
            first = rows[0]
            line = [f"{first['name']} ({code})", str(first["n"]), f"{first[metric]['chance']:.1f}"]
            body.append([*line, *(estimate(row[metric]) for row in rows)])
        head = ["language", "n", "chance", *(f"{name}, {when}" for name, when in columns)]
        tables[formats.short(metric)] = Table(head, body)
    return tables
