"""Cells of sources with their own tokenizers: which there are, how they are trained, what a recipe may not say of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.plans import plan_of

from hyperofa.errors import InputError
from hyperofa.experiment.recipe.comparisons import comparisons, scorings
from hyperofa.experiment.recipe.resolve import deciding_settings, settings_of
from hyperofa_eval.settings.config import read_yaml

OWN = "train.own_tokenizer=[text, compute]"


def test_there_is_one_for_each_source_and_trained_seed_beside_the_first_rank(matrix: Path) -> None:
    recipe = plan_of(matrix, OWN, "train.ranks=[full, 8]", "train.seeds=[0, 1]", "sources.other.model=./more").recipe
    found = [cell.name for cell in recipe.own_cells()]
    assert found == [
        f"{source}-r8-own-{equal}-s{seed}" for source in ("tiny", "other") for seed in (0, 1) for equal in ("text", "compute")
    ]  # fmt: skip
    assert [cell.row for cell in recipe.own_cells()[:2]] == ["own tokenizer, same text", "own tokenizer, same compute"]
    assert not {cell.own for cell in recipe.cells()} - {None}
    assert plan_of(matrix).recipe.own_cells() == []


def test_they_are_scored_and_compared_with_what_stands_beside_them(matrix: Path) -> None:
    recipe = plan_of(matrix, OWN, "evaluate.further.tagging.when=[before, after]").recipe
    after = [one.name for one in scorings(recipe, "after") if one.cell.own]
    assert "tiny-r8-own-text-s0-after" in after
    assert "tiny-r8-own-text-s0-after-tagging" in after
    references = {one.name for one in scorings(recipe, "before") if one.is_reference}
    assert references == {"tiny", "tiny-before-tagging"}
    names = [pair.name for pair in comparisons(recipe)]
    assert len(names) == len({*names})
    assert {"tiny-r8-ours-s0-after-with-own-text", "tiny-r8-random-s0-after-tagging-with-own-compute"} < {*names}
    assert "training-tiny-r8-own-text-s0-tagging" in names
    assert not [name for name in names if "before-with-own" in name]


def test_a_further_evaluation_may_be_of_some_methods(matrix: Path) -> None:
    named = ("evaluate.further.tagging.cells=[ours]", "evaluate.further.tagging.when=[before, after]")
    recipe = plan_of(matrix, OWN, *named).recipe
    tagged = [one for when in ("before", "after") for one in scorings(recipe, when) if one.part == "tagging"]
    assert {(one.cell.method, one.cell.own) for one in tagged} == {
        ("ours", None), ("own-text", "text"), ("own-compute", "compute"),
    }  # fmt: skip
    names = {pair.name for pair in comparisons(recipe)}
    assert "tiny-r8-ours-s0-after-tagging-with-own-compute" in names
    assert not [name for name in names if "tagging-with-random" in name]
    with pytest.raises(InputError, match=r"evaluate\.further\.tagging\.cells"):
        plan_of(matrix, "evaluate.further.tagging.cells=[mine]")


def test_a_phase_for_rows_that_are_new_is_left_out(recipe: Path) -> None:
    for phase, kept in (("all_but_old_rows", False), ("new_rows", False), ("embeddings", False), ("head", True)):
        settings = (f"train.settings.phase={phase}", "train.settings.phase_steps=3")
        found = plan_of(recipe, OWN, *settings, "train.own_settings={learning_rate: 0.01}").recipe
        own, others = settings_of(found, "own-text"), settings_of(found)
        assert others["phase"] == phase
        assert (own.get("phase"), own.get("phase_steps")) == ((phase, 3) if kept else (None, None))
        assert own["learning_rate"] == 0.01
        assert deciding_settings(found, "own-text")["learning_rate"] == 0.01
        assert "learning_rate" not in others


def test_all_rows_of_a_source_are_old_ones(recipe: Path) -> None:
    rates = "train.settings.learning_rates={embeddings: 0.1, old_rows: 0.01, body: 0.02}"
    found = plan_of(recipe, OWN, rates).recipe
    assert settings_of(found, "own-text")["learning_rates"] == {"embeddings": 0.01, "body": 0.02}
    assert settings_of(found)["learning_rates"] == {"embeddings": 0.1, "old_rows": 0.01, "body": 0.02}


def test_a_method_may_have_settings_of_its_own(recipe: Path) -> None:
    rates = (
        "train.settings.learning_rates={embeddings: 0.1}",
        "train.method_settings={random: {learning_rates: {body: 0.3}}}",
    )
    plan = plan_of(recipe, OWN, *rates)
    assert settings_of(plan.recipe)["learning_rates"] == {"embeddings": 0.1}
    assert settings_of(plan.recipe, "ofa")["learning_rates"] == {"embeddings": 0.1}
    assert settings_of(plan.recipe, "random")["learning_rates"] == {"body": 0.3}
    assert settings_of(plan.recipe, "own-text")["learning_rates"] == {"embeddings": 0.1}
    plan.write_train_config()
    trained = {stage.cell: stage.command for stage in plan.stages() if stage.kind == "train"}
    of_random = plan.out / "train-for-random.yaml"
    assert read_yaml(of_random)["learning_rates"] == {"body": 0.3}
    assert str(of_random) in trained["tiny-r8-random-s0"]
    assert str(plan.train_config) in trained["tiny-r8-ofa-s0"]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["train.method_settings={rndom: {}}"], r"train\.method_settings.*rndom"),
        (["train.method_settings={random: {steps: 9}}"], r"method_settings\.random\.steps would not compare with other methods"),
        (["train.method_settings={random: {run: x}}"], r"train\.method_settings\.random\.run is set for each cell"),
        (["train.method_settings={random: {learning_rte: 1}}"], r"train\.method_settings\.random.*did you mean .*learning_rate"),
        (["train.own_tokenizer=[words]"], r"train\.own_tokenizer"),
        (["train.own_tokenizer=[text, text]"], r"own_tokenizer must be a list of different values"),
        (["train.own_settings={learning_rate: 0.1}"], r"own_settings is for the rows of own_tokenizer, which names none"),
        ([OWN, "train.own_settings={steps: 9}"], r"own_settings\.steps follows from that of the other rows; leave it out"),
        ([OWN, "train.own_settings={run: x}"], r"train\.own_settings\.run is set for each cell"),
        ([OWN, "train.own_settings={learning_rte: 1}"], r"train\.own_settings.*did you mean .*learning_rate"),
        ([OWN, "train.seeds=[]"], r"train\.own_tokenizer needs cells that are trained, and train names none"),
        (["matrix.methods={own-text: {}}", "evaluate.against=[]"], r"own-text is a row of train\.own_tokenizer; call"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(recipe: Path, settings: list[str], words: str) -> None:
    with pytest.raises(InputError, match=words):
        plan_of(recipe, *settings)
