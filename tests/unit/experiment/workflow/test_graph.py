"""The graph of an experiment: which stages a recipe becomes, what they read, and what decides them."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
import yaml
from support.finished import finish
from support.plans import QUICKSTART, edited, plan_of, write_one_line_each

from hyperofa.base.resources import resource
from hyperofa.data.settings import SplitSettings
from hyperofa.data.split import write_split
from hyperofa.experiment.recipe.resolve import Replacements, load_recipe
from hyperofa.experiment.workflow.graph import Plan
from hyperofa.experiment.workflow.stage import Ledger


def test_the_matrix_becomes_stages(matrix: Path) -> None:
    plan = plan_of(matrix)
    stages = {stage.name: stage for stage in plan.stages()}
    assert len(stages) == len(plan.stages())
    kinds = [stage.kind for stage in stages.values()]
    # pairs of methods: four before, one after, one of taggers; each trained cell with itself
    assert {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)} == {
        "gather": 1, "vectors": 1, "tokenizer": 1, "corpus": 1, "eval": 1 + 8 + 2 + 2, "init": 8, "train": 2, "compare": 6 + 2,
    }  # fmt: skip
    full = stages["init-tiny-rfull-ours-s1"].command
    assert "--rank" not in full
    assert full[full.index("--parallel") + 1] == str(plan.data / "parallel")
    assert plan.data / "parallel" in stages["init-tiny-rfull-ours-s1"].inputs
    assert str(matrix.parent / "text" / "tur.txt") in stages["gather"].command
    settings = yaml.safe_load(plan.train_config.read_text())
    assert settings["eval_every"] == 5
    own = {"tasks": ["sr-t"], "protocol": "default", "dtype": "float32", "languages": ["tur"]}
    assert settings["evaluation"] == {**own, "data": str(matrix.parent / "test")}


def test_the_quick_start_gives_the_default_what_a_user_would(tmp_path: Path) -> None:
    plan = Plan(load_recipe(QUICKSTART, Replacements()), tmp_path)
    stage = next(stage for stage in plan.rest() if stage.name == "init-minilm-r100-default-s0")
    given = dict(zip(stage.command[2::2], stage.command[3::2], strict=False))
    assert "--method" not in stage.command
    assert given["--parallel"] == str(plan.data / "parallel")
    assert given["--vectors"] == str(plan.vectors)
    assert plan.data / "parallel" in stage.inputs


REPLAY = "corpus.replay={eng: 0.1, deu: 0.1}"


def test_a_replayed_language_outside_the_table_is_scored_where_it_has_a_test_set(recipe: Path) -> None:
    def beside() -> list[str]:
        (stage,) = [stage for stage in plan_of(recipe, REPLAY).stages() if stage.name == "eval-tiny"]
        words = list(stage.command)
        return words[words.index("--beside") + 1].split(",")

    assert beside() == ["eng"]
    write_one_line_each(recipe.parent, "test/tatoeba/deu-eng.deu", "test/tatoeba/deu-eng.eng")
    assert beside() == ["eng", "deu"]


METHOD = """
from hyperofa.init.registry import Method
mine = Method("mine", "zeros", lambda problem: problem.rows[:0])
"""


TASK = """
from hyperofa_eval.tasks.retrieval import Retrieval
from hyperofa_eval.tasks import add_task
add_task(Retrieval("sr-own", "own"))
"""


def test_files_of_ones_own_decide_the_stages_that_run_them(matrix: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hyperofa.experiment.workflow.stage import Ledger
    from hyperofa_eval.tasks import registry as tasks

    monkeypatch.setattr(tasks, "_ADDED", {})
    monkeypatch.chdir(matrix.parent)
    Path("mine.py").write_text(METHOD)
    Path("own.py").write_text(TASK)
    further = "evaluate.further.own={tasks: [sr-own], settings: {extensions: [own.py]}, cells: all, when: [before]}"
    plan = plan_of(matrix, "matrix.methods.ours={method: 'mine.py:mine'}", further)
    stages = {stage.name: stage for stage in plan.stages()}

    def keys() -> dict[str, str]:
        return {name: Ledger(plan.out / "stages").key(stage) for name, stage in stages.items()}

    first = keys()
    Path("mine.py").write_text(METHOD + "# changed\n")
    second = keys()
    changed = {name for name in stages if first[name] != second[name]}
    assert changed == {name for name in stages if name.startswith("init-") and "ours" in name} != set()
    Path("own.py").write_text(TASK + "# changed\n")
    changed = {name for name, key in keys().items() if key != second[name]}
    assert changed == {"gather", *(name for name in stages if name.endswith("-before-own"))}
    assert stages["gather"].command[-4:] == ("--tasks", "sr-own", "--with", "own.py")


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


def test_rows_made_when_their_method_had_another_meaning_do_not_hold(
    recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    methods = "matrix.methods={random: {}, hyperofa: {}}"
    with monkeypatch.context() as patch:
        patch.setattr("hyperofa.init.registry.RECORD_SCHEMA", 1)
        finish(plan := plan_of(recipe, methods))
    ledger = Ledger(plan.out / "stages")
    stages = {stage.name: stage for stage in plan_of(recipe, methods).stages()}
    made = stages["init-tiny-r8-hyperofa-s0"]
    assert (made.output / "init.json").is_file()
    assert ledger.state(made, ledger.key(made)) == "new"


def test_a_training_stage_does_not_depend_on_the_test_sets(recipe: Path) -> None:
    plan = plan_of(recipe)
    (train, *_) = [stage for stage in plan.stages() if stage.kind == "train"]
    ledger = Ledger(plan.out / "stages")
    key = ledger.key(train)
    (recipe.parent / "test" / "tatoeba" / "tur-eng.eng").write_text("another line\n")
    assert ledger.key(train) == key
    assert plan.test in train.reads


def test_threads_are_those_of_the_cores_a_job_has(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(6)))
    (train, *_) = [stage for stage in plan_of(recipe).stages() if stage.kind == "train"]
    assert train.env == {"OMP_NUM_THREADS": "3"}  # of two processes each


def test_a_script_of_ones_own_decides_its_run(recipe: Path) -> None:
    script = recipe.parent / "mine.sh"
    script.write_text("echo one\n")
    plan = plan_of(recipe, f"train.launch={script}")
    (train, *_) = [stage for stage in plan.stages() if stage.kind == "train"]
    assert script in train.inputs
    config = recipe.parent / "own.json"
    plan = plan_of(recipe, f"train.settings.ds_config={config}")
    (train, *_) = [stage for stage in plan.stages() if stage.kind == "train"]
    assert config in train.reads


def test_a_tokenizer_learns_from_the_text_that_was_gathered(recipe: Path) -> None:
    plan = plan_of(recipe, f"inputs.corpus.swh={recipe.parent / 'swh.txt'}")
    data = plan.out / "data" / "gather.json"
    data.parent.mkdir()
    made = {"train": {"tur": 5}, "english": 0, "rows": 5, "left_out": {}}
    data.write_text(json.dumps(made))
    stages = {stage.name: stage.command for stage in plan.stages()}
    assert [Path(word).name for word in stages["tokenizer"] if word.endswith(".txt")] == ["tur.txt"]
    assert [Path(word).name for word in stages["corpus"] if word.endswith(".txt")] == ["tur.txt", "swh.txt"]
    data.write_text(json.dumps({**made, "english": 3}))
    stages = {stage.name: stage.command for stage in plan.stages()}
    assert [Path(word).name for word in stages["tokenizer"] if word.endswith(".txt")] == ["eng.txt", "tur.txt"]
