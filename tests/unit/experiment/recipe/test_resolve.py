"""Reading recipes: what is refused, with which words; variables and replacements."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.plans import QUICKSTART, edited

from hyperofa.errors import DataMissingError, InputError
from hyperofa.experiment.recipe.resolve import Replacements, find_recipe, load_recipe
from hyperofa.init.settings import InitSettings


def test_the_shipped_recipe_covers_the_mission() -> None:
    recipe = load_recipe(QUICKSTART, Replacements())
    assert len(recipe.parallel.languages) == 17
    assert set(recipe.parallel.pivots) == {"deu", "fra", "spa", "rus"}
    assert [cell.name for cell in recipe.cells()] == [f"minilm-r100-{m}-s0" for m in ("random", "ofa", "default")]


def test_the_row_default_names_no_method(tmp_path: Path) -> None:
    recipe = load_recipe(QUICKSTART, Replacements())
    assert "method" not in recipe.init_values("default")
    assert recipe.init_settings("default").method == InitSettings().method
    own = load_recipe(
        edited(tmp_path, matrix__methods={"random": {}, "ofa": {}, "default": {"method": "ridge"}}), Replacements()
    )
    assert own.init_settings("default").method == "ridge"


def test_a_method_can_be_kept_to_some_ranks_and_seeds(tmp_path: Path) -> None:
    methods = {"random": {}, "ofa": {"seeds": [1]}, "hyperofa": {"ranks": [50], "seeds": [0]}}
    recipe = load_recipe(
        edited(tmp_path, matrix__ranks=[50, 100], matrix__seeds=[0, 1], matrix__methods=methods), Replacements()
    )
    found = [cell.name.removeprefix("minilm-") for cell in recipe.cells()]
    assert [name for name in found if "random" not in name] == [
        "r50-hyperofa-s0", "r50-ofa-s1", "r100-ofa-s1"
    ]  # fmt: skip
    assert len(found) == 4 + 3


def test_without_random_and_without_a_word_nothing_is_compared_with(tmp_path: Path) -> None:
    shipped = load_recipe(edited(tmp_path, evaluate={"tasks": ["sr-t"]}), Replacements())
    assert shipped.against == ["random"]
    alone = edited(tmp_path, evaluate={"tasks": ["sr-t"]}, matrix__methods={"ofa": {}})
    assert load_recipe(alone, Replacements()).against == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"matrix__rank": [100]}, r"unknown config key 'matrix\.rank'; did you mean 'matrix\.ranks'"),
        ({"train__settings__learning_rte": 1e-4}, r"learning_rte.*did you mean .*learning_rate"),
        (
            {"train__stop_at_step": None, "train__settings__steps": 0},
            r"train\.settings: steps: 0 is not a number of 1 or more",
        ),
        ({"train__stop_at_step": 100_000}, r"stop_at_step must lie between 0 and"),
        ({"train__settings__run": "elsewhere"}, r"train\.settings\.run is set for each cell"),
        ({"matrix__methods": {"hyperova": {}}, "evaluate__against": []}, r"'hyperova'.*did you mean 'hyperofa'"),
        (
            {"matrix__methods": {"default": {"options": {"epoch": 3}}}, "evaluate__against": []},
            r"'epoch'.*did you mean 'epochs'",
        ),
        ({"matrix__methods": {"Not A Name": {}}}, r"must be lower-case letters"),
        ({"evaluate__against": ["mean"]}, r"names 'mean', which matrix\.methods does not have"),
        (
            {"train__stop_at_step": None, "train__settings__stop_at": 3},
            r"train\.settings\.stop_at is set for each cell",
        ),
        (
            {
                "sources": {"a": {"model": "x"}, "a-r1": {"model": "y"}},
                "matrix__methods": {"ofa": {}, "r1-ofa": {"method": "ofa"}},
                "matrix__ranks": [1],
                "evaluate__against": [],
            },
            r"two cells of the matrix would both be called a-r1-r1-ofa-s0",
        ),
        ({"matrix__methods": {"ofa": {"seeds": [7]}}, "evaluate__against": []}, r"matrix\.methods\.ofa\.seeds names 7"),
        ({"matrix__seeds": [1, 1]}, r"seeds must be a list of different values"),
        ({"split__document": "book"}, r"split\.document"),
        ({"sources__minilm__wheel__sha256": "123"}, r"is not a SHA-256"),
        ({"sources__minilm__model": "some/dir"}, r"give either model, or wheel and folder"),
    ],
)
def test_wrong_recipes_are_refused_before_anything_runs(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        load_recipe(edited(tmp_path, **changes), Replacements())


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (Replacements(source="./none"), r"no such model directory"),
        (Replacements(tokenizer="none"), r"no such tokenizer directory"),
        (Replacements(vectors=Path("none")), r"no such word-vector directory"),
        (Replacements(data=Path("none")), r"no such directory"),
    ],
)
def test_missing_replacements_are_named(given: Replacements, words: str) -> None:
    with pytest.raises(DataMissingError, match=words):
        given.check()


def test_a_folder_of_the_same_name_does_not_hide_a_shipped_recipe(tmp_path, monkeypatch):
    (tmp_path / "small").mkdir()
    monkeypatch.chdir(tmp_path)
    assert find_recipe("small").name == "small.yaml"
