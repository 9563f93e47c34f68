"""Growing a vocabulary by merging: the most frequent neighbours become a piece, again and again (Sennrich et al. 2016)."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise

from hyperofa_eval.base.console import progress_bar

Pair = tuple[str, str]
Join = Callable[[str, str], str]
Allows = Callable[[str, str, str], bool]


@dataclass(frozen=True)
class Merge:
    """``left`` and ``right`` stood together ``count`` times when they became one piece; ``new`` if no such piece was there."""

    left: str
    right: str
    piece: str
    count: float
    new: bool


def learn_merges(
    words: Iterable[tuple[list[str], float]],
    known: Iterable[str],
    number: int,
    join: Join,
    *,
    longest: int = 16,
    least: float = 2.0,
    allows: Allows = lambda left, right, piece: True,
) -> list[Merge]:
    """Merges that bring ``number`` new pieces, in the order in which they were learned; ties go by the pieces' text.

    Args:
        words: Words as pieces of the vocabulary at hand, and how often each occurs.
        known: The pieces that are there; merging into one of these makes no new piece.
        number: New pieces wanted; fewer come back where no pair is left.
        join: The piece that two pieces make, such as their concatenation.
        longest: Characters of the longest piece.
        least: Occurrences that a merge needs.
        allows: Says of two pieces, and of the one that they make, whether they may be merged.
    """
    state = _State(words, join)
    vocabulary = set(known)
    merges: list[Merge] = []
    added = 0
    with progress_bar("growing the vocabulary", number) as advance:
        while added < number:
            best = state.best(least, longest, allows)
            if best is None:
                break
            pair, piece, count = best
            new = piece not in vocabulary
            merges.append(Merge(*pair, piece, count, new))
            vocabulary.add(piece)
            added += new
            advance(int(new))
            state.merge(pair, piece)
    return merges


class _State:
    """Words as they stand, the counts of neighbours, and where each pair occurs."""

    def __init__(self, words: Iterable[tuple[list[str], float]], join: Join) -> None:
        self.join = join
        merged: dict[tuple[str, ...], float] = {}
        for pieces, weight in words:
            merged[tuple(pieces)] = merged.get(tuple(pieces), 0.0) + weight
        items = sorted(merged.items())
        self.words = [list(pieces) for pieces, _ in items]
        self.weights = [weight for _, weight in items]
        self.counts: dict[Pair, float] = {}
        self.places: dict[Pair, set[int]] = {}
        for index, (pieces, weight) in enumerate(zip(self.words, self.weights, strict=True)):
            for pair in pairwise(pieces):
                self.counts[pair] = self.counts.get(pair, 0.0) + weight
                self.places.setdefault(pair, set()).add(index)
        self.queue = [(-count, pair) for pair, count in self.counts.items()]
        heapq.heapify(self.queue)

    def best(self, least: float, longest: int, allows: Allows) -> tuple[Pair, str, float] | None:
        """The most frequent pair that may become a piece, the piece, and how often it occurs."""
        while self.queue:
            negative, pair = heapq.heappop(self.queue)
            count = self.counts.get(pair, 0.0)
            if -negative != count:  # an outdated entry; the pair was pushed again when its count changed
                continue
            if count < least:
                return None
            piece = self.join(*pair)
            if len(piece) <= longest and allows(*pair, piece):
                return pair, piece, count
        return None

    def merge(self, pair: Pair, piece: str) -> None:
        """Replace ``pair`` by ``piece`` in all words, and count the neighbours anew there."""
        changed: dict[Pair, None] = {}
        for index in sorted(self.places.pop(pair)):
            old, weight = self.words[index], self.weights[index]
            new: list[str] = []
            position = 0
            while position < len(old):
                if position + 1 < len(old) and (old[position], old[position + 1]) == pair:
                    new.append(piece)
                    position += 2
                else:
                    new.append(old[position])
                    position += 1
            for neighbours in pairwise(old):
                self.counts[neighbours] -= weight
                changed[neighbours] = None
            for neighbours in pairwise(new):
                self.counts[neighbours] = self.counts.get(neighbours, 0.0) + weight
                self.places.setdefault(neighbours, set()).add(index)
                changed[neighbours] = None
            self.words[index] = new
        self.counts.pop(pair, None)
        changed.pop(pair, None)
        for neighbours in changed:
            heapq.heappush(self.queue, (-self.counts[neighbours], neighbours))
