"""Comparing runs: paired differences, groups, every output, and runs that cannot be paired."""

from __future__ import annotations

import csv
import io
import json
from html.parser import HTMLParser

import numpy as np
import pytest

from hyperofa_eval.cli import main
from hyperofa_eval.comparison import published
from hyperofa_eval.files import write_json
from hyperofa_eval.statistics import hits
from hyperofa_eval.summary import summarise_task
from hyperofa_eval.tasks import Outcome


def make_run(folder, right, *, task="sr-t", limit=None, digest="a", protocol="default"):
    """An --out folder of a run whose hits are given per language."""
    from hyperofa_eval.protocols import default
    from hyperofa_eval.results import make_result, path_of

    model = {"name": folder.name, "sha256": folder.name, "tokenizer_sha256": "t"}
    results = []
    for code, found in right.items():
        outcome = Outcome({"top10": hits(found)}, {"top10": 1.0}, {f"tatoeba/{code}-eng.{code}": digest})
        settings = {"protocol": protocol, "language": code, "seed": 0, "limit": limit, "wall_s": 0.0}
        results.append(make_result(outcome, default()[task], model, **settings))
        write_json(path_of(folder, task, code, 0), results[-1])
    tasks = {task: summarise_task(results, [])}
    write_json(
        folder / "summary.json", {"schema": 1, "model": model, "protocol": protocol, "limit": limit, "tasks": tasks}
    )
    return folder


@pytest.fixture
def pair(tmp_path):
    """B has A's hits and 50 more of 500 in Turkish; in Frisian and Japanese the two hit equally often."""
    base = np.arange(500) < 100
    more = np.arange(500) < 150
    noise = np.random.default_rng(0).random((2, 300)) < 0.5
    a = make_run(tmp_path / "a", {"tur": base, "fry": noise[0], "jpn": base})
    b = make_run(tmp_path / "b", {"tur": more, "fry": noise[1], "jpn": base})
    return a, b


def compared(*words, capsys):
    assert main(["compare", *map(str, words), "--json"]) == 0
    return json.loads(capsys.readouterr().out)["tasks"]["sr-t"]


def test_pairing_sees_what_unpaired_intervals_do_not(pair, capsys):
    entry = compared(*pair, capsys=capsys)
    turkish = entry["rows"][0]
    assert turkish["difference"]["b"]["value"] == pytest.approx(10)
    low, high = turkish["difference"]["b"]["ci95"]
    # B never loses an item, so the difference is a proportion of 10 % of 500: 10 +- 2.6.
    assert low == pytest.approx(10 - 2.6, abs=0.4)
    assert high == pytest.approx(10 + 2.6, abs=0.4)
    gap = entry["against_first"]["b"]
    assert (gap["wins"], gap["losses"], gap["undecided"]) == (1, 0, 2)
    assert gap["by_resource_class"]["high"]["mean"] == pytest.approx(10)
    assert gap["by_resource_class"]["mid"]["languages"] == ["fry", "jpn"]
    assert gap["by_script"]["Jpan"]["mean"] == 0
    assert gap["by_script"]["Jpan"]["ci95"] == [0, 0]
    assert gap["difference"]["n_languages"] == 3


def test_only_common_languages_count(pair, tmp_path, capsys):
    other = make_run(tmp_path / "c", {"tur": np.ones(500, bool)})
    entry = compared(pair[0], other, capsys=capsys)
    assert entry["languages"] == ["tur"]
    assert entry["means"]["a"]["mean"] == pytest.approx(20)


def test_writes_markdown_csv_and_a_page_of_its_own(pair, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["compare", *map(str, pair), "--out", str(out), "--against", "paper"]) == 0
    shown = capsys.readouterr().out
    assert "mean of 3" in shown
    text = (out / "compare.md").read_text()
    assert "| tur | 20.0 [" in text
    assert "| multi-400 | 21.0 | 21.3 | 21.3 |" in text
    rows = list(csv.DictReader(io.StringIO((out / "compare.csv").read_text())))
    assert len(rows) == 6
    assert {row["language"]: float(row["difference"]) for row in rows if row["run"] == "b"}["tur"] == pytest.approx(10)
    page = (out / "compare.html").read_text()
    checked = Checker()
    checked.feed(page)
    assert not checked.open
    assert checked.heat == 6
    assert "http" not in page
    assert main(["compare", *map(str, pair), "--out", str(out)]) == 0  # its own earlier files are replaced


class Checker(HTMLParser):
    """Counts heat-map cells and finds elements left open."""

    def __init__(self):
        super().__init__()
        self.open, self.heat = [], 0

    def handle_starttag(self, tag, attrs):
        if tag not in {"meta", "rect", "line"}:
            self.open.append(tag)
        self.heat += ("class", "heat") in attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, attrs):
        pass


def fails(capsys, code, *words):
    assert main(["compare", *map(str, words)]) == code
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_runs_that_cannot_be_paired_are_refused(pair, tmp_path, capsys):
    right = {"tur": np.ones(500, bool)}
    assert "different --limit" in fails(capsys, 2, pair[0], make_run(tmp_path / "l", right, limit=500))
    assert "different data files" in fails(capsys, 2, pair[0], make_run(tmp_path / "d", right, digest="b"))
    assert "different protocols" in fails(capsys, 2, pair[0], make_run(tmp_path / "p", right, protocol="paper"))
    assert "different numbers of items" in fails(
        capsys, 2, pair[0], make_run(tmp_path / "n", {"tur": np.ones(9, bool)})
    )
    assert "share no language" in fails(capsys, 2, pair[0], make_run(tmp_path / "x", {"kat": np.ones(9, bool)}))
    assert "no task in common" in fails(capsys, 2, pair[0], make_run(tmp_path / "y", right, task="sr-b"))
    assert "not every run has the task 'ner'" in fails(capsys, 2, *pair, "--tasks", "ner")
    assert "nothing to be compared with" in fails(capsys, 2, pair[0])
    assert "no summary.json" in fails(capsys, 3, pair[0], tmp_path)
    (pair[1] / "sr-t/fry.seed0.json").unlink()
    assert "not there" in fails(capsys, 3, *pair)


def test_the_published_table_is_whole():
    for task in ("sr-t", "sr-b", "ner", "pos"):
        found = published(task)
        assert len(found) == 6
        assert all(list(row) == ["random", "ofa", "hyperofa"] for row in found.values())
    assert published("pos")["multi-400"]["ofa"] == 54.6
    assert published("sr-b")["mono-100"]["hyperofa"] == 5.0
    assert published("lm") == {}
