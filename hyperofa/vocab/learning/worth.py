"""Which candidate pieces are worth having: those that text shows, and goes on to show where nothing was learnt from it."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hyperofa.vocab.learning.candidates import Candidates

Numbers = NDArray[np.int64]
_SIZES, _STEP = 8, 2**-0.5
"""Points of a curve, and how much smaller each is than the one after it."""


@dataclass(frozen=True)
class CountedWords:
    """The distinct words of a text, n, as the model gets them.

    ``shown`` is how often the learning text has each, ``kept_out`` how often the part of it that no piece was learnt from,
    ``weight`` is ``shown`` with the languages balanced, all (n,). ``measured`` are the lines of each language that the
    figures are of: indices of words, and how often these have them.
    """

    words: Sequence[str]
    shown: NDArray[np.float64]
    kept_out: NDArray[np.float64]
    weight: NDArray[np.float64]
    measured: Mapping[str, tuple[Numbers, NDArray[np.float64]]]


@dataclass(frozen=True)
class Size:
    """A number of new pieces, and what they save: the share of the source's tokens, by language, in the measured lines."""

    pieces: int
    saved: Mapping[str, float]

    @property
    def mean(self) -> float:
        """The mean over the languages."""
        return sum(self.saved.values()) / max(len(self.saved), 1)


class Choice:
    """Candidates of which the least worth leave, with the words cut anew after each step.

    A piece is worth the tokens that it saves: each use of it stands for its two parts, so one a use. Its uses are counted in
    the cut of the tokenizer that has the pieces left.

    Attributes:
        taken: the numbers of the candidates left, in their order.
    """

    def __init__(self, candidates: Candidates, text: CountedWords, min_count: int) -> None:
        """All ``candidates``; one is worth having if ``text`` uses it ``min_count`` times, and its part kept out once."""
        self._candidates, self._text, self._min_count = candidates, text, min_count
        nothing = np.zeros(0, dtype=np.int64)
        self._lengths, self._rows, self._pieces = np.zeros(len(text.words), dtype=np.int64), nothing, nothing
        self._cut(np.arange(len(text.words)), nothing)
        self._before = self._tokens()
        self.taken = np.arange(len(candidates.pieces))
        self._cut(np.arange(len(text.words)), self.taken)

    def drop_rare(self) -> None:
        """Leave out what is not worth having, longer pieces before their parts; what longer pieces of BPE are made of stays."""
        while self._drop(None):
            pass

    def drop_to(self, number: int) -> None:
        """Leave out the least used pieces until ``number`` are left, and what is then not worth having."""
        self._drop(max(0, len(self.taken) - number))
        self.drop_rare()

    def size(self) -> Size:
        """How many pieces are left, and what they save."""
        saved = {name: 1 - now / max(self._before[name], 1) for name, now in self._tokens().items()}
        return Size(len(self.taken), saved)

    def _tokens(self) -> dict[str, float]:
        return {
            language: float(self._lengths[words] @ times) for language, (words, times) in self._text.measured.items()
        }

    def _uses(self, counts: NDArray[np.float64]) -> NDArray[np.float64]:
        uses: NDArray[np.float64] = np.zeros(len(self._candidates.pieces))
        np.add.at(uses, self._pieces, counts[self._rows])
        return uses

    def _cut(self, rows: Numbers, taken: Numbers) -> None:
        """Cut the words of these ``rows`` again."""
        is_cut = np.zeros(len(self._text.words), dtype=bool)
        is_cut[rows] = True
        lengths, within, pieces = self._candidates.cutter(taken)([self._text.words[row] for row in rows])
        stay = ~is_cut[self._rows]
        self._lengths[rows] = lengths
        self._rows = np.concatenate([self._rows[stay], rows[within]])
        self._pieces = np.concatenate([self._pieces[stay], pieces])

    def _drop(self, most: int | None) -> bool:
        """Leave out the ``most`` least used pieces, or those that are not worth having; whether there were any.

        Where a piece leaves, its uses become its parts': an estimate, put right when the words are cut anew. A piece of BPE
        leaves once no other is made of it.
        """
        candidates, text = self._candidates, self._text
        shown, kept_out, weight = (self._uses(counts) for counts in (text.shown, text.kept_out, text.weight))
        is_taken = np.zeros(len(candidates.pieces), dtype=bool)
        is_taken[self.taken] = True
        holds = np.zeros(len(candidates.pieces), dtype=np.int64)
        for piece in self.taken.tolist():
            holds[candidates.needs[piece]] += 1

        def rank(piece: int) -> tuple[float, int]:
            """The least used piece is first, or, of the rare, the last: a piece comes after its parts."""
            return 0.0 if most is None else float(weight[piece]), -piece

        queue = [rank(piece) for piece in self.taken.tolist()]
        heapq.heapify(queue)
        dropped = 0
        while queue and dropped != most:
            ranked = heapq.heappop(queue)
            piece = -ranked[1]
            rare = shown[piece] < self._min_count or kept_out[piece] < 1
            outdated = not is_taken[piece] or ranked != rank(piece)
            if outdated or candidates.fixed[piece] or holds[piece] or (most is None and not rare):
                continue
            is_taken[piece] = False
            dropped += 1
            holds[candidates.needs[piece]] -= 1
            for part in {*candidates.parts[piece].tolist(), *candidates.needs[piece]} - {-1}:
                if part in candidates.parts[piece]:
                    for uses in (shown, kept_out, weight):
                        uses[part] += uses[piece]
                heapq.heappush(queue, rank(part))
        if dropped:
            changed = np.unique(self._rows[~is_taken[self._pieces]])
            self.taken = np.flatnonzero(is_taken)
            self._cut(changed, self.taken)
        return bool(dropped)


def curve(choice: Choice) -> Iterator[tuple[Size, Numbers]]:
    """What fewer and fewer of the pieces save, from all that ``choice`` has on: each size with the pieces taken.

    Each has the most useful pieces of the one before, about 1/√2 of them.
    """
    most = len(choice.taken)
    last = most + 1
    for step in range(_SIZES):
        number = round(most * _STEP**step)
        if number < last:
            choice.drop_to(number)
        if not 0 < len(choice.taken) < last:
            return
        last = len(choice.taken)
        yield choice.size(), choice.taken


def bend(sizes: Sequence[Size]) -> int:
    """The index of the size at the bend of a curve: the one furthest above the straight line from no pieces to the most.

    Beyond it a piece saves less than a piece does on average. The rule is Kneedle's (Satopää et al. 2011, section III) on
    the mean saving; of equally far ones the smallest is taken, and the smallest of all where nothing is saved.
    """
    most = max(sizes, key=lambda size: size.pieces)
    above = [size.mean / most.mean - size.pieces / most.pieces if most.mean > 0 else 0.0 for size in sizes]
    return min(range(len(sizes)), key=lambda index: (-round(above[index], 9), sizes[index].pieces))
