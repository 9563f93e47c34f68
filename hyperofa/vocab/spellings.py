"""The spellings of word-vector keys: which strings to tokenise for which word, each string once."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from hyperofa.wordkeys import KeyScheme

_DOTTED = frozenset({"tur", "aze", "azj", "crh", "tr", "az"})  # languages whose capital of i is İ


@dataclass(frozen=True)
class Spellings:
    """Distinct spellings of many words, and which word has which.

    ``texts`` are the U distinct strings, without their boundary. ``words`` and ``spellings`` are parallel int64
    arrays of (column of the word, index into ``texts``). ``bounded_only`` marks, per pair, keys whose own text starts
    at a boundary (``$dog``): those are never tokenised as the inside of a word. ``malformed`` counts skipped keys,
    ``examples`` are some.
    """

    texts: list[str]
    words: np.ndarray
    spellings: np.ndarray
    bounded_only: np.ndarray
    malformed: int
    examples: tuple[str, ...]


def spell(keys: Iterable[str], scheme: KeyScheme, *, capitalised: bool = True) -> Spellings:
    """Parse ``keys`` and list their distinct spellings: as is and, unless switched off, capitalised.

    Whether a spelling is tokenised with or without a boundary before it is up to the caller; a key that starts with a
    boundary mark gets one boundary, never two.
    """
    index: dict[str, int] = {}
    number = index.setdefault
    words, spellings = array("q"), array("q")
    bounded: list[int] = []  # words that start at a boundary; nearly always none
    malformed: list[str] = []
    count = 0
    for column, key in enumerate(keys):
        parsed = scheme.parse(key)
        if parsed is None:
            count += 1
            if len(malformed) < 5:
                malformed.append(key)
            continue
        text, starts = scheme.spoken(parsed[1])
        if starts:
            bounded.append(column)
        words.append(column)
        spellings.append(number(text, len(index)))
        other = capital(text, parsed[0]) if capitalised else text
        if other != text:
            words.append(column)
            spellings.append(number(other, len(index)))
    columns = np.asarray(words, dtype=np.int64)
    return Spellings(
        list(index),
        columns,
        np.asarray(spellings, dtype=np.int64),
        np.isin(columns, np.asarray(bounded, dtype=np.int64)),
        count,
        tuple(malformed),
    )


def capital(text: str, language: str) -> str:
    """``text`` with its first character in title case; i becomes İ in languages with a dotless ı."""
    first = text[0]
    title = first.title()
    if title == first:
        return text
    if first == "i" and language.partition("_")[0] in _DOTTED:
        title = "İ"
    return title + text[1:]
