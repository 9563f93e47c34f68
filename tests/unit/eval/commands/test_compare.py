"""Comparing runs: paired differences, groups, every output, and runs that cannot be paired."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from hyperofa_eval.base.files import write_json
from hyperofa_eval.cli import main
from hyperofa_eval.results.comparison import published
from hyperofa_eval.results.summary import summarise_task
from hyperofa_eval.scoring.statistics import Items, hits
from hyperofa_eval.tasks import Outcome


def make_run(
    folder,
    right,
    *,
    task="sr-t",
    limit=None,
    digest="a",
    protocol="default",
    seeds=(0,),
    details=None,
    own=None,
    **options,
):
    """An --out folder of a run whose hits are given per language; ``own`` is of the model, ``options`` of the task."""
    from hyperofa_eval.results.result import make_result, path_of
    from hyperofa_eval.tasks.protocols import default

    model = {"name": folder.name, "sha256": folder.name, "tokenizer_sha256": "t", **(own or {})}
    results = []
    chosen = dataclasses.replace(default()[task], **options)
    for code, found in right.items():
        items = {chosen.metric: found if isinstance(found, Items) else hits(found)}
        outcome = Outcome(items, {chosen.metric: 1.0}, {f"tatoeba/{code}-eng.{code}": digest}, details=details or {})
        for seed in seeds:
            settings = {"protocol": protocol, "language": code, "seed": seed, "limit": limit, "wall_s": 0.0}
            results.append(make_result(outcome, chosen, model, **settings))
            write_json(path_of(folder, task, code, seed), results[-1])
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
    assert entry["left_out"] == {"fry": ["c"], "jpn": ["c"]}
    assert main(["compare", str(pair[0]), str(other), "--out", str(tmp_path / "out")]) == 0
    for said in (capsys.readouterr().out, (tmp_path / "out/compare.md").read_text()):
        assert "left out: fry, not in c" in said


def test_writes_markdown_csv_and_a_page_of_its_own(pair, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["compare", *map(str, pair), "--out", str(out), "--against", "paper"]) == 0
    shown = capsys.readouterr().out
    assert "mean of 3" in shown
    text = (out / "compare.md").read_text()
    assert "| tur | 20.0 [" in text
    assert "| multi-400 | 21.0 | 21.3 | 21.3 |" in text
    rows = list(csv.DictReader(io.StringIO((out / "compare.csv").read_text())))
    published_rows = {row["run"]: row for row in rows if row["run"].startswith("published ")}
    assert len(rows) == 6 + len(published_rows) == 6 + 18
    assert published_rows["published multi-400 ofa"]["value"] == "21.3"
    assert "metric and protocol may differ" in published_rows["published multi-400 ofa"]["note"]
    assert {row["language"]: float(row["difference"]) for row in rows if row["run"] == "b"}["tur"] == pytest.approx(10)
    entry = json.loads((out / "compare.json").read_text())["tasks"]["sr-t"]
    assert entry["published"]["means"]["multi-400"]["ofa"] == 21.3
    page = (out / "compare.html").read_text()
    checked = Checker()
    checked.feed(page)
    assert not checked.open
    assert checked.heat == 6
    assert "http" not in page
    for said in (shown, text, page):
        assert "metric and protocol may differ" in said
        assert "mean of 3: tur fry jpn" in said
    assert main(["compare", *map(str, pair), "--out", str(out)]) == 0  # its own earlier files are replaced


def test_names_of_runs_are_escaped_in_the_page(pair, tmp_path):
    other = make_run(tmp_path / "<script>'&\"", {"tur": np.arange(500) < 90})
    assert main(["compare", str(pair[0]), str(other), "--out", str(tmp_path / "out"), "--against", "paper"]) == 0
    page = (tmp_path / "out" / "compare.html").read_text()
    checked = Checker()
    checked.feed(page)
    assert not checked.open
    assert "<script" not in page
    assert "&lt;script&gt;&#39;&amp;&#34;: 18.0 [" in page


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


def test_pos_beside_the_published_table_says_what_is_not_alike(tmp_path, capsys):
    run = make_run(tmp_path / "a", {"tur": np.ones(9, bool)}, task="pos")
    assert main(["compare", str(run), "--against", "paper"]) == 0
    shown = capsys.readouterr().out
    assert "span F1 on bare tags, not accuracy" in shown
    assert "English is in the mean" in shown


RIGHT = {"tur": np.arange(500) < 100}


@pytest.mark.parametrize(
    ("task", "options", "says"),
    [
        ("sr-t", {"direction": "x-en"}, "different settings of direction (en-x and x-en)"),
        ("sr-t", {"csls": True}, "different settings of csls (False and True)"),
        ("ner", {"scoring": "entity-lenient"}, "different settings of scoring"),
        ("ner", {"seeds": (0, 1)}, "different seeds ([0] and [0, 1])"),
        ("lm", {"seeds": (3,)}, "different seeds ([0] and [3])"),
        ("lm", {"share": 0.3}, "different settings of share"),
    ],
)
def test_settings_that_change_the_measure_are_refused(tmp_path, capsys, task, options, says):
    a, b = make_run(tmp_path / "a", RIGHT, task=task), make_run(tmp_path / "b", RIGHT, task=task, **options)
    assert says in fails(capsys, 2, a, b)


def test_masked_and_causal_losses_are_not_paired(tmp_path, capsys):
    a, b = (make_run(tmp_path / kind, RIGHT, task="lm", details={"head": kind}) for kind in ("masked", "causal"))
    assert "different kinds of language model (masked and causal)" in fails(capsys, 2, a, b)


@pytest.mark.parametrize(
    ("task", "first", "second", "says"),
    [
        ("sr-t", {"details": {"block": 4}}, {"details": {"block": 8}}, "block 4 in a, 8 in b"),
        ("sr-t", {}, {"pooling": "last"}, "pooling mean in a, last in b"),
        ("sr-t", {}, {"own": {"prompt": "q: "}}, "prompt None in a, q:  in b"),
        ("sr-t", {"own": {"prompt": "q: "}}, {"prompt": "p: "}, "prompt q:  in a, p:  in b"),
        ("sr-t", {}, {"seeds": (7,)}, "seeds [0] in a, [7] in b"),
        ("ner", {}, {"learning_rate": 1e-4}, "learning_rate 2e-05 in a, 0.0001 in b"),
        ("ner", {}, {"epochs": 3}, "epochs 10 in a, 3 in b"),
    ],
)
def test_settings_that_suit_a_model_are_named_in_every_output(tmp_path, capsys, task, first, second, says):
    a, b = make_run(tmp_path / "a", RIGHT, task=task, **first), make_run(tmp_path / "b", RIGHT, task=task, **second)
    out = tmp_path / "out"
    assert main(["compare", str(a), str(b), "--out", str(out)]) == 0
    for said in (capsys.readouterr().out, (out / "compare.md").read_text(), (out / "compare.html").read_text()):
        assert f"not the same: {says}" in said
    name = says.partition(" ")[0]
    rows = csv.DictReader(io.StringIO((out / "compare.csv").read_text()))
    assert all(row["note"].startswith(f"{name}=") for row in rows)
    assert list(json.loads((out / "compare.json").read_text())["tasks"][task]["settings_differ"]) == [name]


def test_auto_and_its_number_are_the_same_block(tmp_path, capsys):
    a = make_run(tmp_path / "a", RIGHT, details={"block": 4})
    b = make_run(tmp_path / "b", RIGHT, details={"block": 4}, block=4)
    assert compared(a, b, capsys=capsys)["settings_differ"] == {}


@pytest.mark.parametrize(
    ("task", "first", "second"),
    [
        ("sr-t", {"own": {"prompt": "q: "}}, {"prompt": "q: "}),
        ("sr-t", {}, {"prompt": ""}),
        ("pos", {"own": {"prompt": "q: "}}, {}),
    ],
)
def test_the_same_prompt_and_one_that_is_not_used_are_no_difference(tmp_path, capsys, task, first, second):
    a, b = make_run(tmp_path / "a", RIGHT, task=task, **first), make_run(tmp_path / "b", RIGHT, task=task, **second)
    assert main(["compare", str(a), str(b), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tasks"][task]["settings_differ"] == {}


def test_where_less_is_better_less_wins_and_is_the_bright_cell(tmp_path, capsys):
    bits = Items(np.full(200, 40.0), np.full(200, 10.0), 1.0)
    a = make_run(tmp_path / "a", {"tur": bits}, task="lm")
    b = make_run(tmp_path / "b", {"tur": Items(bits.num / 2, bits.den, 1.0)}, task="lm")
    out = tmp_path / "out"
    assert main(["compare", str(a), str(b), "--out", str(out), "--json"]) == 0
    gap = json.loads(capsys.readouterr().out)["tasks"]["lm"]["against_first"]["b"]
    assert gap["difference"]["mean"] == pytest.approx(-2)
    assert (gap["wins"], gap["losses"]) == (1, 0)
    shares = re.findall(r"--share:([\d.]+)", (out / "compare.html").read_text())
    assert shares == ["0.000", "1.000"]
    assert main(["compare", str(b), str(a), "--json"]) == 0
    gap = json.loads(capsys.readouterr().out)["tasks"]["lm"]["against_first"]["a"]
    assert (gap["wins"], gap["losses"]) == (0, 1)


def test_where_more_is_better_more_is_the_bright_cell(pair, tmp_path):
    out = tmp_path / "out"
    assert main(["compare", *map(str, pair), "--out", str(out)]) == 0
    page = (out / "compare.html").read_text()
    turkish = re.findall(r"--share:([\d.]+)\" title=\"tur", page)
    assert float(turkish[1]) > float(turkish[0])


def test_a_killed_comparison_is_no_obstacle_and_other_files_are(pair, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    (out / "compare.md").write_text("half")
    (out / ".compare.csv.x1y2").write_text("")
    assert main(["compare", *map(str, pair), "--out", str(out)]) == 0
    assert (out / "compare.json").is_file()
    (out / "thesis.txt").write_text("mine")
    capsys.readouterr()
    assert "thesis.txt: the output directory holds something else" in fails(capsys, 2, *pair, "--out", out)
    assert "a file lies on the way" in fails(capsys, 2, *pair, "--out", out / "thesis.txt/deeper")
    assert "is a file" in fails(capsys, 2, *pair, "--out", out / "thesis.txt")


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("values", None, "not a whole result (its field values is damaged); delete it"),
        ("values", {"top10": None}, "the results of tur are not those of the summary"),
        ("items", [], "not a whole result (its field items is damaged)"),
        ("items", {"top10": None}, "its items are damaged"),
        ("items", {"top10": {"num": "?", "den": None, "scale": 1}}, "its items are damaged"),
        ("n", None, "not a whole result (its field n is damaged)"),
    ],
)
def test_a_damaged_result_is_one_line_with_its_path(pair, capsys, field, value, says):
    path = pair[1] / "sr-t/tur.seed0.json"
    write_json(path, json.loads(path.read_text()) | {field: value})
    assert main(["compare", *map(str, pair)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line


def test_tasks_are_named_with_spaces_and_commas_and_not_at_all(pair, capsys):
    assert list(compared(*pair, "--tasks", " sr-t ,", capsys=capsys))
    assert "--tasks: names nothing" in fails(capsys, 2, *pair, "--tasks", " ,")
