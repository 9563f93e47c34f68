"""The words of a text: split at spaces and punctuation, and character n-grams in scripts written without spaces."""

from __future__ import annotations

import unicodedata
from functools import cache
from itertools import groupby

_RANGES = (  # scripts without spaces between words; Korean has them
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Burmese
    (0x1780, 0x17FF),  # Khmer
    (0x3040, 0x30FF),  # Hiragana, Katakana
    (0x31F0, 0x31FF),
    (0x3400, 0x4DBF),  # Han
    (0x4E00, 0x9FFF),
    (0xAA60, 0xAA7F),  # Burmese extended
    (0xF900, 0xFAFF),
    (0xFF66, 0xFF9F),  # half-width Katakana
    (0x20000, 0x3FFFF),
)
_INNER = "'’ʼ\u200c\u200d"  # inside a word they belong to it, at its ends they do not


def words_of(text: str, ngrams: int) -> set[str]:
    """The distinct words of ``text``, NFKC-normalised and lower-cased.

    Runs of unspaced scripts give all their n-grams of 1 to ``ngrams`` characters (a character with its marks counts
    as one).
    """
    words: set[str] = set()
    for chunk in unicodedata.normalize("NFKC", text).lower().translate(_SEPARATE).split():
        word = chunk.strip(_INNER)
        if not word:
            continue
        if not any(is_unspaced(character) for character in word):
            words.add(word)
            continue
        for unspaced, units in groupby(_units(word), lambda unit: is_unspaced(unit[0])):
            run = "".join(units)
            if unspaced:
                words.update(_ngrams(run, ngrams))
            elif stripped := run.strip(_INNER):
                words.add(stripped)
    return words


@cache
def is_unspaced(character: str) -> bool:
    """Whether the character belongs to a script written without spaces between words."""
    code = ord(character)
    return code >= 0x0E00 and any(low <= code <= high for low, high in _RANGES)


class _Separate(dict[int, str]):
    """A translation table, filled as characters turn up: what is in no word becomes a space."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        # Marks are kept: vowels of Indic scripts, Khmer and Thai are marks, and ``\\w`` would cut words at them.
        keep = unicodedata.category(character)[0] in "LMN" or character in _INNER
        self[code] = character if keep else " "
        return self[code]


_SEPARATE = _Separate()


def _units(text: str) -> list[str]:
    """The characters of a text, each with the marks that follow it."""
    units: list[str] = []
    for character in text:
        if units and unicodedata.category(character)[0] == "M":
            units[-1] += character
        else:
            units.append(character)
    return units


def _ngrams(run: str, longest: int) -> set[str]:
    units = _units(run)
    count = len(units)
    return {"".join(units[i : i + n]) for n in range(1, longest + 1) for i in range(count - n + 1)}
