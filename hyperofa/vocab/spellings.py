"""The spellings of word-vector keys: which strings to tokenise for which word, each string once."""

from __future__ import annotations

from array import array
from collections.abc import Iterable

import numpy as np

from hyperofa.base.wordkeys import KeyScheme

_DOTTED = frozenset({"tur", "aze", "azj", "crh", "tr", "az"})  # languages whose capital of i is İ
_EXAMPLES = 5


class Speller:
    """Lists the distinct spellings of many keys, some keys at a time: as is and, unless switched off, capitalised.

    Whether a spelling is tokenised with or without a boundary before it is up to the caller; a key that starts with a boundary
    mark gets one boundary, never two.

    Attributes:
        malformed: keys that were skipped; ``examples`` are some.
    """

    def __init__(self, scheme: KeyScheme, *, capitalised: bool = True) -> None:
        self.malformed = 0
        self.examples: list[str] = []
        self._scheme = scheme
        self._capitalised = capitalised
        self._index: dict[str, int] = {}
        self._columns = 0
        self._words, self._spellings = array("q"), array("q")
        self._bounded: list[int] = []  # words that start at a boundary; nearly always none

    def __len__(self) -> int:
        """How many distinct strings there are so far."""
        return len(self._index)

    def add(self, keys: Iterable[str]) -> list[str]:
        """Take the next ``keys``; the strings, without their boundary, that were in none before, in order of their numbers."""
        index, parse, spoken, capitals = self._index, self._scheme.parse, self._scheme.spoken, self._capitalised
        words, spellings, fresh = self._words, self._spellings, []
        for column, key in enumerate(keys, start=self._columns):
            parsed = parse(key)
            self._columns += 1
            if parsed is None:
                self.malformed += 1
                if len(self.examples) < _EXAMPLES:
                    self.examples.append(key)
                continue
            language, word = parsed
            text, starts = spoken(word)
            if starts:
                self._bounded.append(column)
            other = capital(text, language) if capitals else text
            for spelling in (text,) if other is text else (text, other):
                number = index.get(spelling)
                if number is None:
                    number = index[spelling] = len(index)
                    fresh.append(spelling)
                words.append(column)
                spellings.append(number)
        return fresh

    def pairs(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Which word has which spelling, over all keys so far; a word's pairs are neighbours.

        Returns the column of the word and the number of the string, both (pairs,) int64, and whether the key's own text starts
        at a boundary (``$dog``; such a key is never tokenised as the inside of a word), (pairs,) bool.
        """
        columns, spellings = (np.array(numbers, dtype=np.int64) for numbers in (self._words, self._spellings))
        return columns, spellings, np.isin(columns, np.array(self._bounded, dtype=np.int64))


def capital(text: str, language: str) -> str:
    """``text`` with its first character in title case; i becomes İ in languages with a dotless ı."""
    first = text[0]
    title = first.title()
    if title == first:
        return text
    if first == "i" and language.partition("_")[0] in _DOTTED:
        title = "İ"
    return title + text[1:]
