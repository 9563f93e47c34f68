"""What a report counts: stages that hold under the settings of now, and nothing that was made under others."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.finished import finish

from hyperofa.cli import main
from hyperofa.errors import InputError
from hyperofa.experiment.execution import write_report
from hyperofa.experiment.recipe.resolve import Replacements, load_recipe
from hyperofa.experiment.results.collect import gather
from hyperofa.experiment.workflow.display import Display
from hyperofa.experiment.workflow.graph import Plan
from hyperofa.experiment.workflow.runner import Runner, StageError
from hyperofa.experiment.workflow.stage import Ledger, Stage
from hyperofa_eval.base.files import write_json


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    for name in ("news/eng.txt", "news/tur.txt", "test/tatoeba/tur-eng.tur", "test/tatoeba/tur-eng.eng"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("one line\n", encoding="utf-8")
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "config.json").write_text("{}")
    values: dict[str, Any] = {
        "name": "mine",
        "sources": {"tiny": {"model": str(tmp_path / "source")}},
        "inputs": {"parallel": [str(tmp_path / "news")], "test": str(tmp_path / "test"), "languages": ["tur"]},
        "tokenizer": {"vocab_size": 100},
        "matrix": {"ranks": [8], "methods": {"random": {}, "ofa": {}}},
        "train": {"evaluate_every": 5, "settings": {"steps": 10, "global_batch_size": 8}},
        "evaluate": {"tasks": ["sr-t"]},
    }
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    return path


def plan_of(recipe: Path, *settings: str) -> Plan:
    given = Replacements(settings=settings)
    plan = Plan(load_recipe(recipe, given), recipe.parent / "out", given)
    plan.write_configs()
    return plan


def test_scores_of_other_settings_do_not_count(recipe: Path) -> None:
    plan = plan_of(recipe)
    finish(plan)
    whole = gather(plan)
    assert whole["unfinished"] == []
    assert whole["cells"]["tiny-r8-ofa-s0"]["before"]["scores"]["top10"]["mean"] == 20.0

    broken = gather(plan_of(recipe, "matrix.methods.ofa.options={neighbours: 3}"))
    cell = broken["cells"]["tiny-r8-ofa-s0"]
    assert (cell["before"], cell["after"], cell["provenance"], cell["loss"], cell["way"]) == (
        None,
        None,
        None,
        [],
        None,
    )
    assert {row["method"] for row in broken["table"]} == {"random"}
    assert {row["method"] for row in broken["paired"]} == {
        "random"
    }  # after against before of the cell that still holds
    assert "init-tiny-r8-ofa-s0" in broken["unfinished"]
    assert not any("ofa" in stage["name"] for stage in broken["stages"])
    assert broken["wall_s"] < whole["wall_s"]
    assert gather(plan_of(recipe))["table"] == whole["table"]


def test_a_changed_cell_that_fails_is_named_and_its_old_scores_are_not(recipe: Path) -> None:
    plan = plan_of(recipe)
    finish(plan)
    changed = plan_of(recipe, "matrix.methods.ofa.options={neighbours: 3}")
    ledger = Ledger(changed.out / "stages")
    stage = next(stage for stage in changed.stages() if stage.name == "init-tiny-r8-ofa-s0")
    ledger.retire(stage)
    ledger.begin(stage, ledger.key(stage))
    ledger.note(stage, failed_at=1.0, code=2)
    results = write_report(changed)
    assert results["failed"] == {"init-tiny-r8-ofa-s0": "failed"}
    assert results["cells"]["tiny-r8-ofa-s0"]["after"] is None
    page = (changed.out / "report.html").read_text(encoding="utf-8")
    assert "Not complete" in page
    assert json.loads((changed.out / "summary.json").read_text())["failed"]


def test_a_report_of_a_method_at_another_rank_or_without_a_score_before(recipe: Path) -> None:
    plan = plan_of(recipe, "matrix.ranks=[8, full]", "matrix.methods.ofa.ranks=[full]")
    finish(plan)
    assert write_report(plan)["shown"] == ["tiny-r8-random-s0"]
    plan = plan_of(recipe)
    finish(plan)
    (plan.out / "cells" / "tiny-r8-ofa-s0" / "before" / "summary.json").unlink()
    assert write_report(plan)["unfinished"][0] == "eval-tiny-r8-ofa-s0-before"
    assert "ofa" in (plan.out / "loss.svg").read_text(encoding="utf-8")


def test_the_published_method_is_compared_with_the_row_that_is_it(recipe: Path) -> None:
    methods = "matrix.methods={random: {}, ofa: {}, ofa-ridge: {}, own: {method: hyperofa}}"
    plan = plan_of(recipe, "sources.tiny.published=mono", "matrix.ranks=[100]", methods, "train.seeds=[]")
    finish(plan)
    found = {row["method"]: row["ours"] for row in gather(plan)["published"] if row["model"] == "mono-100"}
    assert {name: ours["method"] for name, ours in found.items()} == {
        "random": "random",
        "ofa": "ofa",
        "hyperofa": "own",
    }
    plan = plan_of(
        recipe, "sources.tiny.published=mono", "matrix.ranks=[100]", "matrix.methods={random: {}, ofa-ridge: {}}"
    )
    finish(plan)
    found = {row["method"]: row["ours"] for row in gather(plan)["published"] if row["model"] == "mono-100"}
    assert found["hyperofa"] is None


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


def test_presets_of_old_recipes_are_refused_with_what_took_their_place(recipe: Path) -> None:
    with pytest.raises(InputError, match=r"write the settings beside ranks and seeds, such as \{method: hyperofa\}"):
        plan_of(recipe, "matrix.methods={random: {}, own: {method: hyperofa, args: [--preset, paper]}}")


def test_results_made_under_the_old_name_are_refused_with_the_new_one(recipe: Path) -> None:
    plan = plan_of(recipe)
    finish(plan)
    write_json(plan.cell(next(plan.recipe.cells())) / "init" / "init.json", {"method": "hyperofa", "preset": "default"})
    done = {stage.name for stage in plan.stages()}
    with pytest.raises(InputError, match="made by what was called hyperofa and is ofa-ridge now"):
        gather(plan, trusted=done)


def test_comparisons_of_several_sources_say_which(recipe: Path) -> None:
    other = f"sources.other.model={recipe.parent / 'source'}"
    plan = plan_of(recipe, other, "matrix.seeds=[0, 1]", "train.seeds=[]")
    finish(plan)
    assert [row["what"] for row in gather(plan)["paired"]] == [
        f"ofa against random, before training ({source})" for source in ("tiny", "other")
    ]


def test_a_report_from_the_command_line_follows_the_settings(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    finish(plan_of(recipe))
    words = ["experiment", str(recipe), "--out", str(recipe.parent / "out"), "--only", "report", "--json"]
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)["unfinished"] == []
    assert main([*words, "--set", "vectors.dim=7"]) == 0
    changed = json.loads(capsys.readouterr().out)
    assert "vectors" in changed["unfinished"]
    assert changed["methods"] == {}
    assert main([*words, "--set", "vectors.dim=7", "--from", "corpus"]) == 0
    trusted = json.loads(capsys.readouterr().out)
    assert "vectors" not in trusted["unfinished"]


def test_the_command_of_a_trusted_stage_is_the_one_that_ran(recipe: Path) -> None:
    finish(plan_of(recipe))
    changed = plan_of(recipe, "vectors.dim=7")
    found = {stage["name"]: stage["command"] for stage in gather(changed, trusted={"vectors"})["stages"]}
    assert "--dim 7" not in found["vectors"]
    assert "hyperofa vectors build" in found["vectors"]


HOW_IT_RUNS = (
    "train.settings.timeout=5",
    "train.settings.keep=4",
    "train.settings.trackers=[tensorboard]",
    "train.settings.micro_batch_size=4",
    "train.settings.save_every=7",
    "train.evaluate.limit=3",
    "train.evaluate_every=2",
    "train.launch=launch/one_gpu.yaml",
    "train.launch=launch/slurm/train.sh",
)
WHAT_IT_COMPUTES = ("train.settings.steps=11", "train.settings.learning_rate=0.01", "matrix.seeds=[1]")


def test_settings_of_how_a_run_runs_leave_it_alone(recipe: Path) -> None:
    plan = plan_of(recipe)
    finish(plan)
    for setting in HOW_IT_RUNS:
        assert gather(plan_of(recipe, setting))["unfinished"] == [], setting
    plan_of(recipe)
    (recipe.parent / "test" / "tatoeba" / "tur-eng.eng").write_text("another line\n")
    unfinished = gather(plan_of(recipe))["unfinished"]
    assert unfinished, "other test sets change the training text, whose test lines were left out"
    (recipe.parent / "test" / "tatoeba" / "tur-eng.eng").write_text("one line\n")
    for setting in WHAT_IT_COMPUTES:
        assert any(name.startswith("train") for name in gather(plan_of(recipe, setting))["unfinished"]), setting


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


def test_old_checkpoints_may_be_deleted(recipe: Path) -> None:
    plan = plan_of(recipe)
    finish(plan)
    run = plan.out / "cells" / "tiny-r8-ofa-s0" / "run"
    (run / "step_00000005").mkdir()
    assert gather(plan)["unfinished"] == []
    (run / "final" / "config.json").write_text('{"changed": 1}')
    assert "train-tiny-r8-ofa-s0" in gather(plan)["unfinished"]


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


def test_step_0_is_the_score_before_training_if_measured_alike(recipe: Path) -> None:
    plan = plan_of(recipe)
    finish(plan)
    points = gather(plan)["cells"]["tiny-r8-ofa-s0"]["way"]["scores"]["sr-t"]
    assert [(point["step"], point["mean"]) for point in points] == [(0, 20.0), (5, 21.0)]
    metrics = plan.out / "cells" / "tiny-r8-ofa-s0" / "run" / "metrics.jsonl"
    metrics.write_text(metrics.read_text().replace('"limit": null', '"limit": 150'))
    (train,) = [stage for stage in plan.stages() if stage.name == "train-tiny-r8-ofa-s0"]
    Ledger(plan.out / "stages").finish(train)
    points = gather(plan)["cells"]["tiny-r8-ofa-s0"]["way"]["scores"]["sr-t"]
    assert [point["step"] for point in points] == [5]


WORK = """
import pathlib, sys
target = pathlib.Path(sys.argv[1])
target.mkdir(exist_ok=True)
(target / "half").write_text(sys.argv[2])
if sys.argv[2] == "bad":
    sys.exit("prog: error: no")
