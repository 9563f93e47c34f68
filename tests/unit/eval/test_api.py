"""The harness from Python: a model in memory, a user's own model, task and language."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from hyperofa_eval.api import Model, evaluate
from hyperofa_eval.base.errors import InputError
from hyperofa_eval.cli import main


def test_a_model_in_training_is_scored_and_left_as_it_was(bert, tokenizer, data, tmp_path):
    bert.train()
    state = torch.get_rng_state()
    summary = evaluate(bert, tokenizer, ["sr-t", "lm"], data, languages=["tur", "swh"], name="step 100")
    assert bert.training
    assert torch.equal(state, torch.get_rng_state())
    assert summary["model"]["name"] == "step 100"
    assert summary["tasks"]["sr-t"]["n_languages"] == 2
    assert summary["tasks"]["lm"]["unit"] == "bits per character"
    json.dumps(summary)
    again = evaluate(bert, tokenizer, ["sr-t"], data, languages=["tur", "swh"], out=tmp_path / "out")
    assert again["tasks"]["sr-t"]["mean"] == summary["tasks"]["sr-t"]["mean"]
    assert (tmp_path / "out/sr-t/tur.seed0.json").is_file()


def test_a_trained_model_is_not_answered_by_old_results(bert, tokenizer, data, tmp_path):
    out = tmp_path / "out"
    evaluate(bert, tokenizer, ["sr-t"], data, languages=["tur"], out=out)
    first = json.loads((out / "sr-t/tur.seed0.json").read_text())
    with torch.no_grad():
        for parameter in bert.bert.encoder.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)))
    evaluate(bert, tokenizer, ["sr-t"], data, languages=["tur"], out=out)
    second = json.loads((out / "sr-t/tur.seed0.json").read_text())
    assert first["model"]["sha256"] != second["model"]["sha256"]
    assert first["details"]["ranks"] != second["details"]["ranks"]


class Letters:
    """A model that is no transformer: counts of letters."""

    def __init__(self):
        self.identity = {"name": "letters", "sha256": "1", "tokenizer_sha256": "1"}

    def encode(self, texts, settings):
        return np.array([[text.lower().count(c) for c in "abcdefghijklmnopqrstuvwxyz"] for text in texts], np.float32)

    def fine_tune(self, train, dev, settings, seed):
        return lambda sentences: [["NOUN"] * len(sentence.tokens) for sentence in sentences]


def test_any_object_with_two_methods_is_a_model(data):
    from hyperofa_eval.data.layout import DataFolder
    from hyperofa_eval.runner import run_tasks
    from hyperofa_eval.tasks.protocols import default

    model = Letters()
    assert isinstance(model, Model)
    chosen = [default()[name] for name in ("sr-t", "pos")]
    summary = run_tasks(model, chosen, DataFolder(data), codes=["eng", "tur", "cmn"])
    assert summary["tasks"]["sr-t"]["languages"] == ["tur", "cmn"]
    accuracy = summary["tasks"]["pos"]["rows"][1]["value"]
    assert accuracy == pytest.approx(100 * 4 / 19)  # köpek, kedi, balık, kitabı
    assert summary["tasks"]["pos"]["chance"] is not None
    with pytest.raises(InputError, match="needs a model with text_losses"):
        run_tasks(model, [default()["lm"]], DataFolder(data), codes=["tur"])
    import dataclasses

    with pytest.raises(InputError, match="encode_blocks"):
        run_tasks(model, [dataclasses.replace(default()["sr-t"], block="all")], DataFolder(data), codes=["tur"])


EXTENSION = '''
"""A task of one's own: share of lines whose first letter is upper case; and a language."""
from dataclasses import dataclass
from typing import ClassVar

from hyperofa_eval.languages import Language, add_language
from hyperofa_eval.tasks.retrieval import Retrieval
from hyperofa_eval.scoring.statistics import hits
from hyperofa_eval.tasks.registry import Outcome, add_task


