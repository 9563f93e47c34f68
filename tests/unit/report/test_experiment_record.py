"""What ``benchmarks/experiment.py`` keeps of an experiment's results."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest

FILE = Path(__file__).resolve().parents[3] / "benchmarks" / "experiment.py"


@pytest.fixture
def record():
    spec = importlib.util.spec_from_file_location("experiment_record", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def results() -> dict:
    score = {"metric": "bits", "mean": 2.60449, "ci95": [2.5, 2.7], "languages": {"swh": {"value": 2.12345, "n": 9}}}
    difference = {
        "what": "a against b",
        "cell": "a",
        "task": "lm",
        "difference": -0.0126,
        "ci95": [-0.1, 0.1],
        "seeds": 1,
    }
    languages = {"swh": {"mean": -0.1049, "ci95": [-0.2, 0.0], "seeds": 1}}
    return {
        "recipe": "mine",
        "machine": {"cores": 2},
        "versions": {},
        "cells": {"a": {"tasks": {"after": {"lm": score}}, "read": {"tokens": 7}}, "b": {"tasks": {}, "read": None}},
        "paired": [difference | {"languages": languages, "with": "b"}, difference | {"languages": {}}],
        "saved": [],
        "vocabulary": [{"language": "swh", "tokens": 0.57582}],
        "stages": [
            {"name": f"train-a-s{n}", "title": "Train a", "wall_s": 1.26 + n, "command": "/a/path"} for n in (0, 1)
        ],
        "peak_rss_gb": 1.5,
    }


def test_scores_differences_and_seconds_are_kept_and_no_path(record):
    found = record.summary(results(), "a note")
    assert found["scores"]["a"]["after"]["lm"] == {
        "metric": "bits",
        "mean": 2.604,
        "ci95": [2.5, 2.7],
        "languages": {"swh": 2.123},
    }
    assert [row.get("languages") for row in found["paired"]] == [{"swh": [-0.105, -0.2, 0.0]}, None]
    assert found["paired"][0]["difference"] == -0.013
    assert found["seconds"] == {"train-a-s0": 1.3, "train-a-s1": 2.3}
    assert found["vocabulary"] == [{"language": "swh", "tokens": 0.576}]
    assert (found["note"], found["read"]) == ("a note", {"a": {"tokens": 7}})
    assert "/a/path" not in json.dumps(found)


def test_a_folder_without_results_is_said_in_a_line(record, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["experiment.py", str(tmp_path), "--name", "x"])
    with pytest.raises(SystemExit, match="2"):
        record.main()
    assert "results.json: not there; hyperofa experiment writes it" in capsys.readouterr().err
