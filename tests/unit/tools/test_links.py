"""Every link and anchor of the pages leads somewhere, in the repository and on the site; the site has every page."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tools import docs_site, links

ROOT = Path(__file__).parents[3]
PAGES = sorted([*ROOT.glob("*.md"), ROOT / "eval/README.md", ROOT / "examples/README.md", *ROOT.glob("docs/**/*.md")])


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_every_link_leads_to_a_file_and_one_heading(page: Path) -> None:
    assert links.faults(page, ROOT) == []


def test_there_are_pages_with_links_and_anchors() -> None:
    found = [link for page in PAGES for link in links.links(page.read_text(encoding="utf-8"))]
    assert len(found) > 60
    assert sum("#" in link for link in found) > 5


def test_faults_are_found(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("# One\n\n## Two, *three*: `four`\n\n## Twice\n\n## Twice\n", encoding="utf-8")
    (tmp_path / "b.md").write_text(
        "[good](a.md#two-three-four) ![](a.md) [own](#here) [site](https://example.org/x.md)\n\n# Here\n\n"
        "[gone](c.md) [heading](a.md#four) [which](a.md#twice) [out](../x.md)\n\n"
        "`[code](d.md)`\n\n```\n[block](e.md)\n# There\n```\n\n[no heading](#there)\n",
        encoding="utf-8",
    )
    assert links.faults(tmp_path / "b.md", tmp_path) == [
        "b.md: c.md: no such file",
        "b.md: a.md#four: not one heading of that name",
        "b.md: a.md#twice: not one heading of that name",
        "b.md: ../x.md: no such file",
        "b.md: #there: not one heading of that name",
    ]


@pytest.mark.parametrize(
    ("source", "link", "expected"),
    [
        ("README.md", "docs/corpus.md#sentences", "corpus.md#sentences"),
        ("README.md", "docs/quickstart.svg", "quickstart.svg"),
        ("README.md", "CONTRIBUTING.md", "contributing.md"),
        ("README.md", "LICENSE", None),
        ("README.md", "#more", "#more"),
        ("examples/README.md", "../docs/recipes.md", "recipes.md"),
        ("docs/notes/three-sources.md", "../differences.md#the-baselines", "../differences.md#the-baselines"),
        ("docs/notes/three-sources.md", "../../README.md", "../index.md"),
        ("docs/results.md", "../recipes/small.yaml", None),
        ("docs/results.md", "../nowhere.md", "../nowhere.md"),
    ],
)
def test_a_link_as_the_site_has_it(source: str, link: str, expected: str | None) -> None:
    place = docs_site.PAGES.get(source, source.removeprefix("docs/"))
    assert docs_site.site_link(source, place, link) == expected


def test_links_out_of_the_site_lose_their_link_and_code_stays() -> None:
    text = "See [the recipe](../recipes/small.yaml), ![a plot](x.svg), [web](https://a.org) and `[no](link)`."
    new = links.replace_links(text, lambda link: None if link.startswith("..") else f"new/{link}")
    assert new == "See the recipe, ![a plot](new/x.svg), [web](https://a.org) and `[no](link)`."


def test_the_site_has_every_page_once() -> None:
    def pages(nav: list) -> list[str]:
        found = [page for entry in nav if isinstance(entry, dict) for below in entry.values() for page in pages(below)]
        return [entry for entry in nav if isinstance(entry, str)] + found

    named = pages(yaml.load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"), yaml.BaseLoader)["nav"])
    own = {str(page.relative_to(ROOT / "docs")) for page in ROOT.glob("docs/**/*.md")}
    assert sorted(named) == sorted(own | set(docs_site.PAGES.values())), "nav in mkdocs.yml"
