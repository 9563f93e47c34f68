"""Sentences of prose: Markdown pages and docstrings cut into sentences, tables, code, headings and link targets aside."""

from __future__ import annotations

import re
from collections.abc import Iterator

LONGEST = 35  # words of a sentence
FENCE = re.compile(r"^( *)(```|~~~).*?^\1\2 *$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
SPAN = re.compile(r"(`+).+?\1", re.DOTALL)
ITEM = re.compile(r"^\s*(?:[-*+]|\d+\.)\s+")
DOCSTRING_ITEM = re.compile(r"^\s*(?:[-*+]|\w+:)\s+")
END = re.compile(r"(?<=[.!?])[)\"'*”]*\s+(?=[^a-z\s])")


def sentences(markdown: str) -> Iterator[str]:
    """Each sentence of a Markdown page; a code span is one word, and a list's item starts a sentence."""
    text = FENCE.sub("\n\n", markdown)
    text = LINK.sub(r"\1", text)
    for paragraph in _paragraphs(text, ITEM):
        yield from _sentences(paragraph)


def docstring_sentences(text: str) -> Iterator[str]:
    """Each sentence of a docstring; a line that opens with ``name:`` starts one."""
    for paragraph in _paragraphs(text, DOCSTRING_ITEM):
        yield from _sentences(paragraph)


def words_of(sentence: str) -> int:
    """Words that hold a letter or a digit."""
    return sum(any(letter.isalnum() for letter in word) for word in sentence.split())


def too_long(found: Iterator[str]) -> list[str]:
    """The sentences over the limit, with their number of words."""
    return [f"{words_of(one)} words: {one}" for one in found if words_of(one) > LONGEST]


def _paragraphs(text: str, item: re.Pattern[str]) -> Iterator[str]:
    lines: list[str] = []
    for line in [*text.splitlines(), ""]:
        aside = not line.strip() or line.lstrip().startswith(("|", "#"))
        if (aside or item.match(line)) and lines:
            yield " ".join(lines)
            lines = []
        if not aside:
            lines.append(item.sub("", line).strip())


def _sentences(paragraph: str) -> Iterator[str]:
    text = SPAN.sub("Code", paragraph)
    yield from (one for one in END.split(text) if one.strip())
