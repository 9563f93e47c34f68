"""What a report counts: stages that hold under the settings of now, and nothing that was made under others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from support.finished import finish
from support.plans import plan_of

from hyperofa.cli import main
from hyperofa.experiment.execution import write_report
from hyperofa.experiment.results.collect import gather
from hyperofa.experiment.workflow.stage import Ledger


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
