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
                "appended": 0,
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
