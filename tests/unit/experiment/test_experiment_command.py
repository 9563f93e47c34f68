"""``hyperofa experiment`` as typed: listing, dry runs, selections, variables, SLURM jobs; no stage is run here."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
import yaml

from hyperofa.base.resources import resource
from hyperofa.cli import main
from hyperofa.experiment.dryrun import downloads, extended_config, missing
from hyperofa.experiment.recipe.commands import INIT, RUN, with_places
from hyperofa.experiment.recipe.resolve import Replacements, find_recipe, load_recipe
from hyperofa.experiment.workflow.graph import Plan
from hyperofa.experiment.workflow.selection import before, only

pytestmark = pytest.mark.usefixtures("warm_stages")

SHIPPED = sorted(
    file.relative_to(resource("recipes")).with_suffix("").as_posix() for file in resource("recipes").rglob("*.yaml")
)


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A matrix of two ranks, two methods and two seeds, of which one rank and one seed are trained."""
    for name in (
        "news/eng.txt",
        "news/tur.txt",
        "text/tur.txt",
        "test/tatoeba/tur-eng.tur",
        "test/tatoeba/tur-eng.eng",
        "test/pos/tur/test.tsv",
        "test/pos/eng/train.tsv",
        "test/pos/eng/dev.tsv",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("one line\n", encoding="utf-8")
    values: dict[str, Any] = {
        "name": "mine",
        "variables": {"data": None, "news": "news"},
        "sources": {"tiny": {"model": "./source"}},
        "inputs": {
            "parallel": ["${data}/${news}"],
            "text": ["${data}/text/*.txt"],
            "test": "${data}/test",
            "languages": ["tur"],
        },
        "tokenizer": {"vocab_size": 100},
        "matrix": {
            "ranks": [8, "full"],
            "seeds": [0, 1],
            "methods": {"random": {}, "ours": {"method": "ofa-ridge", "parallel": ["${parallel}"]}},
        },
        "train": {"ranks": [8], "seeds": [0], "evaluate_every": 5, "settings": {"steps": 10, "global_batch_size": 8}},
        "evaluate": {"tasks": ["sr-t"], "further": {"tagging": {"tasks": ["pos"], "when": ["after"]}}},
        "slurm": {"default": ["--time=1:00:00"], "train": ["--nodes=2"]},
    }
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    return path


def plan_of(recipe: Path, *settings: str) -> Plan:
    given = Replacements(variables={"data": str(recipe.parent)}, settings=settings)
    return Plan(load_recipe(recipe, given), recipe.parent / "out", given)


def run(*words: str) -> int:
    try:
        return main(["experiment", *words])
    except SystemExit as exit_:
        return int(str(exit_.code))


def test_the_matrix_becomes_stages(recipe: Path) -> None:
    plan = plan_of(recipe)
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
    assert str(recipe.parent / "text" / "tur.txt") in stages["gather"].command
    plan.write_configs()
    settings = yaml.safe_load(plan.train_config.read_text())
    assert settings["eval_every"] == 5
    own = {"tasks": ["sr-t"], "protocol": "default", "dtype": "float32", "languages": ["tur"]}
    assert settings["evaluation"] == {**own, "data": str(recipe.parent / "test")}


def test_only_takes_along_what_is_needed_and_from_trusts_what_is_before(recipe: Path) -> None:
    stages = plan_of(recipe).stages()
    chosen = only(stages, ["train/*-ours-*"])
    assert {name for name in chosen if name.startswith(("init", "train", "eval"))} == {
        "init-tiny-r8-ours-s0",
        "train-tiny-r8-ours-s0",
    }
    assert {"gather", "vectors", "tokenizer", "corpus"} <= chosen
    assert only(stages, ["report"]) == set()
    trusted = before(stages, "train")
    assert "eval-tiny-r8-ours-s0-before" in trusted
    assert not any(name.startswith(("train", "compare")) for name in trusted)


@pytest.mark.parametrize(
    ("words", "code", "line"),
    [
        (("--data", "x", "--only", "trian"), 2, "unknown stage 'trian'; did you mean 'train'?"),
        (("--data", "x", "--from", "evel"), 2, "did you mean 'eval'?"),
        (("--var", "dta=x"), 2, "unknown variable 'dta'; did you mean 'data'?"),
        ((), 3, "the variable 'data' has no value; give --var data=… or --data DIR"),
        (
            ("--data", "x", "--set", "matrix.seed=[1]"),
            2,
            "unknown config key 'matrix.seed'; did you mean 'matrix.seeds'?",
        ),
        (("--data", "x", "--set", "train.settings.eval_every=5"), 2, "use train.evaluate_every"),
        (("--data", "x", "--set", "train.ranks=[16]"), 2, "train.ranks names 16, which matrix.ranks does not have"),
        (("--data", "x", "--set", "variables.test=1"), 2, "the variable 'test' has the name of a place"),
        (("--data", "x", "--set", "name"), 2, "'name' is not key=value"),
        (("--data", "nowhere"), 3, "no file matches"),
        (("--list", "--slurm"), 2, "not allowed with"),
    ],
)
def test_wrong_words_are_one_line(
    recipe: Path, words: tuple[str, ...], code: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = tuple(str(recipe.parent) if word == "x" else word for word in words)
    assert run(str(recipe), "--out", str(recipe.parent / "out"), *words) == code
    (found,) = capsys.readouterr().err.strip().splitlines()
    assert line in found
    assert not (recipe.parent / "out").exists()


def test_an_unknown_recipe_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("smal") == 2
    assert "unknown recipe 'smal'; did you mean 'small'?" in capsys.readouterr().err


def test_list_shows_states_and_writes_nothing(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = recipe.parent / "out"
    assert run(str(recipe), "--data", str(recipe.parent), "--out", str(out), "--list", "--json", "--only", "train") == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["state"] for row in rows} == {"to do"}
    assert rows[-1]["name"] == "train-tiny-r8-ours-s0"
    assert not out.exists()


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
        assert sum(int(word.partition("=")[2]) for word in recipe.corpus if "=" in word) == 35_731_124
        assert extended_config(plan, recipe.sources[next(iter(recipe.sources))], "-", 200)["vocab_size"] == 401_145
    assert not (tmp_path / "out").exists()


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


SBATCH = """#!/usr/bin/env python3
import json, os, pathlib, sys
log = pathlib.Path(os.environ["JOBS"])
jobs = log.read_text().splitlines() if log.exists() else []
if "--refuse" in sys.argv:
    sys.exit("sbatch: error: Batch job submission failed: Invalid account")
with log.open("a") as handle:
    handle.write(json.dumps(sys.argv[1:]) + "\\n")
print(f"{100 + len(jobs)};cluster")
"""


def test_slurm_submits_a_job_per_stage_with_its_dependencies(
    recipe: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shim = recipe.parent / "bin" / "sbatch"
    shim.parent.mkdir()
    shim.write_text(SBATCH)
    shim.chmod(shim.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{shim.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("JOBS", str(recipe.parent / "jobs"))
    out = recipe.parent / "out"
    assert run(str(recipe), "--data", str(recipe.parent), "--out", str(out), "--slurm") == 0, capsys.readouterr().err
    jobs = json.loads((out / "slurm.json").read_text())
    calls = [json.loads(line) for line in (recipe.parent / "jobs").read_text().splitlines()]
    assert len(calls) == len(jobs) == len(plan_of(recipe).stages()) + 1
    by_name = {name: calls[int(number) - 100] for name, number in jobs.items()}
    train = by_name["train-tiny-r8-ours-s0"]
    waits = (
        next(word for word in train if word.startswith("--dependency="))
        .removeprefix("--dependency=afterok:")
        .split(":")
    )
    assert set(waits) == {jobs["init-tiny-r8-ours-s0"], jobs["corpus"]}
    assert "--nodes=2" in train
    assert "--time=1:00:00" not in train
    assert "--time=1:00:00" in by_name["gather"]
    assert not any(word.startswith("--dependency") for word in by_name["gather"])
    assert train[-2:] == ["--only", "train-tiny-r8-ours-s0"]
    assert str(resource("launch/slurm/stage.sh")) in train
    all_others = ":".join(number for name, number in jobs.items() if name != "report")
    assert f"--dependency=afterany:{all_others}" in by_name["report"]

    words = [str(recipe), "--data", str(recipe.parent), "--out", str(out), "--slurm"]
    monkeypatch.setattr("shutil.which", lambda name: None if name == "squeue" else name)
    assert run(*words) == 1
    assert "squeue: not found, so what became of the jobs submitted before is unknown" in capsys.readouterr().err
    monkeypatch.undo()
    monkeypatch.setenv("PATH", f"{shim.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("JOBS", str(recipe.parent / "jobs"))
    ended = {"train-tiny-r8-ours-s0", "init-tiny-r8-ours-s0"}
    queue = [number for name, number in jobs.items() if name not in ended]
    (shim.parent / "squeue").write_text(f"#!/bin/sh\nprintf '%s\\n' {' '.join(queue)}\n")
    (shim.parent / "squeue").chmod(0o755)
    assert run(*words) == 0, (
        capsys.readouterr().err
    )  # what waits is not submitted again, what ended without a result is
    again = [json.loads(line) for line in (recipe.parent / "jobs").read_text().splitlines()][len(calls) :]
    assert [call[call.index("--only") + 1] for call in again] == [*sorted(ended), "report"]
    now = json.loads((out / "slurm.json").read_text())
    assert {name for name in now if now[name] != jobs[name]} == {*ended, "report"}
    assert f"--dependency=afterok:{jobs['vectors']}" not in again[0]
    waits = next(word for word in again[0] if word.startswith("--dependency=")).partition(":")[2].split(":")
    assert set(waits) == {jobs["gather"], jobs["vectors"], jobs["tokenizer"]}

    (out / "slurm.json").unlink()
    assert (
        run(str(recipe), "--data", str(recipe.parent), "--out", str(out), "--slurm", "--set", "slurm.train=[--refuse]")
        == 1
    )
    assert "sbatch: refused (sbatch: error: Batch job submission failed: Invalid account)" in capsys.readouterr().err
    assert run(str(recipe), "--data", str(recipe.parent), "--out", str(out), "--slurm", "--set", "slurm.tarin=[x]") == 2


def test_slurm_without_sbatch_says_where_to_go(
    recipe: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(recipe.parent))
    assert run(str(recipe), "--data", str(recipe.parent), "--out", str(recipe.parent / "out"), "--slurm") == 1
    assert "sbatch: not found; submit from a login node" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "settings", "read"),
    [
        (INIT, {"parallel": ["mine", "other/more"]}, ["mine", "other/more"]),
        (INIT, {"text": {"swh": ["other/more"], "lij": ["absent.txt"]}}, ["other/more", "absent.txt"]),
        (INIT, {"options": {"file": "other/more"}, "method": "mine"}, ["other/more"]),
        (RUN, {"cache": "other/more", "extensions": ["own.py"]}, ["own.py"]),
        (INIT, {"parallel": ["${out}/x"]}, ["OUT/x"]),
    ],
)
def test_what_settings_read_decides_a_stage(
    command: str, settings: dict[str, Any], read: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "other" / "more").mkdir(parents=True)
    assert with_places(command, settings, {"out": Path("OUT")})[1] == tuple(map(Path, read))


METHOD = """
from hyperofa.init.registry import Method
mine = Method("mine", "zeros", lambda problem: problem.rows[:0])
"""
TASK = """
from hyperofa_eval.tasks.retrieval import Retrieval
from hyperofa_eval.tasks import add_task
add_task(Retrieval("sr-own", "own"))
"""


def test_files_of_ones_own_decide_the_stages_that_run_them(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hyperofa.experiment.workflow.stage import Ledger
    from hyperofa_eval.tasks import registry as tasks

    monkeypatch.setattr(tasks, "_ADDED", {})
    monkeypatch.chdir(recipe.parent)
    Path("mine.py").write_text(METHOD)
    Path("own.py").write_text(TASK)
    further = "evaluate.further.own={tasks: [sr-own], settings: {extensions: [own.py]}, cells: all, when: [before]}"
    plan = plan_of(recipe, "matrix.methods.ours={method: 'mine.py:mine'}", further)
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
    assert stages["gather"].command[-6:-2] == ("--tasks", "sr-own", "--with", "own.py")
