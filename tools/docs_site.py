"""What ``mkdocs`` calls while it builds the site: pages from outside of ``docs/``, and links that fit the site."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # mkdocs runs this file by its path
from tools.links import replace_links, slug  # noqa: E402

PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
    "examples/README.md": "examples.md",
}
"""Files of the repository that are pages, by their place in it."""


def on_config(config: Any) -> Any:
    """Name headings as the forge does, so that one page is good in both."""
    config["mdx_configs"].setdefault("toc", {})["slugify"] = slug
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that lie outside of ``docs/``."""
    from mkdocs.structure.files import File

    for source, place in PAGES.items():
        files.append(File.generated(config, place, content=(ROOT / source).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Turn links into those of the site; what is not part of it is left without a link."""
    place = page.file.src_uri
    source = next((source for source, uri in PAGES.items() if uri == place), f"docs/{place}")
    return replace_links(markdown, lambda link: site_link(source, place, link))


def site_link(source: str, place: str, link: str) -> str | None:
    """A link of the file ``source``, which is the page ``place``, as the site has it; None for what is not on the site."""
    path, mark, anchor = link.partition("#")
    if not path:
        return link
    target = os.path.normpath(os.path.join(os.path.dirname(source), path))  # noqa: PTH118, PTH120  (of names, not of files)
    if target in PAGES:
        target = PAGES[target]
    elif target.startswith("docs/"):
        target = target.removeprefix("docs/")
    else:
        return None if (ROOT / target).exists() else link
    return os.path.relpath(target, os.path.dirname(place) or ".") + mark + anchor  # noqa: PTH120
