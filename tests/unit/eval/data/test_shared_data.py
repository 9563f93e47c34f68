"""All tasks on the real test sets, where they lie beside the repository (or in HYPEROFA_SHARED_DATA)."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import pytest

from hyperofa_eval.cli import main
from hyperofa_eval.data.layout import DataFolder
from hyperofa_eval.languages import languages
from hyperofa_eval.tasks.protocols import default

SHARED = Path(os.environ.get("HYPEROFA_SHARED_DATA", Path(__file__).parents[5] / "shared/data"))
pytestmark = pytest.mark.skipif(not (SHARED / "tatoeba").is_dir(), reason=f"no real test sets in {SHARED}")


def test_every_set_reads_whole(capsys):
    assert main(["data", "check", str(SHARED), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["present"]["tatoeba"]["fry"] == 173
    assert report["present"]["bible"]["kab"] == 500
    assert report["present"]["pos"]["eng"] == 2077
    assert report["present"]["ner"]["swh"] == 1000


def test_tokens_with_inner_spaces_stay_whole():
    sentences, _ = DataFolder(SHARED).tagged("pos", "ces", "test", "upos")
    assert sum(any(c.isspace() for c in token) for s in sentences for token in s.tokens) == 11


def test_every_task_runs_on_them(model_dir, tmp_path, monkeypatch):
    from hyperofa_eval.tasks import registry as tasks

    monkeypatch.setattr(tasks, "_ADDED", {})
    for name in ("ner", "pos"):
        tasks.add_task(dataclasses.replace(default()[name], epochs=1))
    out = tmp_path / "out"
    words = ["run", model_dir, "--tasks", "sr-t,sr-b,ner,pos,lm", "--data", SHARED, "--out", out, "--limit", "20"]
    assert main([str(word) for word in [*words, "--device", "cpu"]]) == 0
    found = json.loads((out / "summary.json").read_text())["tasks"]
    counts = {name: task["n_languages"] for name, task in found.items()}
    assert counts["sr-t"] >= 10
    assert counts["sr-b"] >= 6
    assert counts["ner"] >= 3
    assert counts["pos"] >= 4
    assert found["sr-t"]["without_data"] or counts["sr-t"] == len(languages()) - 1
