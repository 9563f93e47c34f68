"""What a plan refuses before its first stage: words, tasks, languages and options that would fail hours later."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.plans import write_one_line_each

from hyperofa.cli import main
from hyperofa.errors import InputError


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A recipe that passes, with its data."""
    write_one_line_each(
        tmp_path, "news/eng.txt", "news/lij.txt", "test/tatoeba/lij-eng.lij", "test/tatoeba/lij-eng.eng", "text/lij.txt"
    )
    values: dict[str, Any] = {
        "name": "mine",
        "sources": {"tiny": {"model": str(tmp_path / "source")}},
        "inputs": {
            "parallel": [str(tmp_path / "news")],
            "text": [str(tmp_path / "text")],
            "test": str(tmp_path / "test"),
            "languages": ["lij"],
        },
        "tokenizer": {"vocab_size": 100},
        "matrix": {"ranks": [8], "methods": {"random": {}, "hyperofa": {}}},
        "train": {"settings": {"steps": 10, "global_batch_size": 8}},
    }
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    return path


def run(recipe: Path, *settings: str, more: tuple[str, ...] = ()) -> int:
    words = [word for setting in settings for word in ("--set", setting)]
    return main(["experiment", str(recipe), "--out", str(recipe.parent / "out"), *more, *words])


WRONG = [
    ("evaluate.tasks=[srt]", 2, "evaluate: unknown task 'srt'; did you mean 'sr-t'?"),
    ("evaluate.further={t: {tasks: [ner]}}", 3, "no test set for task ner in lij"),
    ("evaluate.settings.protocol=papre", 2, "unknown protocol 'papre'"),
    ("evaluate.settings.pooling=maen", 2, "unknown pooling 'maen'"),
    ("evaluate.settings.block=x4", 2, "evaluate.settings: block: 'x4' is neither a number, auto nor all"),
    ("evaluate.settings.limmit=3", 2, "evaluate.settings: unknown config key 'limmit'; did you mean 'limit'?"),
    ("evaluate.settings.extensions=[no.py]", 3, "no.py: no such file"),
    ("evaluate.args=[--limit, '3']", 2,
     "mine.yaml: recipes hold settings now, and no command-line words; write evaluate.settings: {limit: 3}"),
    ("inputs.parallel=[]", 2, "matrix.methods.hyperofa: method hyperofa needs word vectors; give inputs.parallel"),
    ("inputs.languages=[Turkish]", 2, "inputs.languages: 'Turkish' is no language code"),
    ("inputs.languages=[lij, tru]", 2, "unknown language 'tru'; did you mean 'tur'?"),
    ("vectors.dmi=7", 2, "mine.yaml: vectors: unknown config key 'dmi'; did you mean 'dim'?"),
    ("vectors.dim=seven", 2, "mine.yaml: vectors: dim: "),
    ("vectors.dim=0", 2, "mine.yaml: vectors: dim: 0 is not a number of 1 or more"),
    ("tokenizer={}", 2, "tokenizer: vocab_size: it must be given"),
    ("tokenizer={held_out: 0}", 2, "mine.yaml: tokenizer: vocab_size: it must be given"),
    ("sources.tiny.config={max_position_embeddings: 300}", 2, "corpus.length: sequences of 512 tokens, but sources.tiny has 300"),
    ("corpus=3", 2, "mine.yaml: corpus: Input should be a valid dictionary"),
    ("matrix.methods.hyperofa.options.layrs=2", 2, "layrs"),
    ("matrix.methods.hyperofa.refine=paralel", 2, "hyperofa: refine: unknown 'paralel'; use auto, none, sentences, tokens"),
    ("matrix.methods.hyperofa={parallel: [p], refine_options: {stps: 2}}", 2, "stps"),
    ("init.scale_split=7", 2, "init: scale_split: 7"),
    ("evaluate.tasks=[]", 2, "evaluate: tasks must name at least one task"),
    ("inputs={vectors: v, corpus: {lij: x.txt}, test: t, languages: [lij]}", 2, "there is no text to train a tokenizer on"),
    ("init.rank=4", 2, "init: rank is what the experiment itself sets; leave it out"),
    ("matrix.methods.hyperofa.seed=7", 2, "matrix.methods.hyperofa: seed is what the experiment itself sets"),
    ("evaluate.further={t: {tasks: [sr-t], settings: {out: x}}}", 2, "evaluate.further.t.settings: out is what the experiment"),
    ("slurm={tarin: [x]}", 2, "slurm.tarin is no kind of stage; known: source, "),
    ("hardware={gpus: 1, gpu_memory: 80, gpu: H900}", 2, "gpu 'H900' is unknown"),
    ("hardware={gpus: 1, gpu_memory: 80, mfu: 3}", 2, "mfu between 0 and 1"),
]  # fmt: skip


