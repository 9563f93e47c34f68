"""What the benchmark of quality says of its cells: paired over seeds, and whether the default is above every other method."""

from __future__ import annotations

import argparse
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

FILE = Path(__file__).resolve().parents[3] / "benchmarks" / "init" / "init_quality.py"


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(str(FILE.parent))
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


def reported(benchmark, work: Path, by_method: dict[str, dict[str, float]], seeds: int = 2) -> dict:
    folders = {name: [work / f"{name}-{seed}" for seed in range(seeds)] for name in by_method}
    for name, shares in by_method.items():
        for seed, folder in enumerate(folders[name]):
            write_cell(folder, shares, 0)
            write_json(folder / "seconds.json", 10.0 + seed)
    folders["own"] = folders["own"][:1]
    setting = benchmark.SETTINGS["multilingual"]
    split = dataclasses.replace(setting.report, extended=())
    return benchmark.report(setting, split, work, folders, {})


OWN = {"tur": 0.5, "fry": 0.4}


def test_each_method_is_paired_with_the_own_tokenizer_over_all_seeds(benchmark, tmp_path):
    found = reported(benchmark, tmp_path, {"own": OWN, "default": {"tur": 0.6, "fry": 0.3}})["methods"]
    assert found["default"]["mean"] == pytest.approx(45, abs=5)
    above = found["default"]["above_own"]
    assert above["ci95"][0] < above["mean"] < above["ci95"][1]
    assert above["languages"]["tur"]["ci95"][0] > 0 > above["languages"]["fry"]["ci95"][1]
    assert found["default"]["init_seconds"] == [10.0, 11.0]
    assert "above_own" not in found["own"]


def outcome_of(benchmark, work: Path, default: dict[str, float], saved: float = 15.0) -> dict:
    found = reported(benchmark, work, {"own": OWN, "default": default})
    return found | {"tokens_saved": {"mean": saved}}


def test_floors_of_the_multilingual_source(benchmark, tmp_path):
    fine = outcome_of(benchmark, tmp_path / "fine", {"tur": 0.5, "fry": 0.41})
    assert benchmark.floors_missed("multilingual", "full", fine) == []
    few = benchmark.floors_missed("multilingual", "full", fine | {"tokens_saved": {"mean": 11.0}})
    assert few == ["11.0 % of tokens saved, not 12"]
    worse = outcome_of(benchmark, tmp_path / "worse", {"tur": 0.5, "fry": 0.2})
    assert [line.split()[0] for line in benchmark.floors_missed("multilingual", "full", worse)] == ["the", "fry"]


@pytest.mark.parametrize(
    ("swh", "eng", "missed"), [(0.8, 1.0, []), (0.95, 1.0, ["mean"]), (0.7, 1.1, ["eng"]), (1.01, 0.5, ["swh"])]
)
def test_floors_of_the_decoder(benchmark, swh, eng, missed):
    rows = {"eng": 1.5 * eng, "swh": 4.0 * swh}
    methods = {
        "own": {"mean": 2.75, "languages": {"eng": 1.5, "swh": 4.0}},
        "default": {"mean": sum(rows.values()) / 2, "languages": rows, "above_own": {"mean": 0, "ci95": [0, 0]}},
    }
    found = benchmark.floors_missed("decoder", "full", {"methods": methods, "tokens_saved": {"mean": 40.0}})
    assert [line.split()[0] for line in found] == missed


def test_a_decoder_that_forgets_what_it_knew_is_reported(benchmark):
    rows = {"eng": 1.0}
    same = {"mean": 1.0, "languages": rows, "above_own": {"mean": 0, "ci95": [0, 0]}}
    better = same | {"mean": 0.9, "languages": {"eng": 0.9}, "answer": "It is Mombasa."}
    outcome = {
        "methods": {"own": same | {"answer": "It is Nairobi."}, "default": better},
        "tokens_saved": {"mean": 40.0},
    }
    (line,) = benchmark.floors_missed("decoder", "full", outcome)
    assert "has lost Nairobi" in line


@pytest.mark.parametrize(("ci95", "holds"), [([0.5, 3.0], True), ([-0.1, 3.0], False), ([-3.0, -0.5], False)])
def test_the_network_alone_has_to_lie_wholly_above_the_mean_of_pieces(benchmark, ci95, holds):
    default = {"mean": 40.0, "languages": {}, "above_own": {"mean": 0, "ci95": [0, 0], "languages": {}}}
    methods = {"own": {}, "default": default, "subword-mean": {}, "network-alone": {"above_pieces": {"ci95": ci95}}}
    lines = benchmark.floors_missed("multilingual", "full", {"methods": methods, "tokens_saved": {"mean": 15.0}})
    assert lines == ([] if holds else ["the network alone is no better than the mean of pieces"])


def test_words_of_init_for_the_default_and_for_a_method(benchmark):
    asked = argparse.Namespace(source="S", rank="100", option=["--seed=9"])
    made = {"tokenizer": "T", "VECTORS": ["V"], "TEXT": ["swh=a", "tur=b"], "PARALLEL": ["P"]}
    made["given"] = [("--vectors", "VECTORS"), ("--text", "TEXT"), ("--parallel", "PARALLEL")]
    words = benchmark.init_words(asked, made, "default", 2)
    assert words == [
        *(
            "--source",
            "S",
            "--tokenizer",
            "T",
            "--seed",
            2,
            "--rank",
            "100",
            "--vectors",
            "V",
            "--text",
            "swh=a",
            "tur=b",
        ),
        *("--parallel", "P", "--seed=9"),
    ]
    asked.rank = "full"
    ofa = benchmark.init_words(asked, made, "ofa", 0)
    assert ofa[6:] == ["--method", "ofa", "--vectors", "V"]
    assert "--text" not in benchmark.init_words(asked, made | {"TEXT": []}, "default", 0)


def test_no_sentence_that_is_scored_is_learned_from(benchmark, tmp_path):
    sources = importlib.import_module("quality_sources")
    for language in ("eng", "swh", "tur", "ces", "kat", "uig", "zsm", "bul"):
        lines = [f"{language} sentence {i}" for i in range(1997)]
        (tmp_path / "ntrex").mkdir(exist_ok=True)
        (tmp_path / "ntrex" / f"{language}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for name, kind in (("decoder", "report"), ("multilingual", "development")):
        split = sources.SETTINGS[name].split(kind)
        out = tmp_path / name
        tests = sources.test_sets(tmp_path, split, out / "tests")
        files = [*sources.learning_text(tmp_path, split, out / "text").values()]
        files += sources.parallel_text(tmp_path, split, out / "parallel").iterdir()
        learned = {row.rpartition("\t")[2] for file in files for row in file.read_text(encoding="utf-8").splitlines()}
        for language in split.scored:
            scored = sources.scored_lines(tests, split, language)
            assert len(scored) == 200
            assert not {*scored} & learned


def test_where_nothing_of_ntrex_is_scored_all_of_it_is_learned_from(benchmark, tmp_path):
    sources = importlib.import_module("quality_sources")
    (tmp_path / "ntrex").mkdir()
    for language in ("eng", "deu"):
        text = "".join(f"{language} sentence {i}\n" for i in range(1997))
        (tmp_path / "ntrex" / f"{language}.txt").write_text(text, encoding="utf-8")
    report = sources.SETTINGS["english"].report
    folder = sources.parallel_text(tmp_path, report, tmp_path / "parallel", everything=True)
    assert len((folder / "deu.tsv").read_text(encoding="utf-8").splitlines()) == 1997
