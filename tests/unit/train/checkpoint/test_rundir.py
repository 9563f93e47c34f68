"""Whose a run directory is, and what may change when its run is resumed."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from hyperofa.cli import main
from hyperofa.errors import InputError
from hyperofa.train.checkpoint.rundir import check_inputs
from tests.unit.train.conftest import begin_run


def test_refuses_a_directory_that_holds_something_else(config_file, tmp_path, capsys):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("years of work")
    assert main(["train", str(config_file)]) == 2
    assert "holds something else" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("names", [[], ["run.json"], [".run.json.k3x9"], ["run.json", ".config.yaml.a0b1", ".shared"]])
def test_a_launch_that_was_killed_before_it_wrote_its_settings_may_be_repeated(settings, tmp_path, names):
    (tmp_path / "run").mkdir()
    for name in (".lock", *names):
        (tmp_path / "run" / name).write_text("")
    check_inputs(settings())
    (tmp_path / "run" / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="holds something else"):
        check_inputs(settings())


@pytest.mark.parametrize("name", ["run.json", ".gitignore"])
def test_a_directory_that_no_launch_has_locked_is_refused(settings, tmp_path, name):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / name).write_text("")
    with pytest.raises(InputError, match="holds something else"):
        check_inputs(settings())


def test_refuses_to_resume_with_other_settings(settings, config_file, tmp_path, capsys):
    begin_run(settings(), tmp_path / "run")
    assert main(["train", str(config_file), "seed=5", "learning_rate=1"]) == 2
    assert "learning_rate, seed changed" in capsys.readouterr().err


def test_a_finished_run_names_its_model_as_the_start_of_a_new_one(settings, config_file, tmp_path, capsys):
    begin_run(settings(), tmp_path / "run")
    assert main(["train", str(config_file), "steps=200"]) == 2
    assert "steps changed since this run began; give the same settings, or another run" in capsys.readouterr().err
    final = tmp_path / "run" / "final"
    final.mkdir()
    (final / "train.json").write_text('{"step": 100}')
    assert main(["train", str(config_file), "steps=200"]) == 2
    error = capsys.readouterr().err
    assert f"the run is finished: train its model on in a new run, with model={final}" in error
    assert error.count("\n") == 1
    (tmp_path / "run" / "final" / "config.json").write_text("{}")
    check_inputs(settings(steps=200, model=str(final), run=tmp_path / "new"))  # what the line proposes is accepted


def test_a_launch_that_failed_before_its_first_step_pins_nothing(settings, tmp_path):
    begin_run(settings(seed=1), tmp_path / "run")
    (tmp_path / "run" / "metrics.jsonl").write_text("")
    check_inputs(settings(seed=2))
    (tmp_path / "run" / "metrics.jsonl").write_text('{"step": 1}\n')
    with pytest.raises(InputError, match="seed changed"):
        check_inputs(settings(seed=2))


def test_model_and_corpus_may_be_named_from_another_folder_or_moved_with_the_run(settings, tmp_path, monkeypatch):
    config = settings()
    begin_run(config, tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    check_inputs(dataclasses.replace(config, model="model", corpus=Path("corpus"), run=Path("run")))
    other = tmp_path / "other"
    (other / "model").mkdir(parents=True)
    (other / "model" / "config.json").write_text("{}")
    elsewhere = dataclasses.replace(config, model=str(other / "model"))
    with pytest.raises(InputError, match="model changed"):
        check_inputs(elsewhere)
    (tmp_path / "model" / "config.json").unlink()
    (tmp_path / "model").rmdir()
    check_inputs(elsewhere)


@pytest.mark.parametrize("content", [None, "{}", "[]", '{"run_id": 5}'])
def test_a_run_that_lost_its_id_is_not_begun_anew(settings, config_file, tmp_path, write_checkpoint, capsys, content):
    folder = write_checkpoint(4)
    begin_run(settings(), tmp_path / "run")
    (tmp_path / "run" / "run.json").unlink()
    if content is not None:
        (tmp_path / "run" / "run.json").write_text(content)
    for words in (["train", str(config_file)], ["checkpoint", "verify", str(tmp_path / "run")]):
        assert main(words) == 2
        error = capsys.readouterr().err
        assert "run.json: no" in error
        assert 'put it back with {"run_id": "ours"}, which its checkpoints name' in error
        assert error.count("\n") == 1
    assert folder.is_dir()