@pytest.mark.parametrize("more", [(), ("--dry-run",)], ids=["run", "dry-run"])
@pytest.mark.parametrize(("setting", "code", "line"), WRONG, ids=[setting for setting, _, _ in WRONG])
def test_what_would_fail_later_is_refused_now(
    recipe: Path, setting: str, code: int, line: str, more: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    if more and "no.py" in setting:
        pytest.skip("a dry run lists what is not there")
    assert run(recipe, setting, more=more) == code
    (found,) = capsys.readouterr().err.strip().splitlines()
    assert line in found
    assert not (recipe.parent / "out").exists()


def test_an_output_inside_the_data_is_refused(
    recipe: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(recipe.parent / "test")
    assert main(["experiment", str(recipe), "--list"]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert f"--out runs/mine: it lies inside the data, {recipe.parent / 'test'}; name another" in line


def test_a_right_recipe_passes_and_a_recipe_without_hardware_says_so(
    recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(recipe, more=("--dry-run",)) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "No plan of memory and hours for training: the recipe names no hardware" in printed
    assert not (recipe.parent / "out").exists()


def test_text_alone_is_enough_for_methods_without_word_vectors(
    recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = yaml.safe_load(recipe.read_text())
    content["inputs"]["parallel"] = []
    content["matrix"]["methods"] = {"random": {}, "default": {"text": {"lij": ["${text}/lij.txt"]}}}
    recipe.write_text(yaml.safe_dump(content))
    assert run(recipe, more=("--dry-run", "--json")) == 0
    stages = {stage["name"]: stage["command"] for stage in json.loads(capsys.readouterr().out)["stages"]}
    assert "vectors" not in stages
    assert not [name for name, command in stages.items() if "--vectors" in command or "--parallel" in command]
    assert run(recipe, "matrix.methods.default.parallel=['${parallel}']", more=("--dry-run",)) == 2
    assert (
        "matrix.methods.default: ${parallel} is named, and the recipe has no parallel text" in capsys.readouterr().err
    )


@pytest.mark.parametrize("name", ["llm/llama-8b", "llm/qwen-1.5b"])
def test_the_recipes_for_decoders_are_scored_on_text_they_are_not_trained_on(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for language in ("eng", "swh", "gla", "kab", "fry"):
        for place in ("text", "test/text", "parallel"):
            (tmp_path / place).mkdir(parents=True, exist_ok=True)
            (tmp_path / place / f"{language}.txt").write_text("one line\n")
    words = ["experiment", name, "--data", str(tmp_path), "--out", f"{tmp_path}-out", "--dry-run", "--json"]
    assert main(words) == 0
    (gather,) = [s["command"] for s in json.loads(capsys.readouterr().out)["stages"] if s["name"] == "gather"]
    assert f"--test {tmp_path}/test " in gather
    assert gather.endswith(" --tasks lm")
    assert main([*words, "--set", f"inputs.test={tmp_path}"]) == 2
    assert "it is training text and a task's test set at once" in capsys.readouterr().err


def test_from_is_heeded_by_lists_and_dry_runs(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(recipe, more=("--dry-run", "--json", "--from", "init")) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["stages"][0]["name"].startswith("init-")
    assert "vectors" in found["taken_as_they_are"]
    (recipe.parent / "out" / "vectors").mkdir(parents=True)
    (recipe.parent / "out" / "vectors" / "meta.json").write_text("{}")
    assert run(recipe, more=("--list", "--json", "--from", "corpus")) == 0
    states = {row["name"]: row["state"] for row in json.loads(capsys.readouterr().out)}
    assert states["vectors"] == "as it is"
    assert states["gather"] == "to do"
    assert run(recipe, more=("--list", "--from", "corpse")) == 2
    capsys.readouterr()
    assert run(recipe, more=("--list", "--from", "report")) == 2
    assert "did you mean 'report'" not in capsys.readouterr().err


def test_a_refused_command_leaves_an_experiment_as_it_was(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = recipe.parent / "out"
    out.mkdir()
    (out / "recipe.yaml").write_text("name: mine\n")
    assert run(recipe, "vectors.dim=7", more=("--only", "trian")) == 2
    assert run(recipe, "vectors.dim=7", more=("--from", "trian")) == 2
    assert {path.name: path.read_text() for path in out.iterdir()} == {"recipe.yaml": "name: mine\n"}


def test_a_report_of_nothing_is_refused(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(recipe, more=("--only", "report")) == 3
    assert "out: no experiment here to report on" in capsys.readouterr().err
    assert not (recipe.parent / "out").exists()


@pytest.mark.parametrize("command", ["quickstart", "experiment", "init", "data"])
def test_an_output_below_a_file_is_one_line(command: str, recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = recipe.parent / "file"
    file.write_text("x")
    words = {
        "quickstart": ["quickstart"],
        "experiment": ["experiment", str(recipe)],
        "init": ["init", "--source", str(recipe.parent), "--tokenizer", str(recipe.parent), "--method", "random"],
        "data": ["data", "gather", "--parallel", str(recipe.parent / "news")],
    }[command]
    assert main([*words, "--out", str(file / "deep" / "x")]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "file/deep/x: the output path goes through a file, file; name another" in line


def test_a_quick_start_takes_variables_and_keeps_to_its_vectors(
    recipe: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from hyperofa.experiment import execution
    from hyperofa.experiment.recipe.resolve import Replacements, load_recipe
    from hyperofa.experiment.workflow.graph import Plan

    text = recipe.read_text().replace(str(recipe.parent / "news"), "${where}/news") + "variables: {where: null}\n"
    recipe.write_text(text)
    assert main(["quickstart", "--recipe", str(recipe), "--out", str(recipe.parent / "out")]) == 3
    assert "the variable 'where' has no value; give --var where=…" in capsys.readouterr().err
    plans: list[Plan] = []
    monkeypatch.setattr(execution, "carry_out", lambda plan, **words: plans.append(plan) or {"methods": {}})
    monkeypatch.setattr("hyperofa.report.terminal.print_results", lambda results: None)
    words = ["quickstart", "--recipe", str(recipe), "--out", str(recipe.parent / "out"), "--var"]
    assert main([*words, f"where={recipe.parent}"]) == 0
    assert plans[0].recipe.inputs is not None
    assert plans[0].recipe.inputs.parallel == [f"{recipe.parent}/news"]

    given = Replacements(variables={"where": str(recipe.parent)})
    one, other = (
        Plan(load_recipe(recipe, given), recipe.parent / "out", Replacements(vectors=recipe.parent / name))
        for name in ("a", "b")
    )
    with (
        execution.working_in(one),
        execution.working_in(one),
        pytest.raises(InputError, match="another run works here with other settings"),
        execution.working_in(other),
    ):
        pass
