"""Training of sources with their own tokenizers: its stages before and after anything ran, and what runs again."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest
import yaml
from support.finished import finish
from support.plans import plan_of

from hyperofa.commands.steps import StepsOptions
from hyperofa.experiment.results.collect import gather
from hyperofa.experiment.workflow.stage import Ledger, dependencies
from hyperofa.train.config import TrainConfig
from hyperofa_eval.settings.arguments import add_arguments, from_arguments
from hyperofa_eval.settings.config import load_config

OWN = "train.own_tokenizer=[text, compute]"
TEXT = "tiny-r8-own-text"


def test_steps_follow_from_both_corpora_and_training_from_steps(recipe: Path) -> None:
    plan = plan_of(recipe, OWN, "train.settings.phase=new_rows", "train.settings.phase_steps=2")
    stages = {stage.name: stage for stage in plan.stages()}
    needs = dependencies(list(stages.values()))
    source, corpus = recipe.parent / "source", plan.out / "corpus-own-tiny"
    same = stages["init-own-tiny-s0"].command  # no row of it is new
    assert same[same.index("--source") + 1] == same[same.index("--tokenizer") + 1] == str(source)
    own = stages["corpus-own-tiny"].command
    assert own[own.index("--tokenizer") + 1] == str(source)
    assert [word for word in own if word.endswith(".txt")] == [
        word for word in stages["corpus"].command if word.endswith(".txt")
    ]
    assert needs[f"steps-{TEXT}"] == {"corpus", "corpus-own-tiny", "init-tiny-r8-random-s0", "init-own-tiny-s0"}
    assert needs[f"train-{TEXT}-s0"] == {"corpus-own-tiny", "init-own-tiny-s0", f"steps-{TEXT}"}
    train = stages[f"train-{TEXT}-s0"]
    model = plan.out / "own" / "tiny-s0"
    config, steps = plan.out / "train-own.yaml", plan.out / "steps" / TEXT / "steps.yaml"
    assert {str(config), str(steps), f"model={model}", f"corpus={corpus}", "seed=0"} < {*train.command}
    assert train.steps is None
    parser = argparse.ArgumentParser()
    add_arguments(parser, StepsOptions)
    read = from_arguments(StepsOptions, vars(parser.parse_args(stages[f"steps-{TEXT}"].command[2:])))
    own = read.load()
    assert (own.model, own.corpus, own.phase, read.equal) == (str(model), corpus, "all", "text")
    assert load_config(TrainConfig, read.like, read.like_overrides).phase == "new_rows"
    assert "phase" not in yaml.safe_load(config.read_text())
    finish(plan)
    (train,) = [stage for stage in plan.stages() if stage.name == f"train-{TEXT}-s0"]
    assert train.steps == 12


def test_steps_are_worked_out_beside_random_rows_whose_making_hardly_fails(matrix: Path) -> None:
    methods = "matrix.methods={ours: {method: ofa-ridge, parallel: ['${parallel}']}, random: {}}"
    (stage,) = [one for one in plan_of(matrix, OWN, methods).stages() if one.name == "steps-tiny-r8-own-text"]
    assert [place.parts[-3] for place in stage.inputs if "cells" in place.parts] == ["tiny-r8-random-s0"]


def test_a_source_is_scored_once_and_by_further_evaluations_too(matrix: Path) -> None:
    plan = plan_of(matrix, OWN, "train.seeds=[0, 1]", "evaluate.further.tagging.when=[before, after]")
    stages = plan.stages()
    names = [stage.name for stage in stages]
    assert len(names) == len({*names}) == len({stage.output for stage in stages})
    assert names.count("eval-tiny") == names.count("eval-tiny-before-tagging") == 1
    assert len([name for name in names if name.startswith("steps-")]) == 2  # whatever the seed
    assert [name for name in names if name.startswith("init-own")] == ["init-own-tiny-s0", "init-own-tiny-s1"]
    assert len([name for name in names if name.startswith("train-tiny-r8-own")]) == 4
    (compare,) = [stage for stage in stages if stage.name == "compare-training-tiny-r8-own-text-s1-tagging"]
    assert plan.out / "references" / "tiny-before-tagging" in compare.inputs
    assert [stage.name for stage in stages if stage.kind == "train" and stage.stop_at] == []


def test_a_rehearsed_interruption_is_not_one_of_theirs(recipe: Path) -> None:
    stages = plan_of(recipe, OWN, "train.stop_at_step=5").stages()
    assert {stage.cell for stage in stages if stage.kind == "train" and stage.stop_at} == {
        "tiny-r8-random-s0", "tiny-r8-ofa-s0",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("setting", "again"),
    [
        ("train.settings.steps=11", True),
        ("train.own_settings={learning_rate: 0.02}", True),
        ("train.method_settings={ofa: {learning_rate: 0.02}}", False),
        ("train.settings.save_every=3", False),
    ],
)
def test_what_runs_again(recipe: Path, setting: str, again: bool) -> None:
    finish(plan_of(recipe, OWN))
    unfinished = gather(plan_of(recipe, OWN, setting))["unfinished"]
    assert (f"train-{TEXT}-s0" in unfinished) == again
    assert ("train-tiny-r8-ofa-s0" in unfinished) == ("ofa" in setting or (again and "own" not in setting))


def test_other_steps_train_again_and_the_same_do_not(recipe: Path) -> None:
    plan = plan_of(recipe, OWN)
    finish(plan)
    ledger, file = Ledger(plan.out / "stages"), plan.out / "steps" / TEXT / "steps.yaml"

    def state() -> str:
        (train,) = [stage for stage in plan.stages() if stage.name == f"train-{TEXT}-s0"]
        return ledger.state(train, ledger.key(train))

    (file.parent / "steps.json").write_text("{}")  # made from a corpus that differs in nothing that counts
    assert state() == "done"
    file.write_text("steps: 13\n")
    assert state() == "new"


def test_without_such_rows_there_is_nothing_of_them(recipe: Path) -> None:
    plan = plan_of(recipe)
    assert not [stage.name for stage in plan.stages() if "own" in stage.name or stage.kind == "steps"]
    assert not plan.train_config_of("own-text").exists()
