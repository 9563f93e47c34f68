"""What the pieces of a tokenizer join, so that new pieces join nothing else: digits, scripts, punctuation, spaces."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import groupby, pairwise
from typing import Any

from hyperofa.vocab.learning.charclasses import DIGIT, JOINER, OPEN, SIGN, SPACE, TAIL, byte_units, text_units
from hyperofa.vocab.surfaces import byte_alphabet

_ENTRIES_PER_CASE = 10_000
"""A join counts as one that the tokenizer makes if one piece in so many shows it; a few strays in a vocabulary do not."""

Units = list[tuple[str, str]]


class Joins:
    """The joins of neighbouring characters that the pieces of a vocabulary show.

    Letters of one script may always be joined, with their marks, and a space with the letters after it. Everything else has
    to be shown: digits (and how many in a row), letters of two scripts, digits with letters, each sign (punctuation and
    symbols) with letters or digits, signs with signs, spaces inside a piece.
    """

    def __init__(self, source: Any, kind: str, prefix: str) -> None:
        """Read the vocabulary of ``source``; ``kind`` is its family, ``prefix`` what marks the inside of a word."""
        self._bytes, self._prefix = kind == "byte-level", prefix
        shown: Counter[Any] = Counter()
        runs: Counter[int] = Counter()
        number = 0
        for piece in _evidence(source, prefix):
            units = self._units(piece)
            if units is None:
                continue
            number += 1
            shown.update({_join(*pair) for pair in pairwise(_bases(units))})
            runs[_longest_run(_bases(units))] += 1
        least = max(1, number // _ENTRIES_PER_CASE)
        self._shown = {join for join, count in shown.items() if count >= least}
        lengths = sorted(runs.elements(), reverse=True)
        self.digits_in_a_row = lengths[least - 1] if len(lengths) >= least else 0
        self._known: dict[str, bool] = {}

    def allows(self, piece: str) -> bool:
        """Whether the characters of ``piece`` stand together in pieces of the source too."""
        if piece not in self._known:
            self._known[piece] = self._allows(piece)
        return self._known[piece]

    def _allows(self, piece: str) -> bool:
        units = self._units(piece)
        if units is None:
            return False
        bases = _bases(units)
        if _longest_run(bases) > max(self.digits_in_a_row, 1):
            return False
        return all(_always(*pair) or _join(*pair) in self._shown for pair in pairwise(bases))

    def _units(self, piece: str) -> Units | None:
        if not self._bytes:
            return text_units(piece.removeprefix(self._prefix) if self._prefix else piece)
        alphabet = byte_alphabet()
        if any(character not in alphabet for character in piece):
            return None
        return byte_units(bytes([alphabet[character] for character in piece]))


def _evidence(source: Any, prefix: str) -> Iterable[str]:
    """The pieces that the source can make of text: no special or byte pieces, no placeholders such as ``[unused1]``."""
    backend = source.backend_tokenizer
    added = {token.content for token in backend.get_added_tokens_decoder().values()}
    model, splitter = type(backend.model).__name__, backend.pre_tokenizer
    for piece in backend.get_vocab(with_added_tokens=False):
        if len(piece) < 2 or piece in added or piece.startswith("<0x"):
            continue
        if model == "BPE" and len(backend.model.tokenize(piece)) != 1:  # no merges lead to it
            continue
        if model == "WordPiece" and splitter and len(splitter.pre_tokenize_str(piece.removeprefix(prefix))) != 1:
            continue
        yield piece


def _bases(units: Units) -> Units:
    """The units without marks and joiners, which belong to what stands before them."""
    return [unit for unit in units if unit[0] != JOINER]


def _longest_run(units: Units) -> int:
    return max((len(list(run)) for name, run in groupby(units, lambda unit: unit[0]) if name == DIGIT), default=0)


def _always(left: tuple[str, str], right: tuple[str, str]) -> bool:
    """Whether two neighbours may be joined whatever the source shows."""
    if left[0] == OPEN or right[0] == OPEN:
        return False
    if left[0] == TAIL:  # the end of a letter outside ASCII: what follows must be one too
        return right[0].startswith("letter:") and not right[1].isascii()
    if left[0] == SPACE or left[0] == right[0]:
        return right[0].startswith("letter:")
    return False


def _join(left: tuple[str, str], right: tuple[str, str]) -> tuple[str, str]:
    """What two neighbours are evidence for."""
    one, other = left[0], right[0]
    if one == SIGN and other == SIGN:
        return SIGN, SIGN
    if SPACE in {one, other}:  # a space and a letter are alike in all scripts
        return one.partition(":")[0], other.partition(":")[0]
    if one == SIGN:
        return left[1], other.partition(":")[0]
    if other == SIGN:
        return one.partition(":")[0], right[1]
    return one, other
