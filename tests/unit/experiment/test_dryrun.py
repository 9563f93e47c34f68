"""Dry runs: every shipped recipe is resolved and planned, and nothing is fetched."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from support.plans import SHIPPED

from hyperofa.cli import main
from hyperofa.errors import HyperofaError
from hyperofa.experiment.dryrun import downloads, extended_config, missing
from hyperofa.experiment.recipe.resolve import Replacements, find_recipe, load_recipe
from hyperofa.experiment.workflow.graph import Plan


def run(*words: str) -> int:
    try:
        return main(["experiment", *words])
    except SystemExit as exit_:
        return int(str(exit_.code))


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_recipe_is_resolved_without_fetching(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(find_recipe(name), Replacements(), lenient=True)
    plan = Plan(recipe, tmp_path / "out")
    stages = plan.stages()
    assert len({stage.name for stage in stages}) == len(stages)
    assert len({stage.output for stage in stages}) == len(stages)
    fetched = {row["name"] for row in downloads(plan)}
    models = {source.model for source in recipe.sources.values() if source.model}
    assert models <= fetched
    if name.startswith("paper/"):
        assert len([row for row in downloads(plan) if row["kind"] == "text"]) == 22
        assert {row["name"] for row in missing(plan)} == {"colexnet_vectors_minlang_50_200_10_updated.wv", "test-sets"}
        assert sum(recipe.corpus["cap"].values()) == 35_731_124
        assert extended_config(plan, recipe.sources[next(iter(recipe.sources))], "-", 200)["vocab_size"] == 401_145
    assert not (tmp_path / "out").exists()


def test_a_size_that_the_text_decides_is_not_known_before(tmp_path: Path) -> None:
    recipe = load_recipe(find_recipe("quickstart"), Replacements(), lenient=True)
    assert recipe.target is None or recipe.target.size is None
    plan = Plan(replace(recipe, tokenizer={"vocab_size": "auto"}), tmp_path / "out")
    source = replace(next(iter(recipe.sources.values())), config={"model_type": "bert"})
    with pytest.raises(HyperofaError, match=r"size is not known before it is made; give target\.size"):
        extended_config(plan, source, "-", "full")


def test_a_dry_run_plans_the_paper(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--dry-run", "--json", "--out", str(tmp_path / "out"), "--set", "matrix.ranks=[400]"]
    assert run("paper/xlm-roberta", *words) == 0
    found = json.loads(capsys.readouterr().out)
    (row,) = found["plans"]
    assert row["plan"]["embedding_parameters"] == 401_145 * 400 + 400 * 768 + 401_145  # F, P and the head's bias
    assert row["plan"]["tokens"] == 4000 * 512 * 512
    assert row["plan"]["fits"]
    assert any("hub:cis-lmu/Glot500@tur_Latn" in stage["command"] for stage in found["stages"])
    assert not (tmp_path / "out").exists()
