"""The report page: self-contained, escaped, complete, and readable in a real browser at phone and desk width."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from hyperofa.report.cells import methods
from hyperofa.report.page import render, standalone_figures
from hyperofa.report.tables import render_tables
from hyperofa.report.terminal import print_results

VOID = {"meta", "br"}
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)

# Appended to a copy of the page for the test: what only a layout engine knows, written where --dump-dom shows it.
PROBE = """<script>
const shown = [...document.querySelectorAll("svg")].filter(e => e.getBoundingClientRect().width > 0);
const texts = shown.flatMap(e => [...e.querySelectorAll("text")]).map(e => e.getBoundingClientRect());
const outside = shown.flatMap(s => [...s.querySelectorAll("text")].filter(t => {
  const a = s.getBoundingClientRect(), b = t.getBoundingClientRect();
  return b.left < a.left - 1 || b.right > a.right + 1 || b.bottom > a.bottom + 1 || b.top < a.top - 1;
})).map(t => t.textContent);
document.body.dataset.probe = JSON.stringify({
  overflow: document.documentElement.scrollWidth - window.innerWidth,
  figures: shown.length, smallest: Math.min(...texts.map(b => b.height)), outside: outside,
  requests: performance.getEntriesByType("resource").length,
  background: getComputedStyle(document.body).backgroundColor,
});
</script>"""


class Checker(HTMLParser):
    """Collects what a page asks for, and fails on tags that do not close."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.scripts: list[str | None] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        found = dict(attrs)
        self.links += [value or "" for key, value in attrs if key in {"src", "href", "srcset", "action", "data"}]
        if tag == "script":
            self.scripts.append(found.get("type"))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_page_is_whole_and_asks_for_nothing(results: dict[str, Any]) -> None:
    page = render(results)
    checker = Checker()
    checker.feed(page)
    assert not checker.open
    assert all(link.startswith("data:") for link in checker.links)
    assert checker.scripts == ["application/json"]
    assert not re.search(r"url\(|@import|https?://", page)
    assert "prefers-color-scheme: dark" in page


def test_page_holds_the_json_behind_every_number(results: dict[str, Any]) -> None:
    page = render(results)
    plain = json.loads(json.dumps(results))
    embedded = re.search(r'id="results">(.*?)</script>', page, re.DOTALL)
    download = re.search(r'href="data:application/json;base64,([^"]+)"', page)
    assert embedded
    assert download
    assert json.loads(embedded[1]) == plain
    assert json.loads(base64.b64decode(download[1])) == plain
    for cell in results["cells"].values():
        for when in ("before", "after"):
            for row in cell[when]["languages"].values():
                for cut in ("top1", "top5", "top10"):
                    assert f">{row[cut]['value']:.1f} <small>" in page


def test_names_from_outside_are_escaped(results: dict[str, Any]) -> None:
    results["languages_unscored"]["fry"] = "<script>alert(1)</script>"
    results["stages"][0]["command"] = "hyperofa --out '</script><b>'"
    checker = Checker()
    checker.feed(render(results))
    assert checker.scripts == ["application/json"]
    assert not checker.open