(target / "done.txt").write_text(sys.argv[2])
"""


def stage(out: Path, word: str) -> Stage:
    return Stage("train", "Train", (sys.executable, "-c", WORK, str(out / "run"), word), out / "run", "done.txt")


def settle(out: Path, word: str) -> str:
    Runner(out, Display()).run([stage(out, word)], 1)
    return (out / "run" / "done.txt").read_text()


def test_nothing_is_deleted_before_its_successor_is_there(tmp_path: Path) -> None:
    assert settle(tmp_path, "first") == "first"
    for _ in range(2):
        with pytest.raises(StageError):
            settle(tmp_path, "bad")
        kept = stage(tmp_path, "first").aside
        assert (kept / "output" / "done.txt").read_text() == "first"
        assert json.loads((kept / "record.json").read_text())["status"] == "done"
    assert settle(tmp_path, "first") == "first"  # changed back: it is there again, and nothing runs
    assert (tmp_path / "logs" / "train.log").read_text().count("\n$ ") == 1 + 2
    assert settle(tmp_path, "second") == "second"
    assert not stage(tmp_path, "first").aside.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["locks", "logs", "run", "stages"]


def test_results_name_the_test_sets_by_where_they_lie_or_what_they_were_held_out_of(recipe: Path) -> None:
    plan = plan_of(recipe)
    finish(plan)
    assert gather(plan)["tested_on"] == {"sr-t": "tatoeba/ of test"}
    values = yaml.safe_load(recipe.read_text(encoding="utf-8"))
    del values["inputs"]
    for parallel, words in (
        ({"dir": str(recipe.parent / "news")}, "pairs held out of news"),
        ({"wheel": {"name": "texts", "version": "1.0", "sha256": "0" * 64}, "languages": {"tur": "tr"}}, "texts 1.0"),
    ):
        recipe.write_text(yaml.safe_dump(values | {"parallel": parallel}), encoding="utf-8")
        plan = plan_of(recipe)
        finish(plan)
        assert gather(plan)["tested_on"]["sr-t"].endswith(words)
