from __future__ import annotations

import subprocess
import sys

import pytest

from hyperofa.cli import main
from hyperofa.config import save_config


@pytest.fixture
def config_file(settings, tmp_path):
    save_config(settings(), tmp_path / "run.yaml")
    return tmp_path / "run.yaml"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["model=nowhere"], 2, "nowhere: no such model directory"),
        (["corpus=nowhere"], 3, "nowhere: no packed corpus"),
        (["stepz=3"], 2, "did you mean 'steps'"),
        (["ds_config=nowhere.json"], 3, "nowhere.json: no such file"),
        (["micro_batch_size=64"], 2, "no multiple"),
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
    save_config(settings(), tmp_path / "run" / "config.yaml")
    assert main(["train", str(config_file), "seed=5", "learning_rate=1"]) == 2
    assert "learning_rate, seed changed" in capsys.readouterr().err


def test_the_checks_import_nothing_heavy(config_file):
    script = (
        "import sys; from hyperofa.cli import main\n"
        f"code = main(['train', {str(config_file)!r}, 'model=nowhere'])\n"
        "assert not {'torch', 'deepspeed', 'transformers'} & set(sys.modules)\n"
        "sys.exit(code)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 2
