"""The base of the HTML pages: values are escaped, unknown names are errors, a page can extend the base from elsewhere."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from jinja2 import UndefinedError

from hyperofa_eval.results.pages import Estimate, Heat, Table, environment, interval, markdown_table

TABLE = "{% from 'macros.html' import table %}{{ table(content, ['words']) }}"


class Cells(HTMLParser):
    """Collects the cells of a table with their classes and hints."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None], str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in {"th", "td"}:
            self.found.append((tag, dict(attrs), ""))

    def handle_data(self, data: str) -> None:
        if self.found and data.strip():
            tag, attributes, text = self.found[-1]
            self.found[-1] = tag, attributes, text + data


def test_every_kind_of_cell_is_escaped_and_marked() -> None:
    row = ["<row>", "<i>", Estimate(1.26, 0.5, 2.0, 2), Heat("3<4", 0.25, 'a "hint"'), None, "a few words"]
    head = ["name", "text", "estimate", "heat", "missing", "words"]
    cells = Cells()
    cells.feed(environment().from_string(TABLE).render(content=Table(head, [row])))
    assert [text for tag, _, text in cells.found[:6] if tag == "th"] == head
    assert cells.found[6:] == [
        ("th", {"scope": "row"}, "<row>"),
        ("td", {}, "<i>"),
        ("td", {}, "1.26 [0.50, 2.00]"),
        ("td", {"class": "heat", "style": "--share:0.250", "title": 'a "hint"'}, "3<4"),
        ("td", {"class": "soft"}, "·"),
        ("td", {"class": "words"}, "a few words"),
    ]


def test_an_unknown_name_is_an_error() -> None:
    with pytest.raises(UndefinedError, match="lacking"):
        environment().from_string("{{ lacking }}").render()


def test_templates_of_another_folder_extend_the_base(tmp_path) -> None:
    (tmp_path / "own.html").write_text('{% extends "base.html" %}{% block title %}{{ name }}{% endblock %}')
    page = environment(tmp_path).get_template("own.html").render(name="<b>")
    assert "<title>&lt;b&gt;</title>" in page
    assert "prefers-color-scheme: dark" in page
    assert "<script" not in page


def test_intervals_have_their_decimals_and_signs() -> None:
    assert interval((1.25, 12.0)) == "[1.2, 12.0]"
    assert interval((-1.0, 2.5), 2, "+") == "[-1.00, +2.50]"


def test_a_bar_in_a_cell_does_not_end_it_in_markdown() -> None:
    assert markdown_table(["a", "b"], [["1|2", "3"]]) == "| a | b |\n| --- | --- |\n| 1\\|2 | 3 |"
