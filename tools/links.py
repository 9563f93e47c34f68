"""Links of Markdown pages: where they lead, and the anchors of headings, by the forge's rule and the site's alike."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path

LINK = re.compile(r"(\]\()([^()\s]+)(\))")
_FENCE = re.compile(r"^(```|~~~).*?^\1[^\S\n]*$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`[^`\n]+`")


def slug(heading: str, separator: str = "-") -> str:
    """The anchor of a heading: lower case, spaces as hyphens, and neither punctuation nor markup."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)|[`*]", r"\1", unicodedata.normalize("NFC", heading))
    return re.sub(r"[^\w\- ]", "", text).strip().lower().replace(" ", separator)


def _blank(match: re.Match[str]) -> str:
    return re.sub(r"[^\n]", " ", match[0])


def prose(text: str) -> str:
    """The text with all code blanked out; every line stays where it is."""
    return _CODE.sub(_blank, _FENCE.sub(_blank, text))


def anchors(text: str) -> list[str]:
    """The anchors of a page's headings, in order."""
    headings = re.findall(r"^#{1,6} +(.+?) *#*$", _FENCE.sub(_blank, text), re.MULTILINE)
    return [slug(heading) for heading in headings]


def links(text: str) -> Iterator[str]:
    """Where a page's links and images lead, but for other sites."""
    for match in LINK.finditer(prose(text)):
        if not re.match(r"[a-z]+:", match[2]):
            yield match[2]


def faults(page: Path, root: Path) -> list[str]:
    """One line for each link of a page that leads nowhere inside ``root``, and for each anchor that is ambiguous."""
    problems = []
    for link in links(page.read_text(encoding="utf-8")):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page.resolve()
        place = f"{page.relative_to(root)}: {link}"
        if not target.is_relative_to(root.resolve()) or not target.exists():
            problems.append(f"{place}: no such file")
        elif anchor and (target.suffix != ".md" or anchors(target.read_text(encoding="utf-8")).count(anchor) != 1):
            problems.append(f"{place}: not one heading of that name")
    return problems


def replace_links(text: str, new: Callable[[str], str | None]) -> str:
    """The text with each link's target replaced; where ``new`` gives None, the link's words are left without a link."""
    code = prose(text)
    parts, end = [], 0
    for match in re.finditer(r"!?\[([^\[\]]*)\]\(([^()\s]+)\)", text):
        if code[match.start(2)] != text[match.start(2)] or re.match(r"[a-z]+:", match[2]):
            continue  # inside code, or to another site
        target = new(match[2])
        at = match.start() if target is None else match.start(2)
        parts += [text[end:at], match[1] if target is None else target]
        end = match.end() if target is None else match.end(2)
    return "".join([*parts, text[end:]])
