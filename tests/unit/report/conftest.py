"""Results of an experiment of made-up numbers, in the shape that the experiment room writes."""

from __future__ import annotations

import random
from typing import Any

import pytest

LANGUAGES = ["tur", "ell", "bul", "ces", "kor", "kat", "zsm", "jpn", "tuk", "uig", "gla", "swh", "cmn", "pes"]
NAMES = dict.fromkeys(LANGUAGES, "Turkish") | {"cmn": "Mandarin Chinese", "gla": "Scottish Gaelic"}
LEVEL = {"random": 34.0, "ofa": 45.0, "hyperofa": 51.0}
CUTS = {"top1": 0.5, "top5": 0.8, "top10": 1.0}


def _scores(level: float, draw: random.Random) -> dict[str, Any]:
    rows = {}
    for language in LANGUAGES:
        n = draw.randint(90, 190)
        values = {}
        for cut, share in CUTS.items():
            value = share * level + draw.uniform(-8, 8)
            values[cut] = {"value": value, "ci95": [value - 6, value + 6], "chance": 100 * int(cut[3:]) / n}
        rows[language] = {"name": NAMES[language], "n": n, **values}
    means = {cut: sum(row[cut]["value"] for row in rows.values()) / len(rows) for cut in CUTS}
    scores = {
        cut: {"mean": mean, "ci95": [mean - 1.8, mean + 1.8], "n": len(rows), "pairs": 2300, "chance": 5.9}
        for cut, mean in means.items()
    }
    return {"scores": scores, "languages": rows, "settings": {"block": 4}}


@pytest.fixture
def results() -> dict[str, Any]:
    draw = random.Random(0)
    cells = {}
    for method, level in LEVEL.items():
        predicted = 0 if method == "random" else 9000
        cells[f"minilm-r100-{method}-s0"] = {
            "source": "minilm",
            "rank": 100,
            "method": method,
            "seed": 0,
            "provenance": {
                "special": 5,
                "copied": 4100,
                "predicted": predicted,
                "drawn": 9978 - predicted,
                "padding": 0,
            },
            "loss": [(step, 6 + 3 * 0.99**step + draw.gauss(0, 0.2)) for step in range(1, 201)],
            "resumed_at_step": 101,
            "before": _scores(level, draw),
            "after": _scores(level + 10, draw),
        }
    return {
        "recipe": "quickstart",
        "languages": LANGUAGES,
        "pivots": ["deu"],
        "languages_unscored": {"fry": "9 test pairs, fewer than 50"},
        "methods": {
            cell["method"]: {when: cell[when]["scores"] for when in ("before", "after")} for cell in cells.values()
        },
        "paired": [{"what": "hyperofa against random, before training", "difference": 17.0, "ci95": [14.9, 19.2]}],
        "sources": {"minilm": _scores(21.0, draw)},
        "resumed_at_step": 101,
        "wall_s": 402.2,
        "peak_rss_gb": 4.1,
        "versions": {"python": "3.11.7", "torch": "2.13.0"},
        "machine": {"system": "Linux", "cores": 2},
        "split": {
            "messages": {"train": 642, "test": 200},
            "train": dict.fromkeys([*LANGUAGES, "fry", "deu"], 600),
            "test": dict.fromkeys([*LANGUAGES, "fry", "deu"], 180),
        },
        "cells": cells,
        "stages": [
            {
                "name": "vectors",
                "title": "Word vectors",
                "command": "hyperofa vectors build --parallel runs/quickstart/data/parallel --out runs/quickstart/vectors",
                "wall_s": 9.1,
                "peak_rss_gb": 0.5,
            }
        ],
    }


def _task(level: float, draw: random.Random, metric: str, limit: int | None) -> dict[str, Any]:
    rows = {}
    for code in LANGUAGES[:6]:
        value = level + draw.uniform(-6, 6)
        rows[code] = {"value": value, "ci95": [value - 5, value + 5], "chance": None, "n": 100}
    mean = sum(row["value"] for row in rows.values()) / len(rows)
    shared = {"chance": None, "n_languages": 6, "limit": limit, "protocol": "default", "without_data": []}
    return {
        "metric": metric,
        "unit": "percent",
        "mean": mean,
        "ci95": [mean - 2, mean + 2],
        **shared,
        "languages": rows,
    }


@pytest.fixture
def matrix(results: dict[str, Any]) -> dict[str, Any]:
    """The same with a second rank that is not trained, taggers, scores on the way, and a cell that failed."""
    draw, table = random.Random(1), []
    for name, cell in list(results["cells"].items()):
        level = LEVEL[cell["method"]]
        cell["name"] = name
        cell["tasks"] = {
            when: {"sr-t": _task(level, draw, "top10", None), "ner": _task(level / 2, draw, "f1", 600)}
            for when in ("before", "after")
        }
        points = [
            {
                "step": step,
                "metric": "top10",
                "mean": level + step / 40,
                "ci95": [level, level + 9],
                "n_languages": 6,
                "limit": 150,
                "protocol": "paper",
            }
            for step in (100, 200)
        ]
        cell["way"] = {"scores": {"sr-t": points}, "seconds": 360.0, "tokens": 1000, "tokens_per_second": 2.8}
        other = {**cell, "rank": "full", "after": None, "loss": [], "way": None, "name": name.replace("r100", "rfull")}
        other["tasks"] = {"before": cell["tasks"]["before"], "after": {}}
        results["cells"][other["name"]] = other
        for one, whens in ((cell, ("before", "after")), (other, ("before",))):
            for when in whens:
                for task, entry in one["tasks"][when].items():
                    kept = {
                        key: entry[key]
                        for key in ("metric", "unit", "n_languages", "limit", "protocol", "chance", "mean", "ci95")
                    }
                    place = {"source": "minilm", "rank": one["rank"], "method": one["method"], "when": when, "seeds": 3}
                    table.append({"task": task, **place, **kept})
    lost = results["cells"]["minilm-rfull-ofa-s0"]
    lost |= {"before": None, "provenance": None, "tasks": {"before": {}, "after": {}}}
    results["table"] = [row for row in table if (row["rank"], row["method"]) != ("full", "ofa")]
    results["shown"] = [name for name in results["cells"] if "r100" in name]
    results["failed"] = {"init-minilm-rfull-ofa-s0": "a <b>bad</b> line"}
    results["unfinished"] = ["compare-x"]
    place = {
        "source": "minilm",
        "rank": 100,
        "seed": 0,
        "baseline": "random",
        "loss": 4.0,
        "of_steps": 200,
        "window": 10,
    }
    hours = {"hours": 0.05, "of_hours": 0.1, "final_loss": 3.8}
    results["saved"] = [
        {**place, "method": "hyperofa", "steps": 100, "ci95": [80, None], "share": 0.5, **hours},
        {**place, "method": "ofa", "steps": None, "ci95": [None, None], "share": None, **hours, "hours": None},
    ]
    results["published"] = [
        {"task": "sr-t", "model": "mono-100", "method": "ofa", "value": 6.2, "ours": None},
        {
            "task": "sr-t",
            "model": "multi-100",
            "method": "ofa",
            "value": 7.5,
            "ours": {"source": "minilm", "rank": 100, "method": "ofa"},
        },
    ]
    results["differences"] = [{"what": "steps", "paper": "4000", "here": "200", "anchor": "continued-pre-training"}]
    return results
