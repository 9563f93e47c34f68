"""The verdict in words: its one line, its table, and the warning where the extended model is worse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

NAMES = {"bits_per_character": "bits/character", "top1": "top-1 %", "top10": "top-10 %"}
_HOW = {
    "causal": "bits per character: of every next token of a line",
    "masked": "bits per character: of 15 % of the words, all pieces of a word hidden",
    "none": "no bits per character: the source has no trained head",
}
_LEFT = {
    "worse": "worse in",
    "too little text": "too little text to judge",
    "unknown tokens": "not judged for unknown tokens:",
}
_MOST = 8
"""Languages that a line names of a kind."""


def verdict_line(record: Mapping[str, Any]) -> str:
    """What ``init.json`` (``record``) says of the model beside its source, in one line; or that nothing was measured."""
    verdict = record.get("verdict")
    if verdict is not None:
        return str(verdict["line"])
    wants_verdict = record["made_by"]["settings"].get("verdict", False)
    return f"{'no text given' if wants_verdict else 'no verdict asked for'}: nothing was measured"


def line_of(record: Mapping[str, Any]) -> str:
    """Such as ``better in 7 of 9 languages, worse in kab; eng no different; 31 % fewer tokens``."""
    languages, pivot = record["languages"], record["pivot"]
    if not languages:
        return "nothing was measured: too little text to keep some of it out (a language is judged from 100 lines on)"
    judged = {name: row["verdict"] for name, row in languages.items() if row["verdict"]}
    apart = {pivot} & judged.keys() if len(judged) > 1 else set()
    rest = {name: said for name, said in judged.items() if name not in apart}
    if rest:
        better = sum(said == "better" for said in rest.values())
        first = f"better in {better or 'none'} of {len(rest)} language{'s' if len(rest) > 1 else ''}"
        for said, words in _LEFT.items():
            if named := [name for name, one in rest.items() if one == said]:
                first += f", {words} {_some(named)}"
    else:
        first = "only tokens were counted (no pairs of sentences, and no trained head)"
    means = {row["verdict"] for metric, row in record["mean"].items() if metric in record["decides"]}
    means = {"worse"} if "worse" in means else means - {"no different"}
    parts = [first, *(f"{name} {judged[name]}" for name in apart), *(f"{said} in the mean" for said in means)]
    learned = {name: row for name, row in languages.items() if name != pivot} or languages
    return "; ".join([*parts, _saved([row["tokens"] for row in learned.values()])])


def warning_of(record: Mapping[str, Any]) -> str:
    """One line that names where the extended model is worse, with figures; empty where it is not."""
    worse_places = [
        f"{name} ({NAMES[metric]} {_from_to(metric, row[metric])})"
        for name, row in [*record["languages"].items(), ("the mean", record["mean"])]
        for metric in record["decides"]
        if metric in row and row[metric]["verdict"] == "worse"
    ]
    where = _some(worse_places, ", ")
    return f"the extended model is worse than the source with its own tokenizer in {where}" if worse_places else ""


def table_of(record: Mapping[str, Any]) -> tuple[str, list[str], list[list[str]]]:
    """Title, columns and rows (text) of the figures by language, and of their means."""
    metrics = [metric for metric in NAMES if any(metric in row for row in record["languages"].values())]
    pairs = "top1" in metrics
    unknown = any(row.get("unknown_lines") for row in record["languages"].values())
    columns = ["language", "lines", "tokens/word", *(["pairs", "chance of ten"] if pairs else [])]
    columns += ["lines with unknown tokens"] if unknown else []
    columns += [*(NAMES[metric] for metric in metrics), "verdict"]
    rows = []
    for name, row in record["languages"].items():
        cells = [name, str(row["lines"]), _fertility(row)]
        if pairs:
            ten = row.get("top10")
            cells += [str(ten["n"]), f"{ten['chance']:.1f}"] if ten else ["–", "–"]
        cells += [str(row.get("unknown_lines", 0))] if unknown else []
        cells += [_cell(metric, row[metric]) if metric in row else "–" for metric in metrics]
        rows.append([*cells, row["verdict"] or "–"])
    for metric in record["decides"]:
        if (row := record["mean"].get(metric)) and row["languages"] > 1:
            blank = [""] * (len(columns) - len(metrics) - 2)
            cells = [_cell(metric, row) if one == metric else "" for one in metrics]
            rows.append([f"mean of {row['languages']}", *blank, *cells, row["verdict"]])
    said = _HOW[record["head"]] + (f"; top-1 and top-10: vectors of block {record['block']}" if pairs else "")
    title = f"Source with its own tokenizer → extended model, before any training, on text kept out ({said})"
    return title, columns, rows


def _cell(metric: str, row: Mapping[str, Any]) -> str:
    low, high = row["ci95"]
    digits = _digits(metric)
    return f"{_from_to(metric, row)} ({low:+.{digits}f} to {high:+.{digits}f})"


def _from_to(metric: str, row: Mapping[str, Any]) -> str:
    return f"{row['own']:.{_digits(metric)}f} → {row['extended']:.{_digits(metric)}f}"


def _digits(metric: str) -> int:
    return 1 if metric.startswith("top") else 3


def _saved(counts: Sequence[Mapping[str, int]]) -> str:
    own, extended = (sum(row[side] for row in counts) for side in ("own", "extended"))
    percent = 100 * (1 - extended / own) if own else 0.0
    if abs(percent) < 0.5:
        return "as many tokens"
    return f"{abs(percent):.0f} % {'fewer' if percent > 0 else 'more'} tokens"


def _fertility(row: Mapping[str, Any]) -> str:
    own, extended, words = row["tokens"]["own"], row["tokens"]["extended"], max(row["words"], 1)
    change = f" ({100 * (extended / own - 1):+.0f} %)" if own else ""
    return f"{own / words:.2f} → {extended / words:.2f}{change}"


def _some(names: Sequence[str], between: str = " ") -> str:
    more = f"{between}and {len(names) - _MOST} more" if len(names) > _MOST else ""
    return between.join(names[:_MOST]) + more
