"""The command table: help at once, one-line errors, exit codes."""

from __future__ import annotations

import errno
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from hyperofa.base.files import new_directory
from hyperofa.cli import COMMANDS, main
from hyperofa.errors import DataMissingError, HyperofaError, InputError
from hyperofa_eval.base.guard import run_guarded


def test_help_names_every_command_and_imports_nothing_heavy():
    code = "import sys; from hyperofa.cli import main; main(['--help']); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert all(name in done.stdout for name in COMMANDS)
    assert not {"torch", "transformers", "deepspeed", "scipy", "sklearn", "datasets"} & set(done.stderr.split())


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_has_help_without_heavy_imports(name):
    assert find_spec(COMMANDS[name][0]) is not None
    code = (
        f"import sys; from hyperofa.cli import main\ntry: main([{name!r}, '--help'])\n"
        "except SystemExit as end: print(end.code, *sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "usage: hyperofa" in done.stdout
    words = done.stderr.split()
    assert words[0] == "0"
    assert not {"torch", "transformers", "deepspeed", "scipy", "sklearn", "numpy", "pydantic", "rich"} & set(words)


def test_an_unknown_command_names_the_nearest(capsys):
    assert main(["trian"]) == 2
    printed = capsys.readouterr().err
    assert (
        printed
        == f"hyperofa: error: unknown command 'trian'; did you mean 'train'? known: {', '.join(sorted(COMMANDS))}\n"
    )


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (InputError("bad", where="here", todo="mend it"), 2),
        (DataMissingError("none", where="here"), 3),
        (HyperofaError("broke"), 1),
        (OSError(errno.ENOSPC, "No space left on device", "/x/model"), 1),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "/x/model"), 3),
        (NotADirectoryError(errno.ENOTDIR, "Not a directory", "/x/file/y"), 2),
        (IsADirectoryError(errno.EISDIR, "Is a directory", "/x"), 2),
        (OSError("the hub said\nseveral lines"), 1),
        (OSError(errno.EBADF, "Bad file descriptor"), 1),
        (KeyboardInterrupt(), 130),
    ],
)
def test_errors_are_one_line_with_their_code(raised, code, capsys):
    def fail() -> None:
        raise raised

    assert run_guarded("hyperofa x", fail) == code
    assert capsys.readouterr().err.count("\n") == 1


def test_a_bug_keeps_its_traceback():
    def fail() -> None:
        raise RuntimeError("not the user's doing")

    with pytest.raises(RuntimeError, match="not the user"):
        run_guarded("hyperofa x", fail)


@pytest.mark.parametrize("name", [".", "../here", "link"])
def test_an_output_directory_by_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "done.json").write_text("old")
    (tmp_path / "here" / "stale").write_text("old")
    monkeypatch.chdir(tmp_path / "here")
    if name == "link":
        (tmp_path / "link").symlink_to("here")
        monkeypatch.chdir(tmp_path)
    with new_directory(Path(name), "done.json") as folder:
        (folder / "done.json").write_text("new")
    assert [path.name for path in (tmp_path / "here").iterdir()] == ["done.json"]
    assert (tmp_path / "here" / "done.json").read_text() == "new"
    assert {path.name for path in tmp_path.iterdir()} <= {"here", "link"}


def test_a_terminated_command_leaves_nothing_half_written(tmp_path: Path) -> None:
    program = """
import sys, time, types
from hyperofa import cli
from hyperofa.base.files import new_directory
from hyperofa_eval.settings.commands import Command
from hyperofa_eval.settings.fields import Settings
from pathlib import Path

def run(options):
    with new_directory(Path(sys.argv[1]) / "out", "done.json") as folder:
        (folder / "half").write_text("x")
        print("started", flush=True)
        time.sleep(60)

sys.modules["slow"] = types.SimpleNamespace(COMMAND=Command(Settings, run))
cli.COMMANDS["slow"] = ("slow", "sleeps")
sys.exit(cli.main(["slow"]))
"""
    words = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        process.terminate()
        _, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (143, "hyperofa slow: terminated\n")
    assert list(tmp_path.iterdir()) == []


def test_inputs_of_one_name_are_all_named() -> None:
    from hyperofa.base.files import named_inputs

    paths = [Path("a/ces.txt"), Path("b/ces.txt"), Path("b/deu.txt"), Path("c/ces.txt")]
    assert named_inputs("text", paths) == dict(
        zip(["text/ces.txt", "text/ces.txt#2", "text/deu.txt", "text/ces.txt#3"], paths, strict=True)
    )
