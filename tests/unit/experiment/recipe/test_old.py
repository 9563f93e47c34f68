"""Recipes that hold words of command lines: refused with a line that mends them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from hyperofa.errors import InputError
from hyperofa.experiment.recipe.resolve import Replacements, load_recipe

OLD = """
name: old
sources: {tiny: {model: source}}
inputs: {parallel: [news], test: test, languages: [tur]}
target: {model: tokenizer}
vectors: [--dim, "200"]
corpus: [--length, "64", --cap, eng=5, tur=3]
init: [--scale-split=1]
matrix:
  ranks: [8, full]
  seeds: [0, 1]
  methods:
    random: {}
    paper: {method: hyperofa, args: [--preset, paper, --option, layers=2, --option, learning_rate=1e-3]}
    hyperofa: {}
    parallel: {method: hyperofa, args: [--parallel, "${parallel}"], seeds: [0]}
train: {settings: {steps: 10, global_batch_size: 8}}
evaluate:
  tasks: [sr-t]
  args: [--limit, "300", --block, "4", --with, own.py]
  further:
    tagging: {tasks: [pos], args: [--seed, "0,1", --learning-rate, "2e-4"]}
"""


def refused(path: Path, values: dict[str, Any]) -> str:
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    with pytest.raises(InputError) as caught:
        load_recipe(path, Replacements())
    return str(caught.value)


def test_a_recipe_that_is_mended_as_the_error_says_is_read(tmp_path: Path) -> None:
    values = yaml.safe_load(OLD)
    line = refused(tmp_path / "old.yaml", values)
    assert line.startswith(
        f"{tmp_path / 'old.yaml'}: recipes hold settings now, and no command-line words; write vectors: "
    )
    for part in line.partition("; write ")[2].split("; "):
        place, _, settings = part.partition(": ")
        *groups, key = place.split(".")
        inner = values
        for group in groups:
            inner = inner[group]
        inner.pop("args", None)
        inner[key] = yaml.safe_load(settings)
    (tmp_path / "old.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    recipe = load_recipe(tmp_path / "old.yaml", Replacements())
    assert recipe.vectors == {"dim": 200}
    assert recipe.corpus == {"length": 64, "cap": {"eng": 5, "tur": 3}}
    found = {name: recipe.init_settings(name) for name in recipe.matrix.methods}
    assert {name: own.method for name, own in found.items()} == {
        "random": "random", "paper": "hyperofa", "hyperofa": "ofa-ridge", "parallel": "ofa-ridge"
    }  # fmt: skip
    assert {own.scale_split for own in found.values()} == {1.0}
    assert found["paper"].options["layers"] == 2
    assert found["parallel"].parallel == (Path("${parallel}"),)
    assert recipe.matrix.methods["parallel"]["seeds"] == [0]
    assert recipe.evaluate.settings == {"limit": 300, "block": 4, "extensions": ["own.py"]}
    assert recipe.evaluate.further["tagging"].resolved.seeds == (0, 1)


def test_words_that_no_command_has_are_sent_to_the_page_of_settings(tmp_path: Path) -> None:
    values = {**yaml.safe_load(OLD), "vectors": ["--dmi", "200"]}
    assert "write vectors: the settings that docs/settings.md lists; corpus: " in refused(tmp_path / "old.yaml", values)


def test_the_published_method_for_all_rows_keeps_its_name(tmp_path: Path) -> None:
    values = yaml.safe_load(OLD)
    values["init"] = ["--preset", "paper"]
    assert "matrix.methods.hyperofa" not in refused(tmp_path / "old.yaml", values)
