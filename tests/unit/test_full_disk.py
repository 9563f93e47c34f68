"""A full disk, or a file that may not grow: every command that writes says so in one line, and leaves nothing half-written."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import made_up
from support.disks import largest_file

from hyperofa import cli
from hyperofa_eval.cli import main as evaluate

LEFT = 4096
"""Bytes that are free on the full disk."""
FILLER = "filler"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Text of two languages, a source model, a model directory made of it, and a run that has ended."""
    home = tmp_path_factory.mktemp("home")
    english = made_up.sentences()
    parallel = home / "parallel"
    parallel.mkdir()
    for language in ("eng", "tur"):
        lines = [made_up.spelled(line, language) for line in english]
        (parallel / f"{language}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    made_up.write_source(home / "source")
    words = [f"{a}{b}" for a, b in itertools.product("abcdefghijklmnop", repeat=2)]
    (home / "words.txt").write_text("\n".join(f"{word}{other}" for word in words for other in words[:40]) + "\n")
    assert cli.main([str(word) for word in init(home, home / "model")]) == 0
    run = home / "run"
    (run / "final").mkdir(parents=True)
    for path in (home / "model").iterdir():
        (run / "final" / path.name).write_bytes(path.read_bytes())
    (run / "final" / "train.json").write_text(json.dumps({"run_id": "r", "step": 1}))
    (run / "run.json").write_text(json.dumps({"run_id": "r"}))
    config = {"model": str(home / "model"), "corpus": str(home), "run": str(run), "steps": 1, "global_batch_size": 8}
    (run / "config.yaml").write_text(json.dumps(config))
    tatoeba = home / "data" / "tatoeba"
    tatoeba.mkdir(parents=True)
    for language in ("eng", "tur"):
        lines = [made_up.spelled(line, language) for line in english[:40]]
        (tatoeba / f"tur-eng.{language}").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return home


def init(home: Path, out: Path) -> list[object]:
    method = ["--method", "random", "--out", out]
    return ["init", "--source", home / "source", "--tokenizer", home / "source", *method]


COMMANDS: dict[str, tuple[Callable[..., int], Callable[[Path, Path], list[object]]]] = {
    "tokenizer train": (
        cli.main,
        lambda home, out: [
            "tokenizer",
            "train",
            "--text",
            f"tur={home / 'words.txt'}",
            "--vocab-size",
            400,
            "--out",
            out,
        ],
    ),
    "tokenizer extend": (
        cli.main,
        lambda home, out: [
            *("tokenizer", "extend", "--source", home / "source", "--text", f"tur={home / 'words.txt'}"),
            *("--vocab-size", 400, "--out", out),
        ],
    ),
    "vectors build": (
        cli.main,
        lambda home, out: ["vectors", "build", "--parallel", home / "parallel", "--dim", "60", "--out", out],
    ),
    "init": (cli.main, init),
    "corpus prepare": (
        cli.main,
        lambda home, out: [
            *("corpus", "prepare", "--tokenizer", home / "source", "--length", "16", "--out", out),
            *("--text", f"eng={home / 'parallel' / 'eng.txt'}"),
        ],
    ),
    "checkpoint export": (cli.main, lambda home, out: ["checkpoint", "export", home / "run", "--out", out]),
    "hyperofa-eval run": (
        evaluate,
        lambda home, out: [
            *("run", home / "model", "--tasks", "sr-t", "--data", home / "data", "--languages", "tur"),
            *("--device", "cpu", "--out", out, "--cache", out.parent / "cache"),
        ],
    ),
}


@pytest.fixture
def full_disk(small_disk: Path) -> Iterator[Path]:
    free = os.statvfs(small_disk)
    (small_disk / FILLER).write_bytes(b"x" * (free.f_bavail * free.f_frsize - LEFT))
    yield small_disk
    (small_disk / FILLER).unlink()


def left(folder: Path) -> list[str]:
    """What a command left, apart from empty folders."""
    return [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if path.is_file()]


def refused(name: str, home: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    run, words = COMMANDS[name]
    capsys.readouterr()
    code = run([str(word) for word in words(home, folder / "out")])
    lines = [line for line in capsys.readouterr().err.splitlines() if "error: " in line]
    assert len(lines) == 1
    assert code == 1, lines
    return lines[0]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_full_disk(name, home, full_disk, capsys):
    assert "No space left on device" in refused(name, home, full_disk, capsys)
    assert left(full_disk) == [FILLER]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_file_that_may_not_grow(name, home, tmp_path, capsys):
    with largest_file(1024):
        line = refused(name, home, tmp_path, capsys)
    assert "File too large" in line or "room" in line
    assert left(tmp_path) == []
