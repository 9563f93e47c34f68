"""``hyperofa experiment`` for real on made-up languages: orchestrators side by side, one killed, a failing cell, a change."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.made_up import TAGS, sentences, spelled, write_source

from hyperofa.files import read_json

pytestmark = [pytest.mark.distributed, pytest.mark.slow, pytest.mark.timeout(3600)]

LANGUAGES = ("tur", "swh")
STEPS = 12


def write(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """Parallel text by verse, plain text, and test sets for retrieval and tagging."""
    english = sentences()
    test, train = english[:50], english[50:]
    for language in ("eng", *LANGUAGES):
        rows = [f"v.{number}\t{spelled(line, language)}" for number, line in enumerate(train)]
        write(tmp_path / "data" / "verses" / f"{language}.tsv", rows)
        write(tmp_path / "data" / "text" / f"{language}.txt", [spelled(line, language) for line in train + test[:5]])
        tags = [
            [
                *(f"{spelled(word, language)}\t{tag}" for word, tag in zip(line.split(), TAGS, strict=True)),
                "",
            ]
            for line in test[:40]
        ]
        for split in ("train", "dev", "test"):
            write(tmp_path / "data" / "pos" / language / f"{split}.tsv", [row for rows in tags for row in rows])
    for language in LANGUAGES:
        stem = tmp_path / "data" / "tatoeba" / f"{language}-eng"
        write(stem.with_suffix(f".{language}"), [spelled(line, language) for line in test])
        write(stem.with_suffix(".eng"), test)
    write_source(tmp_path / "source")
    values: dict[str, Any] = {
        "name": "tiny",
        "variables": {"data": None},
        "sources": {"tiny": {"model": str(tmp_path / "source")}},
        "inputs": {
            "parallel": ["${data}/verses"],
            "text": ["${data}/text/*.txt"],
            "test": "${data}",
            "languages": list(LANGUAGES),
        },
        "vectors": ["--dim", "16"],
        "tokenizer": ["--vocab-size", "150"],
        "corpus": ["--length", "32"],
        "matrix": {
            "ranks": [8, "full"],
            "methods": {"random": {}, "ofa": {}, "broken": {"method": "ofa", "args": ["--option", "neighbors=3"]}},
        },
        "train": {
            "ranks": [8],
            "evaluate_every": 6,
            "evaluate": {"tasks": ["sr-t"], "limit": 40},
            "settings": {"steps": STEPS, "global_batch_size": 8, "micro_batch_size": 4, "learning_rate": 1e-3},
        },
        "evaluate": {
            "tasks": ["sr-t"],
            "further": {"tagging": {"tasks": ["pos"], "args": ["--limit", "30"], "when": ["after"]}},
        },
    }
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    return path


def start(recipe: Path, out: Path, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "hyperofa.cli", "experiment", str(recipe), "--data", str(recipe.parent / "data")]
    return subprocess.Popen(
        [*command, "--out", str(out), *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def runs(out: Path) -> dict[str, int]:
    """How often each stage was started."""
    return {log.stem: log.read_text().count("\n$ ") for log in (out / "logs").glob("*.log")}


def test_a_matrix_shared_killed_and_changed(recipe: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    killed = start(recipe, out)
    deadline = time.monotonic() + 900
    while not (out / "stages" / "vectors.json").is_file():
        assert killed.poll() is None, killed.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()

    pair = [start(recipe, out) for _ in range(2)]
    told = [process.communicate() for process in pair]
    assert [process.returncode for process in pair] == [1, 1], told
    assert "init-tiny-r8-broken-s0" in told[0][1].strip().splitlines()[-1]
    counted = runs(out)
    again = {name: count for name, count in counted.items() if count != 1}
    assert set(again) <= {"gather", "vectors", "init-tiny-r8-broken-s0", "init-tiny-rfull-broken-s0"}, counted

    results = read_json(out / "results.json")
    assert set(results["failed"]) == {"init-tiny-r8-broken-s0", "init-tiny-rfull-broken-s0"}
    assert results["split"]["left_out"] == {"eng": 5, "swh": 5, "tur": 5}
    cell = results["cells"]["tiny-r8-ofa-s0"]
    assert [row["step"] for row in cell["way"]["scores"]["sr-t"]] == [6, 12]
    assert results["cells"]["tiny-rfull-ofa-s0"]["after"] is None
    rows = {(row["task"], row["rank"], row["method"], row["when"]) for row in results["table"]}
    assert ("pos", 8, "ofa", "after") in rows
    assert ("sr-t", "full", "random", "before") in rows
    assert {(row["method"], row["with"], row["when"]) for row in results["paired"]} >= {("ofa", "random", "after")}
    assert [row["method"] for row in results["saved"]] == ["ofa"]
    page = (out / "report.html").read_text(encoding="utf-8")
    for heading in (
        "Not complete",
        "Scores by task",
        "Scores against steps",
        "Steps saved",
        "What differs from the paper",
    ):
        assert heading in page

    changed = start(recipe, out, "--set", "matrix.methods.broken.args=[]", "--json")
    printed, errors = changed.communicate()
    assert changed.returncode == 0, errors
    assert json.loads(printed)["failed"] == {}
    now = runs(out)
    assert {name for name in now if now[name] != counted.get(name, 0)} == {name for name in now if "broken" in name}
    listed = start(recipe, out, "--set", "matrix.methods.broken.args=[]", "--list", "--json")
    assert {row["state"] for row in json.loads(listed.communicate()[0])} == {"done"}