def renamed(content: Any, names: dict[str, str]) -> Any:
    """The same with other names, as keys and as values."""
    if isinstance(content, dict):
        return {renamed(key, names): renamed(value, names) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [renamed(value, names) for value in content]
    return names.get(content, content) if isinstance(content, str) else content


def test_any_name_may_be_hostile(matrix: dict[str, Any]) -> None:
    """Methods, languages, sources, tasks, metrics and the recipe are escaped in text, attributes and figures."""
    hostile = "</text></svg></td><script>alert('1')</script><b title=\"&"
    matrix = {"task": "ner", "tested_on": {"ner": hostile}} | matrix
    named = ("ofa", "minilm", "tur", "Turkish", "ner", "f1", "quickstart", "yes", "default", "Linux", "torch")
    matrix = renamed(matrix, {name: f"{hostile}{number}" for number, name in enumerate(named)})
    for key in ("what", "paper", "here", "anchor"):
        matrix["differences"][0][key] = hostile
    matrix["paired"][0]["what"] = matrix["stages"][0]["title"] = hostile
    checker = Checker()
    checker.feed(page := render(matrix))
    assert not checker.open
    assert checker.scripts == ["application/json"]
    assert "<b title" not in page
    assert "&lt;script&gt;alert(" in page
    for figure in standalone_figures(matrix).values():
        assert any(hostile in text for text in ElementTree.fromstring(figure).itertext())


def test_random_is_grey_and_methods_keep_their_order(results: dict[str, Any]) -> None:
    assert methods(results) == {"random": 0, "ofa": 1, "hyperofa": 2}


def test_terminal_table_names_every_language(results: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    print_results(results)
    shown = capsys.readouterr().out
    for language in results["languages"]:
        row = results["cells"]["minilm-r100-ofa-s0"]
        pair = [row[when]["languages"][language]["top10"]["value"] for when in ("before", "after")]
        assert re.search(rf"{language} .*{pair[0]:.1f} → {pair[1]:.1f}", shown)
    assert "hyperofa against random, before training: +17.0 points, paired 95 % interval [+14.9, +19.2]" in shown
    assert "fry: 9 test pairs, fewer than 50" in shown


def test_the_matrix_has_its_tables(matrix: dict[str, Any]) -> None:
    page = render(matrix)
    checker = Checker()
    checker.feed(page)
    assert not checker.open
    for row in matrix["table"]:
        low, high = row["ci95"]
        assert f"{row['mean']:.1f} <small>[{low:.1f}, {high:.1f}]</small>" in page
    assert "1 stages failed and 1 are not finished" in page
    assert "a &lt;b&gt;bad&lt;/b&gt; line" in page
    assert re.search(r"hyperofa</th>.*?<td>100 of 200 \(80–never\)</td><td>50 %</td><td>0\.05 of 0\.10</td>", page)
    assert "<td>not reached</td><td>never</td>" in page
    assert "the first 600 items of each" in page
    assert "docs/differences.md#continued-pre-training" in page
    assert page.count('class="heat"') == 2 * 3 * 2 * 6  # tasks, methods, moments, languages
    ours = next(
        r for r in matrix["table"] if (r["method"], r["task"], r["rank"], r["when"]) == ("ofa", "sr-t", 100, "before")
    )
    assert re.search(rf"multi-100</th><td>ofa</td><td>7\.5</td><td>{ours['mean']:.1f} <small>", page)


def test_without_any_score_the_page_still_says_so(matrix: dict[str, Any]) -> None:
    for cell in matrix["cells"].values():
        cell |= {"before": None, "after": None, "loss": [], "way": None, "provenance": None}
        cell["tasks"] = {"before": {}, "after": {}}
    matrix |= {"table": [], "saved": [], "published": [], "methods": {}, "paired": [], "split": None}
    checker = Checker()
    checker.feed(page := render(matrix))
    assert not checker.open
    assert "No cell has been scored yet." in page
    assert standalone_figures(matrix) == {}
    assert render_tables(matrix) == f"# {matrix['recipe']}: tables\n"
    print_results(matrix)


def test_before_training_alone_is_enough(matrix: dict[str, Any]) -> None:
    for cell in matrix["cells"].values():
        cell |= {"after": None, "loss": [], "way": None}
        cell["tasks"]["after"] = {}
    page = render(matrix)
    assert "Before training, top-10" in page
    assert "After training" not in page
    figures = standalone_figures(matrix)
    assert list(figures) == ["retrieval"]
    assert "after " not in figures["retrieval"]


def test_figures_of_their_own_are_whole_files_with_every_method(matrix: dict[str, Any]) -> None:
    figures = standalone_figures(matrix)
    assert set(figures) == {"retrieval", "loss", "steps"}
    for figure in figures.values():
        assert ElementTree.fromstring(figure).tag == "{http://www.w3.org/2000/svg}svg"
        assert all(name in figure for name in ("random", "ofa", "hyperofa"))


def test_markdown_tables_have_the_pages_numbers(matrix: dict[str, Any]) -> None:
    text = render_tables(matrix)
    for row in matrix["table"]:
        assert f"{row['mean']:.1f} ({row['ci95'][0]:.1f}–{row['ci95'][1]:.1f})" in text
    for row in matrix["paired"]:
        assert f"{row['difference']:+.1f}" in text
    assert "not reached" in text
    for block in text.split("\n\n"):
        lines = [line for line in block.splitlines() if line.startswith("|")]
        assert len({line.count(" | ") for line in lines}) <= 1


def test_what_a_model_does_beside_its_source_is_told(
    matrix: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert "Beside the source" not in render_tables(matrix)
    name = next(iter(matrix["cells"]))
    matrix["cells"][name]["verdict"] = "better in 7 of 9 languages, worse in kab; 31 % fewer tokens"
    assert f"| {name} | better in 7 of 9 languages, worse in kab; 31 % fewer tokens |" in render_tables(matrix)
    print_results(matrix)
    assert f"{name}, beside the source with its own tokenizer: better in 7 of 9" in capsys.readouterr().out


def test_the_terminal_shows_all_tasks(matrix: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    print_results(matrix)
    shown = capsys.readouterr().out
    assert "All tasks, with 95 % interval" in shown
    assert (
        "hyperofa (minilm, rank 100, seed 0) reaches at step 100 of 200 (80–never) random's last loss, 4.000" in shown
    )
    assert "ofa (minilm, rank 100, seed 0) does not reach random's last loss" in shown


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here (Debian: apt-get install chromium)")
@pytest.mark.parametrize(("width", "dark"), [(390, False), (390, True), (1200, False), (1200, True)])
@pytest.mark.parametrize("kind", ["results", "matrix"])
def test_page_in_a_browser(request: pytest.FixtureRequest, tmp_path: Path, width: int, dark: bool, kind: str) -> None:
    results = request.getfixturevalue(kind)
    page = tmp_path / "report.html"
    page.write_text(render(results).replace("</body>", f"{PROBE}</body>"), encoding="utf-8")
    command = [str(CHROMIUM), *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={width},2000"]
    command += ["--force-dark-mode"] if dark else []
    command += ["--dump-dom", page.as_uri()]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    probe = re.search(r'data-probe="([^"]*)"', result.stdout)
    assert probe, result.stderr
    found = json.loads(probe[1].replace("&quot;", '"'))
    assert found["overflow"] <= 0
    assert found["figures"] == 5 + len(results["methods"]) + (kind == "matrix")  # which also has the scores on the way
    assert found["smallest"] >= 11
    assert found["outside"] == []
    assert found["requests"] == 0
    assert found["background"] == ("rgb(20, 23, 26)" if dark else "rgb(253, 253, 251)")


def test_scores_on_the_way_say_how_they_were_measured(matrix: dict[str, Any]) -> None:
    words = "top-10, mean of 6 languages, the first 150 of each, protocol paper"
    assert f"{words}.</p>" in render(matrix)
    assert f"SR-T {words}" in standalone_figures(matrix)["steps"]


def test_a_first_task_that_is_no_retrieval_is_shown_in_the_tables(
    matrix: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    for cell in matrix["cells"].values():
        for when in ("before", "after"):
            if cell[when]:
                values = {
                    language: {"n": 9, "accuracy": {"value": 3.0, "ci95": [1, 5]}} for language in matrix["languages"]
                }
                mean = {"mean": 3.0, "ci95": [1, 5], "n": 14, "pairs": 9, "chance": None}
                cell[when] = {"scores": {"accuracy": mean}, "languages": values, "settings": {}}
    matrix["sources"] = {"minilm": next(iter(matrix["cells"].values()))["before"]}
    page = render(matrix)
    assert "Scores by task are below." in page
    assert "Retrieval, mean over languages" not in page
    assert "<h2>Scores by task</h2>" in page
    assert set(standalone_figures(matrix)) == {"loss", "steps"}
    render_tables(matrix)
    print_results(matrix)
    assert "All tasks, with 95 % interval" in capsys.readouterr().out


def test_bits_per_character_keep_their_decimals_and_their_unit(
    matrix: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    bits = {"metric": "bits_per_character", "unit": "bits per character"}
    row = {**matrix["table"][0], **bits, "task": "lm", "mean": 1.2345, "ci95": [1.2041, 1.2649]}
    matrix["table"].append(row)
    pair = {"what": "lm: ofa against random", "difference": -0.0312, "ci95": [-0.0391, -0.0233], **bits}
    matrix["paired"].append(pair)
    cell = next(iter(matrix["cells"].values()))
    one = {"value": 1.2345, "ci95": [1.2041, 1.2649], "chance": None, "n": 9}
    cell["tasks"]["before"]["lm"] = {**cell["tasks"]["before"]["ner"], **bits, "languages": {"tur": one}}
    page = render(matrix)
    assert "1.234 <small>[1.204, 1.265]</small>" in page
    assert "<td>-0.031 bits per character</td><td>[-0.039, -0.023]</td>" in page
    assert "<td>+17.0 points</td>" in page
    assert 'title="1.234 [1.204, 1.265], n 9">1.234</td>' in page
    assert "top-10 points" not in page
    assert "-0.031 bits per character | [-0.039, -0.023]" in render_tables(matrix)
    print_results(matrix)
    assert "lm: ofa against random: -0.031 bits per character, paired 95 % interval [-0.039, -0.023]" in " ".join(
        capsys.readouterr().out.split()
    )


def test_a_method_without_a_score_before_training_is_still_drawn(matrix: dict[str, Any]) -> None:
    """Its evaluation failed, its training did not: the curves show it, the retrieval figure cannot."""
    matrix["cells"]["minilm-r100-ofa-s0"] |= {"before": None}
    del matrix["methods"]["ofa"]
    render(matrix)
    figures = standalone_figures(matrix)
    assert ">ofa</text>" not in figures["retrieval"]
    assert ">ofa</text>" in figures["loss"]
    assert ">ofa</text>" in figures["steps"]


def test_text_that_was_not_screened_is_not_called_unseen(results: dict[str, Any]) -> None:
    assert "test pairs never trained on" in render(results)
    results["split"] = {"train": {"tur": 5}, "left_out": {}, "rows": 5, "as_it_is": ["swh"]}
    page = render(results)
    assert "never trained on" not in page
    assert "Text of swh that the recipe names as a corpus went to training as it is." in page
    results["split"] = None
    assert "never trained on" not in render(results)


def test_nothing_in_the_json_is_markup(results: dict[str, Any]) -> None:
    results["stages"][0]["command"] = "hyperofa --out '<!--<script>'"
    embedded = re.search(r'id="results">(.*?)</script>', render(results), re.DOTALL)
    assert embedded
    assert "<" not in embedded[1]


def test_a_task_is_called_by_the_data_it_was_scored_on(
    matrix: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert "Tatoeba" not in render(matrix)
    matrix |= {"task": "sr-t", "tested_on": {"sr-t": "messages of <b>Django</b>"}}
    page = render(matrix)
    assert "Tatoeba" not in page
    words = "SR-T, sentence retrieval (messages of &lt;b&gt;Django&lt;/b&gt;)"
    assert page.count(words) == 3  # scores, languages, steps
    assert "English test sentence (messages of &lt;b&gt;Django&lt;/b&gt;) looks for" in page
    assert "SR-T, sentence retrieval (messages of <b>Django</b>): " in render_tables(matrix)
    print_results(matrix)
    assert "sr-t: messages of <b>Django</b>" in capsys.readouterr().out
