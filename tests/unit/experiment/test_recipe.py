"""Recipes: what is refused, with which words; which commands a recipe becomes."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from hyperofa.base.resources import resource
from hyperofa.cli import main
from hyperofa.data.aligned import ParallelText, write_parallel
from hyperofa.data.inputs import SplitSettings
from hyperofa.data.split import write_split
from hyperofa.errors import DataMissingError, InputError
from hyperofa.experiment.recipe.resolve import Replacements, find_recipe, load_recipe
from hyperofa.experiment.workflow.graph import Plan

QUICKSTART = resource("recipes/quickstart.yaml")


@pytest.fixture
def parallel(tmp_path: Path) -> Path:
    """Sixty messages in two languages."""
    english = [f"open the {chr(97 + i // 10)}{chr(97 + i % 10)} file" for i in range(60)]
    write_parallel(
        tmp_path / "parallel",
        ParallelText(english, {lang: [f"{lang} {e}" for e in english] for lang in ("tur", "ces")}),
    )
    return tmp_path / "parallel"


def edited(tmp_path: Path, **changes: Any) -> Path:
    """The quick start's recipe with ``group__key=value`` changed."""
    recipe = yaml.safe_load(QUICKSTART.read_text(encoding="utf-8"))
    for name, value in changes.items():
        *groups, key = name.split("__")
        inner = recipe
        for group in groups:
            inner = inner[group]
        inner[key] = value
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe, sort_keys=False), encoding="utf-8")
    return path


def test_the_shipped_recipe_covers_the_mission() -> None:
    recipe = load_recipe(QUICKSTART, Replacements())
    assert len(recipe.parallel.languages) == 17
    assert set(recipe.parallel.pivots) == {"deu", "fra", "spa", "rus"}
    assert [cell.name for cell in recipe.cells()] == [f"minilm-r100-{m}-s0" for m in ("random", "ofa", "ofa-ridge")]


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


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"matrix__rank": [100]}, r"unknown config key 'matrix\.rank'; did you mean 'matrix\.ranks'"),
        ({"train__settings__learning_rte": 1e-4}, r"learning_rte.*did you mean .*learning_rate"),
        ({"train__stop_at_step": None, "train__settings__steps": 0}, r"steps must be at least 1"),
        ({"train__stop_at_step": 100_000}, r"stop_at_step must lie between 0 and"),
        ({"train__settings__run": "elsewhere"}, r"train\.settings\.run is set for each cell"),
        ({"matrix__methods": {"hyperova": {}}, "evaluate__against": []}, r"'hyperova'.*did you mean 'hyperofa'"),
        ({"matrix__methods": {"Not A Name": {}}}, r"must be lower-case letters"),
        ({"evaluate__against": ["mean"]}, r"names 'mean', which matrix\.methods does not have"),
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


def test_stages_are_commands_a_person_could_type(tmp_path: Path, parallel: Path) -> None:
    recipe = load_recipe(edited(tmp_path, matrix__ranks=[8, 16]), Replacements(data=parallel))
    plan = Plan(recipe, tmp_path / "out", Replacements(data=parallel))
    write_split(parallel, SplitSettings(test=50, min_test=10), [], plan.data)
    stages = list(plan.stages())
    # source, split; vectors, tokenizer, corpus; the source's scores; four a cell; three pairs of methods twice; each with itself
    assert len(stages) == 2 + 3 + 1 + 4 * 6 + 2 * 3 * 2 + 6
    assert len({stage.name for stage in stages}) == len(stages)
    assert len({stage.output for stage in stages}) == len(stages)
    assert {stage.command[0] for stage in stages} == {"hyperofa", "hyperofa-eval", "accelerate"}
    known = [*(stage.output for stage in stages), parallel, plan.train_config, plan.data]
    for stage in stages:
        typed = shlex.split(stage.typed)[len(stage.env) :]
        if stage.pattern is not None:
            at = typed.index(str(stage.pattern))
            typed[at : at + 1] = map(str, sorted(stage.pattern.parent.glob(stage.pattern.name)))
        assert tuple(typed) == stage.command
        for path in stage.inputs:
            assert path.exists() or any(path.is_relative_to(place) for place in known), path
    train = next(stage for stage in stages if stage.name == "train-minilm-r8-ofa-s0")
    assert train.typed.startswith("OMP_NUM_THREADS=")
    assert "accelerate launch --config_file launch/cpu_pair.yaml -m hyperofa.train" in train.typed.replace(
        str(resource("launch/cpu_pair.yaml")), "launch/cpu_pair.yaml"
    )


def test_replacements_take_the_place_of_stages(tmp_path: Path, parallel: Path) -> None:
    given = Replacements("org/model", str(tmp_path / "tok"), tmp_path / "vec", parallel)
    plan = Plan(load_recipe(QUICKSTART, given), tmp_path / "out", given)
    write_split(parallel, SplitSettings(test=50, min_test=10), [], plan.data)
    names = [stage.name for stage in plan.stages()]
    assert names[:3] == ["split", "corpus", "eval-minilm"]
    init = next(stage for stage in plan.stages() if stage.name.startswith("init-"))
    assert {"org/model", str(tmp_path / "tok"), str(tmp_path / "vec")} < set(init.command)


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


def test_the_command_refuses_with_one_line_and_writes_nothing(
    tmp_path: Path, parallel: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine.txt").write_text("precious")
    out = str(tmp_path / "out")
    typed = {
        ("--out", str(full), "--data", str(parallel)): 2,
        ("--out", out, "--recipe", str(tmp_path / "none.yaml")): 2,
        ("--out", out, "--recipe", str(edited(tmp_path, matrix__methods={"hyperova": {}}, evaluate__against=[]))): 2,
        ("--out", out, "--data", str(tmp_path / "nowhere")): 3,
        ("--out", out, "--colour"): 2,
    }
    for words, code in typed.items():
        try:
            found = main(["quickstart", *words])
        except SystemExit as exit_:
            found = int(str(exit_.code))
        lines = capsys.readouterr().err.strip().splitlines()
        assert (found, len(lines)) == (code, 1), (words, lines)
    assert not (tmp_path / "out").exists()
    assert [path.name for path in full.iterdir()] == ["mine.txt"]


def test_a_folder_of_the_same_name_does_not_hide_a_shipped_recipe(tmp_path, monkeypatch):
    (tmp_path / "small").mkdir()
    monkeypatch.chdir(tmp_path)
    assert find_recipe("small").name == "small.yaml"
