"""The scripts of ``examples/`` do what their page says, one after the other, on a tiny model and made-up text."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from support import warm
from support.front_door import write_desk

EXAMPLES = Path(__file__).parents[2] / "examples"
RECORD = '#!/bin/sh\nprintf "%s\\n" "$@" > words\n'
"""In place of ``accelerate``: keeps the words that it is given, which then start warm."""
SMALL = {"265000": "160", "512": "32", "steps=1000": "steps=2"}
FEWER = {
    "initialise_model.py": ["--steps", "2", "--method", "ofa"],
    "train.sh": ["global_batch_size=4", "micro_batch_size=2", "warmup_steps=1"],
}


def commands() -> list[list[str]]:
    """The commands of the page, as words, with small sizes."""
    text = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    lines = [
        shlex.split(line.removeprefix("python ").removeprefix("examples/"))
        for line in block.replace("\\\n", "").splitlines()
    ]
    return [[name, *(SMALL.get(word, word) for word in words), *FEWER.get(name, [])] for name, *words in lines]


def run_script(name: str, words: list[str]) -> None:
    """Run a script's ``main`` in this process."""
    spec = importlib.util.spec_from_file_location(f"example_{Path(name).stem}", EXAMPLES / name)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.main(words)


def train(words: list[str], folder: Path) -> None:
    """Run ``train.sh`` up to its launch, then the launch."""
    shims = folder / "bin"
    shims.mkdir()
    (shims / "accelerate").write_text(RECORD)
    (shims / "accelerate").chmod(0o755)
    path = f"{shims}{os.pathsep}{os.environ['PATH']}"
    subprocess.run([EXAMPLES / "train.sh", *words], env={**os.environ, "PATH": path}, cwd=folder, check=True)
    launch = [str(Path(sys.executable).with_name("accelerate")), *(folder / "words").read_text().splitlines()]
    done = warm.run(launch, env={**os.environ, "OMP_NUM_THREADS": "1"}, cwd=folder, timeout=420)
    assert done.returncode == 0, done.stderr


def test_each_script_has_a_line_on_the_page() -> None:
    scripts = sorted(path.name for path in EXAMPLES.iterdir() if path.suffix in {".py", ".sh"})
    assert sorted(name for name, *_ in commands()) == scripts


def test_the_scripts_feed_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_desk(tmp_path)
    monkeypatch.chdir(tmp_path)
    said = {}
    for name, *words in commands():
        if name == "train.sh":
            train(words, tmp_path)
        else:
            run_script(name, words)
        said[name] = capsys.readouterr().out
    cut = re.search(r"^kab: (\d\.\d+) tokens a word, now (\d\.\d+)$", said["extend_tokenizer.py"], re.MULTILINE)
    assert cut is not None
    assert float(cut[2]) < float(cut[1])
    assert re.search(r"^ +\d+ rows predicted$", said["initialise_model.py"], re.MULTILINE)
    assert said["read_verdict.py"].splitlines()[0] in said["initialise_model.py"]
    assert re.search(r"^kab: 256 documents, \d+ sequences of 32$", said["prepare_corpus.py"], re.MULTILINE)
    assert "HyperofaXLMRobertaForMaskedLM is now XLMRobertaForMaskedLM" in said["export_dense.py"]
    assert re.search(r"^sr-t kab: \d+\.\d\d \(.*\) of 40, chance ", said["evaluate.py"], re.MULTILINE)


def test_too_few_words_for_the_training_are_one_line() -> None:
    done = subprocess.run([EXAMPLES / "train.sh", "model"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: ")
    assert done.stderr.count("\n") == 1


def test_a_model_without_a_verdict_is_told(tmp_path: Path) -> None:
    (tmp_path / "init.json").write_text("{}")
    with pytest.raises(SystemExit, match="was initialised without text"):
        run_script("read_verdict.py", [str(tmp_path)])
