"""``hyperofa train``: what it refuses before anything heavy is loaded, and what each rank says."""

from __future__ import annotations

import subprocess
import sys

import pytest

from hyperofa.cli import main
from hyperofa.commands.train import ConfigFile


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


@pytest.mark.parametrize("text", ["{}", "[]", "{", '{"format": 2}', '{"format": 2, "length": []}'])
def test_a_malformed_corpus_is_found_before_anything_heavy(config_file, tmp_path, capsys, text):
    (tmp_path / "corpus" / "corpus.json").write_text(text)
    assert main(["train", str(config_file)]) == 2
    error = capsys.readouterr().err
    assert "corpus.json" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_further_files_replace_settings_of_those_before_them(config_file, tmp_path):
    (tmp_path / "more.yaml").write_text("steps: 7\nlearning_rates: {body: 0}\n")
    words = ("warmup_steps=3", str(tmp_path / "more.yaml"), "learning_rate=0.5")
    config = ConfigFile(config=config_file, overrides=words).load()
    assert (config.steps, config.warmup_steps, config.learning_rate, config.learning_rates) == (7, 3, 0.5, {"body": 0})


def test_a_file_of_settings_may_lie_below_a_folder_with_an_equals_sign(config_file, tmp_path):
    (tmp_path / "lr=1").mkdir()
    (tmp_path / "lr=1" / "more.yaml").write_text("steps: 7\n")
    assert ConfigFile(config=config_file, overrides=(str(tmp_path / "lr=1" / "more.yaml"),)).load().steps == 7


@pytest.mark.parametrize("phase", ["new_rows", "all_but_old_rows"])
def test_a_phase_of_new_rows_needs_their_provenance(phase, config_file, tmp_path, capsys):
    assert main(["train", str(config_file), f"phase={phase}", "phase_steps=5"]) == 3
    assert f"provenance.safetensors: phase {phase} needs the provenance" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_rate_of_old_rows_needs_their_provenance(config_file, tmp_path, capsys):
    assert main(["train", str(config_file), "learning_rates={old_rows: 1.0e-6}"]) == 3
    assert "provenance.safetensors: learning_rates.old_rows needs the provenance" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


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
