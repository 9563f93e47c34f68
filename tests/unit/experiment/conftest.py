"""What the tests of experiments share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from support.plans import write_one_line_each

from hyperofa.data.parallel import AlignedText


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A recipe of one rank and two methods, with its data and a folder for its source model."""
    write_one_line_each(
        tmp_path, "news/eng.txt", "news/tur.txt", "test/tatoeba/tur-eng.tur", "test/tatoeba/tur-eng.eng"
    )
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "config.json").write_text("{}")
    values: dict[str, Any] = {
        "name": "mine",
        "sources": {"tiny": {"model": str(tmp_path / "source")}},
        "inputs": {"parallel": [str(tmp_path / "news")], "test": str(tmp_path / "test"), "languages": ["tur"]},
        "tokenizer": {"vocab_size": 100},
        "matrix": {"ranks": [8], "methods": {"random": {}, "ofa": {}}},
        "train": {"evaluate_every": 5, "settings": {"steps": 10, "global_batch_size": 8}},
        "evaluate": {"tasks": ["sr-t"]},
    }
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    return path


@pytest.fixture
def matrix(tmp_path: Path) -> Path:
    """A matrix of two ranks, two methods and two seeds, of which one rank and one seed are trained."""
    write_one_line_each(
        tmp_path,
        "news/eng.txt",
        "news/tur.txt",
        "text/tur.txt",
        "test/tatoeba/tur-eng.tur",
        "test/tatoeba/tur-eng.eng",
        "test/pos/tur/test.tsv",
        "test/pos/eng/train.tsv",
        "test/pos/eng/dev.tsv",
    )
    values: dict[str, Any] = {
        "name": "mine",
        "variables": {"data": None, "news": "news"},
        "sources": {"tiny": {"model": "./source"}},
        "inputs": {
            "parallel": ["${data}/${news}"],
            "text": ["${data}/text/*.txt"],
            "test": "${data}/test",
            "languages": ["tur"],
        },
        "tokenizer": {"vocab_size": 100},
        "matrix": {
            "ranks": [8, "full"],
            "seeds": [0, 1],
            "methods": {
                "random": {},
                "ours": {"method": "ofa-ridge", "parallel": ["${parallel}"]},
            },
        },
        "train": {"ranks": [8], "seeds": [0], "evaluate_every": 5, "settings": {"steps": 10, "global_batch_size": 8}},
        "evaluate": {"tasks": ["sr-t"], "further": {"tagging": {"tasks": ["pos"], "when": ["after"]}}},
        "slurm": {"default": ["--time=1:00:00"], "train": ["--nodes=2"]},
    }
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    return path


@pytest.fixture
def parallel(tmp_path: Path) -> Path:
    """Sixty messages in two languages."""
    english = [f"open the {chr(97 + i // 10)}{chr(97 + i % 10)} file" for i in range(60)]
    AlignedText(english, {lang: [f"{lang} {e}" for e in english] for lang in ("tur", "ces")}).write(
        tmp_path / "parallel"
    )
    return tmp_path / "parallel"
