"""Which languages the stages learn from: those the recipe names, whatever else lies in the folders of text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from hyperofa.base.resources import resource
from hyperofa.errors import InputError
from hyperofa.experiment.recipe.resolve import Replacements, load_recipe
from hyperofa.experiment.workflow.graph import Plan

GATHERED = {"train": {"deu": 9, "fra": 9, "swh": 9, "tur": 9}, "english": 9, "rows": 9, "left_out": {}}


def plan_of(tmp_path: Path, made: dict[str, Any] | None = None, **values: Any) -> Plan:
    (tmp_path / "source").mkdir(exist_ok=True, parents=True)
    content = {
        "name": "mine",
        "sources": {"tiny": {"model": str(tmp_path / "source")}},
        "target": {"extend": "tiny"},
        "tokenizer": {"vocab_size": 100},
        "matrix": {"ranks": [8], "methods": {"random": {}}},
        "train": {"settings": {"steps": 10, "global_batch_size": 8}},
        "evaluate": {"tasks": ["sr-t"]},
        **values,
    }
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    plan = Plan(load_recipe(path, Replacements()), tmp_path / "out")
    if made is not None:
        plan.data.mkdir(parents=True, exist_ok=True)
        plan.data_marker.write_text(json.dumps(made), encoding="utf-8")
    return plan


def inputs(**more: Any) -> dict[str, Any]:
    return {"parallel": ["news"], "test": "test", "languages": ["swh", "tur"], **more}


def texts(plan: Plan, name: str) -> list[str]:
    (stage,) = [stage for stage in plan.stages() if stage.name == name]
    words = list(stage.command)
    files = words[words.index("--text") + 1 :]
    return [Path(word).stem for word in files if word.endswith(".txt")]


def test_a_tokenizer_grows_for_the_recipe_s_languages_alone(tmp_path):
    plan = plan_of(tmp_path, GATHERED, inputs=inputs())
    assert texts(plan, "tokenizer") == ["swh", "tur"]
    assert texts(plan, "corpus") == ["eng", "swh", "tur"]
    assert plan.languages().idle == ["deu", "fra"]


def test_a_new_tokenizer_is_made_for_english_too(tmp_path):
    plan = plan_of(tmp_path, GATHERED, inputs=inputs(), target=None)
    assert texts(plan, "tokenizer") == texts(plan, "corpus") == ["eng", "swh", "tur"]


def test_before_the_data_is_there_the_languages_expected_are_the_same(tmp_path):
    before = plan_of(tmp_path, None, inputs=inputs())
    assert not before.languages().known
    expected = [texts(before, name) for name in ("tokenizer", "corpus")]
    after = plan_of(tmp_path, GATHERED, inputs=inputs())
    assert [texts(after, name) for name in ("tokenizer", "corpus")] == expected


def test_further_languages_are_learnt_and_not_scored(tmp_path):
    plan = plan_of(tmp_path, GATHERED, inputs=inputs(further_languages=["deu"]))
    assert texts(plan, "tokenizer") == ["deu", "swh", "tur"]
    assert texts(plan, "corpus") == ["deu", "eng", "swh", "tur"]
    (score,) = [stage for stage in plan.stages() if stage.name == "eval-tiny"]
    assert "swh,tur" in score.command
    plan = plan_of(tmp_path, GATHERED, inputs=inputs(further_languages="all"))
    assert texts(plan, "tokenizer") == ["deu", "fra", "swh", "tur"]
    assert texts(plan, "corpus") == ["deu", "eng", "fra", "swh", "tur"]


def test_named_languages_without_any_text_are_told(tmp_path):
    named = inputs(languages=["swh", "kab"], further_languages=["deu_Latn", "gla"])
    assert list(plan_of(tmp_path, GATHERED, inputs=named).languages().without_text) == ["kab", "gla"]
    assert not plan_of(tmp_path / "before", None, inputs=named).languages().without_text


def test_languages_that_the_source_knows_are_scored_and_not_learnt(tmp_path):
    for further in (["fra"], "all"):
        given = inputs(languages=["swh"], known_languages=["tur"], further_languages=further)
        plan = plan_of(tmp_path, GATHERED, inputs=given)
        assert "tur" not in texts(plan, "tokenizer") + texts(plan, "corpus")
        assert "tur" in plan.languages().idle
        assert plan.languages().scored == ["swh", "tur"]
    (score,) = [stage for stage in plan.stages() if stage.name == "eval-tiny"]
    assert "swh,tur" in score.command
    with pytest.raises(InputError, match="tur: among known_languages and those that are learnt; name it once"):
        plan_of(tmp_path, inputs=inputs(known_languages=["tur"]))


def test_english_is_extended_for_where_it_is_named(tmp_path):
    plan = plan_of(tmp_path, GATHERED, inputs=inputs(languages=["eng", "swh"]))
    assert texts(plan, "tokenizer") == ["eng", "swh"]


def test_a_code_with_a_script_meets_the_bare_one_and_no_other_script(tmp_path):
    made = {**GATHERED, "train": {"aze_Arab": 9, "aze_Latn": 9, "swh_Latn": 9, "uig": 9}}
    plan = plan_of(tmp_path, made, inputs=inputs(languages=["aze_Latn", "swh", "uig_Arab"]))
    assert texts(plan, "tokenizer") == ["aze_Latn", "swh_Latn", "uig"]


def test_pivots_of_text_that_is_split_are_trained_on_but_not_extended_for(tmp_path):
    made = {"train": {"deu": 9, "fra": 9, "swh": 9, "tur": 9}, "languages": ["fra", "swh", "tur"], "pivots": ["deu"]}
    parallel = {"dir": str(tmp_path / "news"), "languages": {"swh": "sw", "tur": "tr"}, "pivots": {"deu": "de"}}
    plan = plan_of(tmp_path, made, parallel=parallel)
    assert texts(plan, "tokenizer") == ["swh", "tur"]
    assert texts(plan, "corpus") == ["deu", "eng", "swh", "tur"]
    assert plan.languages().scored == ["swh", "tur"]
    parallel.pop("languages")
    plan = plan_of(tmp_path, made, parallel=parallel)
    assert texts(plan, "tokenizer") == plan.languages().scored == ["fra", "swh", "tur"]


def test_parallel_text_that_rows_learn_from_is_that_of_the_languages_learnt(tmp_path):
    methods = {
        "random": {},
        "refined": {"method": "random", "parallel": ["${parallel}"]},
    }
    plan = plan_of(tmp_path, GATHERED, inputs=inputs(), matrix={"ranks": [8], "methods": methods})
    folder = plan.data / "parallel"
    folder.mkdir()
    for code in ("deu", "eng", "fra", "swh", "tur"):
        (folder / f"{code}.txt").write_text("one line\n")
    command = next(stage.command for stage in plan.stages() if stage.name == "init-tiny-r8-refined-s0")
    place = command.index("--parallel") + 1
    assert command[place : place + 3] == tuple(str(folder / f"{code}.txt") for code in ("eng", "swh", "tur"))
    assert command[place + 3].startswith("--")
    plan = plan_of(
        tmp_path, GATHERED, inputs=inputs(further_languages="all"), matrix={"ranks": [8], "methods": methods}
    )
    command = next(stage.command for stage in plan.stages() if stage.name == "init-tiny-r8-refined-s0")
    assert command[command.index("--parallel") + 1] == str(folder)


def test_languages_without_any_text_are_refused_with_those_that_have_some(tmp_path):
    plan = plan_of(tmp_path, GATHERED, inputs=inputs(languages=["kab"]))
    with pytest.raises(InputError, match=r"none of the languages has text .* deu, fra, swh, tur"):
        plan.stages()


def test_a_command_as_typed_names_files_where_a_pattern_would_name_more(tmp_path):
    plan = plan_of(tmp_path, GATHERED, inputs=inputs())
    typed = {stage.name: stage.typed for stage in plan.stages()}
    assert "*.txt" not in typed["tokenizer"]
    assert "*.txt" not in typed["corpus"]
    plan = plan_of(tmp_path, GATHERED, inputs=inputs(further_languages="all"))
    typed = {stage.name: stage.typed for stage in plan.stages()}
    assert "*.txt" not in typed["tokenizer"], "English has text and is not extended for"
    assert "*.txt" in typed["corpus"]


@pytest.mark.parametrize("name", ["small", "gpu/small"])
def test_shipped_recipes_that_train_on_every_language_say_so(name):
    recipe = load_recipe(resource(f"recipes/{name}.yaml"), Replacements(variables={"data": "x"}))
    assert recipe.inputs is not None
    assert recipe.inputs.further_languages == "all"


def test_a_language_is_no_pivot_as_well(tmp_path):
    wheel = {"name": "a", "version": "1", "sha256": "0" * 64}
    parallel = {"wheel": wheel, "languages": {"swh": "sw", "tur": "tr"}, "pivots": {"tur": "tr"}}
    with pytest.raises(InputError, match="tur: among languages and pivots"):
        plan_of(tmp_path, parallel=parallel)