@dataclass(frozen=True)
class Upper:
    name: str = "upper"
    metric: str = "share"
    summary: ClassVar[str] = "lines that start with an upper-case letter"
    higher_is_better: ClassVar[bool] = True
    unit: ClassVar[str] = "percent"
    seeded: ClassVar[bool] = False
    together: ClassVar[bool] = True

    def has(self, data, language):
        return data.has("text", language)

    def prepare(self, model, data, seed, limit):
        return model

    def score(self, prepared, data, language, seed, limit):
        lines, files = data.text("text", language)
        return Outcome({"share": hits([line[0].isupper() for line in lines[:limit]])}, {"share": 50.0}, files)


add_task(Upper())
add_task(Retrieval("sr-news", "news", direction="both"))
add_language(Language("lij", "Latn", "Ligurian", "Indo-European", "low", "lij"))
'''


def test_a_task_and_a_language_come_from_one_file(model_dir, data, tmp_path, monkeypatch, capsys):
    from hyperofa_eval import languages
    from hyperofa_eval.tasks import registry as tasks

    monkeypatch.setattr(tasks, "_ADDED", {})
    monkeypatch.setattr(languages, "_ADDED", {})
    extension = tmp_path / "mine.py"
    extension.write_text(EXTENSION)
    (data / "text/lij.txt").write_text("O gatto o dorme in sciâ töa.\nancheu ciêuve.\n")
    out = tmp_path / "out"
    (data / "news").mkdir()
    (data / "news/lij-eng.lij").write_text("O gatto o dorme.\nAncheu ciêuve.\n")
    (data / "news/lij-eng.eng").write_text("The cat sleeps.\nIt is raining today.\n")
    words = ["run", model_dir, "--tasks", "upper,sr-news", "--data", data, "--out", out, "--languages", "lij,tur"]
    assert main([str(word) for word in [*words, "--with", extension, "--device", "cpu"]]) == 0
    summary = json.loads((out / "summary.json").read_text())
    assert [row["value"] for row in summary["tasks"]["upper"]["rows"]] == [50.0, 100.0]
    assert summary["tasks"]["sr-news"]["languages"] == ["lij"]
    assert main(["list", "--with", str(extension)]) == 0
    assert "Ligurian" in capsys.readouterr().out
    extension.write_text("raise ValueError('mine')")
    assert main([str(word) for word in [*words, "--with", extension]]) == 2
    assert "ValueError: mine" in capsys.readouterr().err


def test_the_extension_shown_in_the_docs_runs(tmp_path, monkeypatch):
    from pathlib import Path

    from hyperofa_eval import languages
    from hyperofa_eval.tasks import extensions
    from hyperofa_eval.tasks import registry as tasks

    monkeypatch.setattr(tasks, "_ADDED", {})
    monkeypatch.setattr(languages, "_ADDED", {})
    text = (Path(__file__).parents[3] / "docs/evaluation.md").read_text()
    (tmp_path / "mine.py").write_text(text.rpartition("```python\n")[2].partition("```")[0])
    extensions.load([tmp_path / "mine.py"])
    assert tasks.tasks("default")["sr-news"].direction == "both"
    assert languages.languages()["lij"].name == "Ligurian"


def test_aliases_are_off_unless_asked(model_dir, data, tmp_path):
    for suffix in ("cmn", "eng"):
        (data / f"tatoeba/cmn-eng.{suffix}").rename(data / f"tatoeba/zho-eng.{suffix.replace('cmn', 'zho')}")
    words = ["run", model_dir, "--tasks", "sr-t", "--data", data, "--languages", "cmn", "--device", "cpu"]
    assert main([str(word) for word in [*words, "--out", tmp_path / "no"]]) == 3
    assert main([str(word) for word in [*words, "--out", tmp_path / "yes", "--aliases"]]) == 0
    result = json.loads((tmp_path / "yes/sr-t/cmn.seed0.json").read_text())
    assert "tatoeba/zho-eng.zho" in result["data"]
