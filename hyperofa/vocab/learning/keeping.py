"""Growing a tokenizer without a change to given text: which merges and pieces would cut that text anew."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, Protocol

from hyperofa.errors import HyperofaError
from hyperofa.vocab.change import new_tokens, token_ids
from hyperofa_eval.text.textfiles import read_lines

LINES_KEPT = 50_000
"""Lines of a language that are kept, from the start of its files; and those that are measured on, wherever they stand."""


def kept_lines(files: Mapping[str, Sequence[Path]], measured: Mapping[str, Sequence[str]]) -> list[str]:
    """The lines of each language's files to keep: the first :data:`LINES_KEPT`, and those that are ``measured``."""
    lines: dict[str, None] = {}
    for language, paths in files.items():
        filled = (line for path in paths for line in read_lines(path) if line.strip())
        lines |= dict.fromkeys([*islice(filled, LINES_KEPT), *measured[language]])
    return list(lines)


class Cutter(Protocol):
    """Cuts lines into words and words into pieces as a source tokenizer does."""

    prefix: str

    def words(self, line: str) -> Iterable[str]:
        """The words of a line, as the source's model gets them."""

    def cut(self, word: str, characters: Sequence[str]) -> list[list[str]]:
        """The pieces of a word, in parts between characters that are unknown even with ``characters``."""


class KeptText:
    """Lines that a grown tokenizer has to cut as its source does.

    Old merges are applied before new ones, so BPE cuts a word anew only if a new merge joins two neighbours of its old pieces.
    WordPiece does so only if a longer new piece fits where an old one starts. For unigram, two joined neighbours are one way
    of several; :meth:`offenders` finds the pieces that take another.

    Attributes:
        characters: all characters of the lines; one that the source does not know has to stay unknown.
    """

    def __init__(self, source: Any, cutter: Cutter, lines: Sequence[str], longest: int) -> None:
        """Cut ``lines`` with ``source``; new pieces have at most ``longest`` characters."""
        self._source, self._lines, self._prefix = source, lines, cutter.prefix
        self._pairs: set[tuple[str, str]] = set()
        self._pieces: set[str] = set()
        self._ids = list(token_ids(source, lines))
        words = dict.fromkeys(word for line in lines for word in cutter.words(line))
        self.characters = frozenset(character for word in words for character in word)
        for word in words:
            for pieces in cutter.cut(word, ()):
                if cutter.prefix:
                    self._pieces.update(_longer(pieces, cutter.prefix, longest))
                else:
                    self._pairs.update(pairwise(pieces))

    def allows(self, left: str, right: str, piece: str) -> bool:
        """Whether the two pieces may become ``piece``."""
        return (left, right) not in self._pairs and piece not in self._pieces

    def offenders(self, grown: Any) -> set[str]:
        """The pieces with which ``grown`` cuts the lines anew: empty if all lines are as they were."""
        both = zip(self._lines, self._ids, token_ids(grown, self._lines), strict=True)
        changed = [line for line, old, new in both if old != new]
        pieces = set(grown.convert_ids_to_tokens(sorted(new_tokens(self._source, grown, changed))))
        if pieces and pieces <= self._pieces:
            raise HyperofaError(f"the text to keep is cut anew by {min(pieces)!r}, which was not to be taken")
        self._pieces |= pieces
        self.characters |= {token.removeprefix(self._prefix) for token in pieces}
        return pieces


def _longer(pieces: Sequence[str], prefix: str, longest: int) -> Iterable[str]:
    """What WordPiece would take in place of one of these pieces: it, and some of what follows."""
    for index, piece in enumerate(pieces[:-1]):
        text = piece
        for following in pieces[index + 1 :]:
            for character in following.removeprefix(prefix):
                text += character
                if len(text) > longest:
                    break
                yield text
