"""``hyperofa experiment`` and ``hyperofa quickstart`` as typed: wrong words, and lists of stages."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.plans import edited

from hyperofa.cli import main


def run(*words: str) -> int:
    try:
        return main(["experiment", *words])
    except SystemExit as exit_:
        return int(str(exit_.code))


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
    matrix: Path, words: tuple[str, ...], code: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = tuple(str(matrix.parent) if word == "x" else word for word in words)
    assert run(str(matrix), "--out", str(matrix.parent / "out"), *words) == code
    (found,) = capsys.readouterr().err.strip().splitlines()
    assert line in found
    assert not (matrix.parent / "out").exists()


def test_an_unknown_recipe_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("smal") == 2
    assert "unknown recipe 'smal'; did you mean 'small'?" in capsys.readouterr().err


def test_list_shows_states_and_writes_nothing(matrix: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = matrix.parent / "out"
    assert (
        run(
            str(matrix),
            "--data",
            str(matrix.parent),
            "--out",
            str(out),
            "--list",
            "--json",
            "--only",
            "train",
        )
        == 0
    )
    rows = json.loads(capsys.readouterr().out)
    assert {row["state"] for row in rows} == {"to do"}
    assert rows[-1]["name"] == "train-tiny-r8-ours-s0"
    assert not out.exists()


def test_the_command_refuses_with_one_line_and_writes_nothing(
    tmp_path: Path, parallel: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine.txt").write_text("precious")
    out = str(tmp_path / "out")
    typed = {
        ("--out", str(full), "--data", str(parallel)): 2,
        ("--out", out, "--recipe", str(tmp_path / "none.yaml")): 2,
        ("--out", out, "--recipe", str(edited(tmp_path, matrix__methods={"hyperova": {}}, evaluate__against=[]))): 2,
        ("--out", out, "--data", str(tmp_path / "nowhere")): 3,
        ("--out", out, "--colour"): 2,
    }
    for words, code in typed.items():
        try:
            found = main(["quickstart", *words])
        except SystemExit as exit_:
            found = int(str(exit_.code))
        lines = capsys.readouterr().err.strip().splitlines()
        assert (found, len(lines)) == (code, 1), (words, lines)
    assert not (tmp_path / "out").exists()
    assert [path.name for path in full.iterdir()] == ["mine.txt"]
