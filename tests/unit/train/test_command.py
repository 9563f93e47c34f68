from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest

from hyperofa.cli import main
from hyperofa.errors import InputError
from hyperofa.train.checkpoint.rundir import check_inputs, resolve_paths
from hyperofa_eval.settings.config import save_config


@pytest.fixture
def config_file(settings, tmp_path):
    save_config(settings(), tmp_path / "run.yaml")
    return tmp_path / "run.yaml"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["model=nowhere"], 3, "nowhere: no such model directory"),
        (["corpus=nowhere"], 3, "nowhere: no packed corpus"),
        (["stepz=3"], 2, "did you mean 'steps'"),
        (["ds_config=nowhere.json"], 3, "nowhere.json: no such file"),
        (["micro_batch_size=64"], 2, "no multiple"),
        (["trackers=[nonsense]"], 2, "trackers: unknown nonsense; known: aim"),
    ],
)
def test_refuses_before_anything_heavy(config_file, tmp_path, capsys, words, code, said):
    assert main(["train", str(config_file), *words]) == code
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_refuses_a_directory_that_holds_something_else(config_file, tmp_path, capsys):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("years of work")
    assert main(["train", str(config_file)]) == 2
    assert "holds something else" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["thesis.tex"]


def test_refuses_to_resume_with_other_settings(settings, config_file, tmp_path, capsys):
    begin(settings(), tmp_path / "run")
    assert main(["train", str(config_file), "seed=5", "learning_rate=1"]) == 2
    assert "learning_rate, seed changed" in capsys.readouterr().err


def test_a_finished_run_names_its_model_as_the_start_of_a_new_one(settings, config_file, tmp_path, capsys):
    begin(settings(), tmp_path / "run")
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


def begin(config, run, run_id="ours"):
    """What a run directory holds after its first step."""
    save_config(resolve_paths(config), run / "config.yaml")
    (run / "run.json").write_text(json.dumps({"run_id": run_id}))
    (run / "metrics.jsonl").write_text('{"step": 1}\n')


def test_a_launch_that_failed_before_its_first_step_pins_nothing(settings, tmp_path):
    begin(settings(seed=1), tmp_path / "run")
    (tmp_path / "run" / "metrics.jsonl").write_text("")
    check_inputs(settings(seed=2))
    (tmp_path / "run" / "metrics.jsonl").write_text('{"step": 1}\n')
    with pytest.raises(InputError, match="seed changed"):
        check_inputs(settings(seed=2))


def test_model_and_corpus_may_be_named_from_another_folder_or_moved_with_the_run(settings, tmp_path, monkeypatch):
    config = settings()
    begin(config, tmp_path / "run")
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
    begin(settings(), tmp_path / "run")
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


@pytest.mark.parametrize("text", ["{}", "[]", "{", '{"format": 2}', '{"format": 2, "length": []}'])
def test_a_malformed_corpus_is_found_before_anything_heavy(config_file, tmp_path, capsys, text):
    (tmp_path / "corpus" / "corpus.json").write_text(text)
    assert main(["train", str(config_file)]) == 2
    error = capsys.readouterr().err
    assert "corpus.json" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_phase_of_new_rows_needs_their_provenance(config_file, tmp_path, capsys):
    assert main(["train", str(config_file), "phase=new_rows", "phase_steps=5"]) == 3
    assert "provenance.safetensors: phase new_rows needs the provenance" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_list_shows_the_others_beside_an_unreadable_manifest(settings, tmp_path, write_checkpoint, capsys):
    write_checkpoint(4)
    (write_checkpoint(8) / "manifest.json").write_text("{")
    begin(settings(), tmp_path / "run")
    assert main(["checkpoint", "list", str(tmp_path / "run"), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["step"], row["problem"] is None) for row in rows] == [(8, False), (4, True)]
    assert main(["checkpoint", "list", str(tmp_path / "run")]) == 0
    assert "step_00000004" in capsys.readouterr().out


def test_the_checks_import_nothing_heavy(config_file):
    script = (
        "import sys; from hyperofa.cli import main\n"
        f"code = main(['train', {str(config_file)!r}, 'model=nowhere'])\n"
        "assert not {'torch', 'deepspeed', 'transformers'} & set(sys.modules)\n"
        "sys.exit(code)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 3


@pytest.mark.parametrize("rank", [0, 1])
def test_what_a_library_raises_is_one_line_of_each_rank(config_file, monkeypatch, capsys, rank):
    from tokenizers import Tokenizer, models

    from hyperofa.train import __main__ as launched
    from hyperofa_eval.base import guard

    unable = Tokenizer(models.WordPiece({"a": 0}, unk_token="[UNK]"))
    waited = []
    monkeypatch.setenv("RANK", str(rank))
    monkeypatch.setattr(sys, "argv", ["hyperofa.train", str(config_file)])
    monkeypatch.setattr(launched.command, "run_worker", lambda _: unable.encode("b"))
    monkeypatch.setattr(guard.time, "sleep", waited.append)
    monkeypatch.setattr(guard.signal, "signal", lambda *_: None)
    assert launched.main() == 2
    prog = "hyperofa train, rank 1" if rank else "hyperofa train"
    assert capsys.readouterr().err.startswith(f"{prog}: error: tokenizers failed (WordPiece error")
    assert waited == [guard.SECONDS_FOR_RANK_0] * rank
    monkeypatch.setattr(launched.command, "run_worker", lambda _: {}["a bug"])
    with pytest.raises(KeyError):
        launched.main()
