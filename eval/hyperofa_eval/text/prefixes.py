"""PAN-X's prefix: a file names its Wikipedia before every token (``tr:word``); which prefix that is, and which lines lack it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

PREFIX = re.compile(r"((?:[A-Za-z]{1,3}(?:-[A-Za-z]{1,12}){0,2}|simple):)")
"""How PAN-X marks a token's Wikipedia: ``en:``, ``zh-classical:``, ``be-x-old:``, ``simple:``."""
MOST_ODD = 0.1
"""Share of a file's tokens that may lack the prefix where it is removed; one token may in any file of three or more."""
SUSPECT = 0.25
"""Share of a file's tokens with one prefix from which a prefix that stays is worth a word."""
SHOWN = 3


@dataclass(frozen=True)
class Note:
    """What a reader changed or left out of a file, as a sentence; ``odd`` where the file itself looks wrong."""

    text: str
    odd: bool = False


def find_prefix(tokens: Sequence[tuple[int, str]]) -> tuple[str, list[Note]]:
    """The prefix to remove from a file's tokens (line number, token), empty for none, and what is to be said about it.

    Nearly all tokens must have it. A token without it, or with nothing after it, stays as it is: a tag needs its token.
    """
    counts = Counter(match[1] for _, token in tokens if (match := PREFIX.match(token)))
    if not counts:
        return "", []
    prefix, having = counts.most_common(1)[0]
    without = len(tokens) - having
    if without >= having or without > max(1, MOST_ODD * len(tokens)):
        return "", _note_of_kept(tokens, prefix, having)
    odd = [place for place in tokens if not place[1].startswith(prefix) or place[1] == prefix]
    notes = [Note(f"the prefix {prefix!r} is removed from {len(tokens) - len(odd)} of {len(tokens)} tokens")]
    if odd:
        text = f"{len(odd)} tokens are not {prefix!r} and a word, and stay as they are: {_named(odd)}"
        notes.append(Note(text, odd=True))
    return prefix, notes


def _note_of_kept(tokens: Sequence[tuple[int, str]], prefix: str, having: int) -> list[Note]:
    """What is said of a prefix that is not removed: nothing where it may well be text."""
    if having < 2 or having < SUSPECT * len(tokens):
        return []
    odd = [place for place in tokens if not place[1].startswith(prefix)]
    text = f"the prefix {prefix!r} of {having} tokens stays, since {len(odd)} of {len(tokens)} lack it: {_named(odd)}"
    return [Note(text, True)]


def _named(places: Sequence[tuple[int, str]]) -> str:
    """The first lines of some, with their tokens."""
    shown = ", ".join(f"line {line} {token[:40]!r}" for line, token in places[:SHOWN])
    return f"{shown}, …" if len(places) > SHOWN else shown
