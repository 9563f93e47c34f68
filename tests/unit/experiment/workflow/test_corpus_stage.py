"""The stage of the training corpus, of packed documents or of sentences."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from support.plans import plan_of

from hyperofa.errors import InputError
from hyperofa.experiment.workflow.corpus_stage import _parallel


def corpus_of(path: Path):
    return next(stage for stage in plan_of(path).stages() if stage.name == "corpus")


def option(stage, name: str) -> str:
    return stage.command[stage.command.index(name) + 1]


def test_a_recipe_that_learns_sentences_makes_them_from_its_parallel_text(recipe: Path) -> None:
    packed = corpus_of(recipe)
    assert "--source" not in packed.command
    assert option(packed, "--text").endswith("data/documents/eng.txt")
    values = yaml.safe_load(recipe.read_text())
    values["train"]["settings"]["objective"] = "sentence"
    values["corpus"] = {"prompt": "query: ", "length": 64}
    recipe.write_text(yaml.safe_dump(values))
    stage, plan = corpus_of(recipe), plan_of(recipe)
    assert option(stage, "--source") == str(recipe.parent / "source")
    assert option(stage, "--parallel") == str(plan.data / "parallel")
    assert option(stage, "--text").endswith("data/text/eng.txt")
    assert option(stage, "--prompt") == "query: "
    assert {plan.data / "parallel", plan.data / "text", recipe.parent / "source"} <= set(stage.inputs)


def test_languages_that_are_not_learnt_are_left_out(tmp_path: Path) -> None:
    for name in ("eng", "tur", "kab"):
        (tmp_path / f"{name}.txt").write_text("a\n")
    assert _parallel(tmp_path, ["tur", "kab"]) == [tmp_path]
    assert _parallel(tmp_path, ["tur", "fry"]) == [tmp_path / "eng.txt", tmp_path / "tur.txt"]
    assert _parallel(tmp_path / "none", ["tur"]) == [tmp_path / "none"]


def test_one_corpus_holds_the_vectors_of_one_source(recipe: Path) -> None:
    values = yaml.safe_load(recipe.read_text())
    values["train"]["settings"]["objective"] = "sentence"
    values["sources"]["other"] = values["sources"]["tiny"]
    recipe.write_text(yaml.safe_dump(values))
    with pytest.raises(InputError, match="objective is sentence, so one source"):
        plan_of(recipe)
