"""The whole path of ``hyperofa quickstart`` on a tiny model and made-up languages: every stage a real process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from support import warm
from support.made_up import sentences, spelled, write_source

from hyperofa.base.resources import resource
from hyperofa.data.parallel import AlignedText
from hyperofa_eval.base.files import read_json

pytestmark = [pytest.mark.distributed, pytest.mark.timeout(1800)]

STEPS, STOP = 16, 6


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A small recipe with its inputs beside it."""
    english = sentences()
    translations = {language: [spelled(line, language) for line in english] for language in ("tur", "ces")}
    AlignedText(english, translations).write(tmp_path / "parallel")
    write_source(tmp_path / "source")
    path = tmp_path / "tiny.yaml"
    path.write_text(
        yaml.safe_dump(
            {
                "name": "tiny",
                "sources": {"tiny": {"model": str(tmp_path / "source")}},
                "parallel": {"dir": str(tmp_path / "parallel")},
                "split": {"test": 60, "min_test": 20},
                "vectors": {"dim": 16},
                "tokenizer": {"vocab_size": 150},
                "corpus": {"length": 32, "processes": 1},
                "matrix": {"ranks": [8], "methods": {"random": {}, "ofa": {}}},
                "train": {
                    "stop_at_step": STOP,
                    "settings": {"steps": STEPS, "global_batch_size": 8, "micro_batch_size": 4, "learning_rate": 1e-3},
                },
            },
            sort_keys=False,
        ),
        encoding="utf-8",
    )
    return path


def quickstart(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hyperofa.cli", "quickstart", *words]
    return warm.run(command)


def check_summary(summary: dict[str, Any]) -> None:
    assert summary["languages"] == ["ces", "tur"]
    assert summary["languages_unscored"] == {}
    assert STOP <= summary["resumed_at_step"] < STEPS
    assert 0 < summary["wall_s"] < 900
    assert 0.1 < summary["peak_rss_gb"] < 6
    assert {"torch", "deepspeed", "accelerate", "hyperofa"} <= set(summary["versions"])
    for method in ("random", "ofa"):
        for when in ("before", "after"):
            for score in summary["methods"][method][when].values():
                assert score["ci95"][0] <= score["mean"] <= score["ci95"][1]
                assert score["n"] == 2
                assert score["pairs"] == 120
            assert summary["methods"][method][when]["top10"]["chance"] == pytest.approx(100 * 10 / 60)
    assert len(summary["paired"]) == 4


def test_the_whole_path_and_what_a_second_run_reuses(recipe: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = quickstart("--recipe", str(recipe), "--out", str(out), "--json")
    assert first.returncode == 0, first.stderr
    summary = json.loads(first.stdout)
    check_summary(summary)
    assert read_json(out / "summary.json") == summary

    for method in ("random", "ofa"):
        run = out / "cells" / f"tiny-r8-{method}-s0" / "run"
        steps = [json.loads(line)["step"] for line in (run / "metrics.jsonl").read_text().splitlines()]
        assert steps == list(range(1, STEPS + 1))
        log = (out / "logs" / f"train-tiny-r8-{method}-s0.log").read_text()
        assert log.count("\n$ ") == 2
    counts = {name: cell["provenance"] for name, cell in read_json(out / "results.json")["cells"].items()}
    random_, ofa = counts["tiny-r8-random-s0"], counts["tiny-r8-ofa-s0"]
    assert random_["copied"] == ofa["copied"] > 20
    assert random_["predicted"] == 0 < ofa["predicted"]
    assert "Top-10 retrieval" not in first.stdout
    assert "prefers-color-scheme" in (out / "report.html").read_text(encoding="utf-8")

    again = quickstart("--recipe", str(recipe), "--out", str(out))
    assert again.returncode == 0, again.stderr
    assert again.stderr.count("unchanged, reused") == len(list((out / "stages").iterdir()))
    assert "Top-10 retrieval, %: before → after training" in again.stdout
    assert read_json(out / "summary.json") == summary
    assert resource("launch/cpu_pair.yaml").is_file()
