"""A run knows its model: by the content of all files that decide what it computes."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
from support.hub_cache import put_in_cache, use_cache

from hyperofa.cli import main
from hyperofa.commands.checkpoint import _origin
from hyperofa.errors import DataMissingError, InputError
from hyperofa.train.checkpoint.final import FINAL, FINAL_MARKER
from hyperofa.train.checkpoint.fingerprint import KEY, fingerprint_model, is_still
from hyperofa.train.checkpoint.rundir import check_inputs, open_run, record_engine, resolve_paths
from hyperofa.train.engine.ranks import Ranks
from hyperofa_eval.base.files import write_json
from hyperofa_eval.settings.config import save_config

FILES = ("config.json", "model.safetensors", "tokenizer.json", "provenance.safetensors")


class OneRank:
    """An engine of a single process."""

    is_main = True
    main_first = Ranks.main_first

    def gather(self, value):
        return [value]

    def barrier(self):
        pass


@pytest.fixture
def model(tmp_path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    for name in FILES:
        (folder / name).write_text(f"{name} as it was")
    return folder


@pytest.fixture
def begun(settings, model, tmp_path):
    """A run after its first step."""
    config = settings(model=str(model))
    config.run.mkdir()
    run_id = open_run(config, OneRank())
    record_engine(config, run_id, {"engine": "any"}, steps=100)
    (config.run / "metrics.jsonl").write_text('{"step": 1}\n')
    return config


def resume(config):
    check_inputs(config)
    return open_run(config, OneRank())


@pytest.mark.parametrize("name", FILES)
def test_a_changed_file_changes_the_fingerprint(model, name):
    before = fingerprint_model(str(model))
    (model / name).write_text("another")
    assert fingerprint_model(str(model)) != before


def test_what_only_tells_how_a_model_was_made_does_not(model):
    before = fingerprint_model(str(model))
    for name in ("init.json", "README.md", "training.json"):
        (model / name).write_text("{}")
    assert fingerprint_model(str(model)) == before


@pytest.mark.parametrize("name", FILES)
def test_a_model_replaced_under_a_run_is_refused_in_one_line(begun, model, name):
    before = (begun.run / "config.yaml").read_bytes(), (begun.run / "run.json").read_bytes()
    (model / name).write_text("made by another method")
    with pytest.raises(InputError, match="not the one that the run began with") as caught:
        resume(begun)
    assert str(model) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert ((begun.run / "config.yaml").read_bytes(), (begun.run / "run.json").read_bytes()) == before


@pytest.mark.parametrize("name", FILES)
def test_a_finished_run_is_not_taken_for_that_of_another_model(begun, model, tmp_path, capsys, name):
    (begun.run / FINAL).mkdir()
    write_json(begun.run / FINAL / FINAL_MARKER, {"step": begun.steps})
    save_config(begun, tmp_path / "train.yaml")
    shutil.copytree(model, tmp_path / "other")
    for folder in (model, tmp_path / "other"):
        assert main(["train", str(tmp_path / "train.yaml"), f"model={folder}"]) == 0
        assert f"already trained to step {begun.steps}" in capsys.readouterr().err
    (tmp_path / "other" / name).write_text('{"another": 1}')
    assert main(["train", str(tmp_path / "train.yaml"), f"model={tmp_path / 'other'}"]) == 2
    assert "not the one that the run began with" in capsys.readouterr().err


def test_the_same_model_resumes_from_any_folder(begun, model, tmp_path):
    run_id = json.loads((begun.run / "run.json").read_text())["run_id"]
    assert resume(begun) == run_id
    copied = tmp_path / "elsewhere" / "copy"
    shutil.copytree(model, copied)
    assert resume(dataclasses.replace(begun, model=str(copied))) == run_id
    shutil.rmtree(model)
    assert resume(dataclasses.replace(begun, model=str(copied))) == run_id
    (copied / "model.safetensors").write_text("another")
    with pytest.raises(InputError, match="not the one that the run began with"):
        resume(dataclasses.replace(begun, model=str(copied)))


def test_a_run_begun_before_there_were_fingerprints_resumes_with_a_note(begun, model, caplog):
    path = begun.run / "run.json"
    record = json.loads(path.read_text())
    del record[KEY]
    path.write_text(json.dumps(record))
    assert resume(begun) == record["run_id"]
    assert "the run began before its model was recorded" in caplog.text
    caplog.clear()
    assert resume(begun) == record["run_id"]
    assert not caplog.text  # it is recorded now
    (model / "model.safetensors").write_text("another")
    with pytest.raises(InputError, match="not the one that the run began with"):
        resume(begun)


def test_a_launch_that_failed_before_its_first_step_pins_no_model(begun, model):
    (begun.run / "metrics.jsonl").write_text("")
    (model / "model.safetensors").write_text("made anew")
    resume(begun)
    assert is_still(begun.run / "run.json", str(model))


def test_a_hub_id_is_known_by_the_files_of_its_revision(settings, model, tmp_path, monkeypatch):
    use_cache(monkeypatch, tmp_path / "cache")
    put_in_cache(tmp_path / "cache", "owner/name", model)
    monkeypatch.chdir(tmp_path)
    assert fingerprint_model("owner/name") == fingerprint_model(str(model))
    (model / "README.md").write_text("a word more")
    put_in_cache(tmp_path / "cache", "owner/name", model, commit="1" * 40)
    assert fingerprint_model("owner/name") == fingerprint_model(str(model))
    (model / "model.safetensors").write_text("another")
    put_in_cache(tmp_path / "cache", "owner/name", model, commit="2" * 40)
    assert fingerprint_model("owner/name") == fingerprint_model(str(model))
    monkeypatch.undo()


def test_an_export_takes_nothing_from_a_replaced_model(begun, model):
    config = resolve_paths(begun)
    save_config(config, begun.run / "config.yaml")
    final = begun.run / "final"
    assert _origin(config, final, trained=False) == str(model)
    (model / "model.safetensors").write_text("another")
    assert _origin(config, final, trained=True) == str(final)
    with pytest.raises(DataMissingError, match="has changed"):
        _origin(config, final, trained=False)
