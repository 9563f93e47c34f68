"""An experiment that ends in minutes: made-up languages, a tiny source model, two ranks, two methods and one that is broken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from support.made_up import TAGS, sentences, spelled, write_source

LANGUAGES = ("tur", "swh")
STEPS = 12
MENDED = """
import numpy as np
from hyperofa.errors import InputError
from hyperofa.init.registry import Method

def predict(problem):
    return np.zeros((len(problem.predict_ids), problem.rows.shape[1]), dtype=np.float32)

broken = Method("broken", "a method of one's own", predict)
"""
BROKEN = MENDED.replace("    return", "    raise InputError('broken on purpose')\n    return")
"""A method file whose cells fail, while its words pass every check beforehand."""


def write(path: Path, lines: list[str]) -> None:
    """Lines as a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def write_data(folder: Path) -> None:
    """Parallel text by verse, plain text, and test sets for retrieval and tagging."""
    english = sentences()
    test, train = english[:50], english[50:]
    for language in ("eng", *LANGUAGES):
        rows = [f"v.{number}\t{spelled(line, language)}" for number, line in enumerate(train)]
        write(folder / "verses" / f"{language}.tsv", rows)
        write(folder / "text" / f"{language}.txt", [spelled(line, language) for line in train + test[:5]])
        tags = [
            [
                *(f"{spelled(word, language)}\t{tag}" for word, tag in zip(line.split(), TAGS, strict=True)),
                "",
            ]
            for line in test[:40]
        ]
        for split in ("train", "dev", "test"):
            write(folder / "pos" / language / f"{split}.tsv", [row for rows in tags for row in rows])
    for language in LANGUAGES:
        stem = folder / "tatoeba" / f"{language}-eng"
        write(stem.with_suffix(f".{language}"), [spelled(line, language) for line in test])
        write(stem.with_suffix(".eng"), test)


def values_of(folder: Path) -> dict[str, Any]:
    """The recipe, whose source model is written beside it."""
    write_source(folder / "source")
    return {
        "name": "tiny",
        "variables": {"data": None},
        "sources": {"tiny": {"model": str(folder / "source")}},
        "inputs": {
            "parallel": ["${data}/verses"],
            "text": ["${data}/text/*.txt"],
            "test": "${data}",
            "languages": list(LANGUAGES),
        },
        "vectors": {"dim": 16},
        "tokenizer": {"vocab_size": 150},
        "corpus": {"length": 32},
        "matrix": {
            "ranks": [8, "full"],
            "methods": {"random": {}, "ofa": {}, "broken": {"method": f"{folder / 'broken.py'}:broken"}},
        },
        "train": {
            "ranks": [8],
            "evaluate_every": 6,
            "evaluate": {"tasks": ["sr-t"], "limit": 40},
            "settings": {"steps": STEPS, "global_batch_size": 8, "micro_batch_size": 4, "learning_rate": 1e-3},
        },
        "evaluate": {
            "tasks": ["sr-t"],
            "further": {"tagging": {"tasks": ["pos"], "settings": {"limit": 30}, "when": ["after"]}},
        },
    }


def write_recipe(folder: Path, name: str = "tiny.yaml") -> Path:
    """The recipe as a file, and all that it reads."""
    write_data(folder / "data")
    (folder / "broken.py").write_text(BROKEN, encoding="utf-8")
    path = folder / name
    path.write_text(yaml.safe_dump(values_of(folder), sort_keys=False), encoding="utf-8")
    return path
