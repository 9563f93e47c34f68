"""``hyperofa experiment`` for real on made-up languages: orchestrators side by side, one killed, a failing cell, a change."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from support.tiny_experiment import BROKEN, MENDED, values_of, write_data, write_recipe

from hyperofa_eval.base.files import read_json

pytestmark = [pytest.mark.distributed, pytest.mark.slow, pytest.mark.timeout(3600)]


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A recipe with its inputs beside it."""
    return write_recipe(tmp_path)


def start(recipe: Path, out: Path, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "hyperofa.cli", "experiment", str(recipe), "--data", str(recipe.parent / "data")]
    return subprocess.Popen(
        [*command, "--out", str(out), *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def runs(out: Path) -> dict[str, int]:
    """How often each stage was started."""
    return {log.stem: log.read_text().count("\n$ ") for log in (out / "logs").glob("*.log")}


def test_a_matrix_shared_killed_and_changed(recipe: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    killed = start(recipe, out)
    deadline = time.monotonic() + 900
    while not (out / "stages" / "vectors.json").is_file():
        assert killed.poll() is None, killed.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()

    pair = [start(recipe, out) for _ in range(2)]
    told = [process.communicate() for process in pair]
    assert [process.returncode for process in pair] == [1, 1], told
    assert "init-tiny-r8-broken-s0" in told[0][1].strip().splitlines()[-1]
    counted = runs(out)
    again = {name: count for name, count in counted.items() if count != 1}
    assert set(again) <= {"gather", "vectors", "init-tiny-r8-broken-s0", "init-tiny-rfull-broken-s0"}, counted

    results = read_json(out / "results.json")
    assert set(results["failed"]) == {"init-tiny-r8-broken-s0", "init-tiny-rfull-broken-s0"}
    assert results["split"]["left_out"] == {"eng": 5, "swh": 5, "tur": 5}
    cell = results["cells"]["tiny-r8-ofa-s0"]
    assert [row["step"] for row in cell["way"]["scores"]["sr-t"]] == [6, 12]
    assert results["cells"]["tiny-rfull-ofa-s0"]["after"] is None
    rows = {(row["task"], row["rank"], row["method"], row["when"]) for row in results["table"]}
    assert ("pos", 8, "ofa", "after") in rows
    assert ("sr-t", "full", "random", "before") in rows
    assert {(row["method"], row["with"], row["when"]) for row in results["paired"]} >= {("ofa", "random", "after")}
    assert [row["method"] for row in results["saved"]] == ["ofa"]
    page = (out / "report.html").read_text(encoding="utf-8")
    for heading in (
        "Not complete",
        "Scores by task",
        "Scores against steps",
        "Steps saved",
        "What differs from the paper",
    ):
        assert heading in page

    (tmp_path / "broken.py").write_text(MENDED)
    mended = start(recipe, out, "--json")
    printed, errors = mended.communicate()
    assert mended.returncode == 0, errors
    assert json.loads(printed)["failed"] == {}
    now = runs(out)
    assert {name for name in now if now[name] != counted.get(name, 0)} == {name for name in now if "broken" in name}
    assert {row["state"] for row in json.loads(start(recipe, out, "--list", "--json").communicate()[0])} == {"done"}

    (tmp_path / "broken.py").write_text(BROKEN)  # from mended to broken: old scores must not stand for new ones
    again_broken = start(recipe, out)
    errors = again_broken.communicate()[1]
    assert again_broken.returncode == 1, errors
    results = read_json(out / "results.json")
    assert {name.split("-")[0] for name in results["failed"]} == {"init"}
    cell = results["cells"]["tiny-r8-broken-s0"]
    assert (cell["before"], cell["after"], cell["loss"], cell["provenance"]) == (None, None, [], None)
    assert not any(row["method"] == "broken" for row in [*results["table"], *results["paired"], *results["saved"]])
    assert (out / "cells" / "tiny-r8-broken-s0" / ".init.old" / "output" / "init.json").is_file()
    assert (out / "cells" / "tiny-r8-broken-s0" / "run" / "final" / "config.json").is_file()

    (tmp_path / "broken.py").write_text(MENDED)
    counted = runs(out)
    back = start(recipe, out, "--json")
    printed, errors = back.communicate()
    assert back.returncode == 0, errors
    assert json.loads(printed)["unfinished"] == []
    assert runs(out) == counted


def test_training_is_not_run_again_for_how_it_runs(recipe: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ("--only", "train/*-ofa-*")
    assert start(recipe, out, *words).communicate() is not None
    counted = runs(out)
    assert counted["train-tiny-r8-ofa-s0"] == 1
    for setting in ("train.settings.keep=3", "train.evaluate.limit=20", "train.launch=launch/one_gpu.yaml"):
        process = start(recipe, out, *words, "--set", setting)
        _, errors = process.communicate()
        assert process.returncode == 0, errors
    assert runs(out) == counted


@pytest.fixture(scope="module")
def documented(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which ``small`` and ``gpu/small`` are small recipes, and DATA is their data."""
    folder = tmp_path_factory.mktemp("documented")
    write_data(folder / "DATA")
    values = values_of(folder)
    values["sources"] = {"minilm": values["sources"].pop("tiny")}
    values["matrix"] = {"ranks": [8], "methods": {"ofa": {}, "default": {}}}
    values["evaluate"] |= {"against": ["ofa"], "further": {}}
    hardware = {"gpus": 1, "gpu_memory": 80, "mfu": 0.03}
    config = read_json(folder / "source" / "config.json")
    for name, more in (("small", {}), ("gpu/small", {"hardware": hardware})):
        sources = {"minilm": {**values["sources"]["minilm"], "config": config}}
        text = yaml.safe_dump({**values, **more, "sources": sources, "name": Path(name).name}, sort_keys=False)
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize(("document", "expected"), [("docs/recipes.md", 7), ("docs/report.md", 2)])
def test_commands_do_what_the_document_says(document: str, expected: int, documented: Path) -> None:
    text = (Path(__file__).parents[2] / document).read_text(encoding="utf-8")
    lines = [line for block in re.findall(r"^```bash\n(.*?)^```$", text, re.M | re.S) for line in block.splitlines()]
    assert len(lines) == expected
    if document == "docs/report.md":
        run_in(documented, ["hyperofa", "experiment", "small", "--data", "DATA"])  # what it tells how to read
    for line in lines:
        words = shlex.split(line.replace("r100", "r8").replace("steps=100", "steps=8"), comments=True)
        printed = run_in(documented, words)
        if "gpu/small" in words:
            assert "h if they reach 3 % of their peak" in " ".join(printed.split())
        if "--list" in words:
            assert "to do" not in printed


def run_in(folder: Path, words: list[str]) -> str:
    program = str(Path(sys.executable).with_name(words[0]))
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [program, *words[1:]], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{shlex.join(words)}\n{done.stdout[-1500:]}\n{done.stderr[-3000:]}"
    return done.stdout
