"""What the benchmark of quality says of its cells: paired over seeds, and whether the default is above every other method."""

from __future__ import annotations

import dataclasses
import importlib.util
from pathlib import Path

import numpy as np
import pytest

from hyperofa_eval.base.files import write_json
from hyperofa_eval.results.result import make_result, path_of
from hyperofa_eval.results.summary import summarise_task
from hyperofa_eval.scoring.statistics import hits
from hyperofa_eval.tasks import Outcome
from hyperofa_eval.tasks.protocols import default

FILE = Path(__file__).resolve().parents[3] / "benchmarks" / "init_quality.py"


@pytest.fixture
def benchmark():
    spec = importlib.util.spec_from_file_location("init_quality", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write_cell(folder: Path, shares: dict[str, float], seed: int) -> None:
    """The evaluation of a cell whose share of hits by language is given; the same sentences are hard for all methods."""
    task = dataclasses.replace(default()["sr-t"])
    model = {"name": folder.name, "sha256": folder.name, "tokenizer_sha256": "t"}
    results = []
    for code, share in shares.items():
        hard = np.random.default_rng(seed).random(400)
        outcome = Outcome({task.metric: hits(hard < share)}, {task.metric: 1.0}, {f"{code}": "d"}, details={})
        settings = {"protocol": "default", "language": code, "seed": 0, "limit": None, "wall_s": 0.0}
        results.append(make_result(outcome, task, model, **settings))
        write_json(path_of(folder / "eval", "sr-t", code, 0), results[-1])
    summary = {"schema": 1, "model": model, "protocol": "default", "limit": None}
    write_json(folder / "eval" / "summary.json", summary | {"tasks": {"sr-t": summarise_task(results, [])}})


def cells(benchmark, work: Path, by_method: dict[str, float], seeds: list[int]) -> dict:
    for name, share in by_method.items():
        for seed in seeds:
            write_cell(benchmark.cell_of(work, name, "100", seed), {"tur": share, "fry": share / 2}, seed)
    return {"100": benchmark.against_others(work, "100", list(by_method), seeds)}


def test_the_default_against_each_other_method_over_all_seeds(benchmark, tmp_path):
    paired = cells(benchmark, tmp_path, {"ofa": 0.3, "ofa-ridge": 0.4, "ofa-ridge-parallel": 0.5}, [0, 1, 2])
    row = paired["100"]["sr-t"]["ofa"]
    assert row["mean"] == pytest.approx(7.5, abs=1.5)
    assert row["ci95"][0] < row["mean"] < row["ci95"][1]
    assert (row["wins"], row["losses"]) == (2, 0)
    assert paired["100"]["sr-t"]["ofa-ridge-parallel"]["ci95"][1] < 0
    assert benchmark.default_is_above(paired)  # what is built on the default does not count
    one = cells(benchmark, tmp_path, {"ofa": 0.3, "ofa-ridge": 0.4}, [0])["100"]["sr-t"]["ofa"]
    assert np.ptp(one["ci95"]) > np.ptp(row["ci95"])


@pytest.mark.parametrize("share", [0.401, 0.5])
def test_a_method_as_good_or_better_is_reported(benchmark, tmp_path, share):
    paired = cells(benchmark, tmp_path, {"ofa": 0.3, "wechsel": share, "ofa-ridge": 0.4}, [0, 1])
    assert not benchmark.default_is_above(paired)


def test_settings_reach_their_own_method_alone(benchmark, tmp_path, monkeypatch):
    lines = []
    monkeypatch.setattr(benchmark, "run", lambda *words: lines.append(list(map(str, words))))
    asked = benchmark.argparse.Namespace(
        source="S", tokenizer="T", data="D", work=tmp_path, option=["known_words=1"], paper_option=["epochs=4"],
        tasks="sr-t", languages=None,
    )  # fmt: skip
    for name in ("ofa", "ofa-ridge", "hyperofa"):
        benchmark.score(asked, tmp_path, name, "100", 0, tmp_path / name)
    given = [[word for word in line if "=" in word] for line in lines if "init" in line]
    assert given == [[], ["known_words=1"], ["epochs=4"]]
