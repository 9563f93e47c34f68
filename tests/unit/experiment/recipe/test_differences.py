"""Differences from the paper: each is named, with a heading that explains it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hyperofa.experiment.recipe.differences import differences
from hyperofa.experiment.recipe.resolve import Replacements, find_recipe, load_recipe

ROOT = Path(__file__).parents[4]


@pytest.mark.parametrize(
    "name", ["quickstart", "small", "multilingual", "decoder", "paper/xlm-roberta", "llm/llama-8b"]
)
def test_each_difference_is_explained(name: str) -> None:
    recipe = load_recipe(find_recipe(name), Replacements(), lenient=True)
    rows = differences(recipe, ["default"], 64)
    text = (ROOT / "docs" / "differences.md").read_text(encoding="utf-8")
    headings = {
        re.sub(r"[^a-z0-9 -]", "", line[3:].lower()).replace(" ", "-")
        for line in text.splitlines()
        if line[:3] == "## "
    }
    assert rows
    assert {row["anchor"] for row in rows} <= headings


def test_the_paper_recipe_differs_in_little() -> None:
    recipe = load_recipe(find_recipe("paper/xlm-roberta"), Replacements())
    found = {row["what"] for row in differences(recipe, ["paper"], 512)}
    assert found == {"hypernetwork", "languages in a mean"}


def told(name: str, *settings: str, **given: Path) -> dict[str, str]:
    variables = {"data": "x"} if name != "quickstart" and not name.startswith("paper") else {}
    replaced = Replacements(variables=variables, settings=settings, **given)  # type: ignore[arg-type]
    rows = differences(load_recipe(find_recipe(name), replaced), ["default"], 64, replaced)
    return {row["what"]: row["here"] for row in rows}


def test_the_largest_differences_of_the_small_recipe_are_told() -> None:
    found = told("small")
    assert found["training text"].startswith(
        "parallel and plain text of the recipe, at most 12,000 lines of a language"
    )
    assert found["objective"] == "sentence"
    assert found["scale of the coordinates (--scale-split)"] == "1 for all methods"
    assert found["dropout"] == "0"
    assert found["test items"].startswith(
        "the first 300 of a language (SR-T, SR-B), the first 600 of a language (NER, POS)"
    )
    assert "the first 150 during training" in found["test items"]
    assert found["fine-tuning of taggers"] == "rate 0.0002 and epochs 5 (NER, POS)"


def test_what_is_frozen_and_what_learns_first_is_told() -> None:
    own = "objective=tokens", "learning_rates={body: 0, primitives: 0}", "phase=head", "phase_steps=60", "steps=180"
    gap = "tied_gradient=input", "separate_documents=true"
    found = told("quickstart", *(f"train.settings.{word}" for word in (*own, *gap)))
    assert found["frozen parts"] == "body, primitives"
    assert found["phases"] == "head alone for 60 steps"
    phase = ("train.settings.phase=all_but_old_rows", "train.settings.phase_steps=0")
    assert told("quickstart", *phase)["phases"] == "all but old rows throughout"
    assert (found["dropout"], found["separate documents"], found["tied gradient"]) == ("0", "yes", "input")


def test_settings_of_a_method_are_told() -> None:
    own = "{learning_rates: {embeddings: 0.01, body: 0.001}, clip: 2}"
    found = told("small", f"train.method_settings={{random: {own}}}")
    assert found["training of random"] == "learning rates: embeddings 0.01, body 0.001; clip: 2"
    assert "training of random" not in told("small")


def test_settings_are_those_that_the_command_gets() -> None:
    methods = "matrix.methods={hyperofa: {parallel: [p]}, b: {method: ofa, scale_split: 0}}"
    found = told("quickstart", methods, "evaluate.against=[]")
    assert "method" not in found
    assert found["rows that learn"] == "hyperofa"
    assert "scale of the coordinates (--scale-split)" not in found


def test_methods_under_different_splits_are_told_apart() -> None:
    found = told("gpu/small", "init={}")["scale of the coordinates (--scale-split)"]
    assert found == "1: random, ofa, default; 0: hyperofa"
    assert "scale of the coordinates (--scale-split)" not in told("paper/roberta")
    assert "scale of the coordinates (--scale-split)" in told("paper/roberta", "init={}")


@pytest.mark.parametrize("name", ["small", "gpu/small", "paper/roberta", "paper/xlm-roberta", "quickstart"])
def test_shipped_recipes_compare_methods_under_one_split(name: str) -> None:
    here = told(name).get("scale of the coordinates (--scale-split)", "0 for all methods")
    assert here.endswith("for all methods")


def test_what_the_command_line_gives_is_told() -> None:
    found = told("quickstart", tokenizer="some/tok", vectors=Path("some/vec"))
    assert found["target tokenizer"] == "tok, given with --tokenizer"
    assert found["word vectors"] == "vec, given with --vectors"
    assert "messages of django" in found["training text"]
