"""Training a unigram vocabulary (Kudo 2018), deterministically: the same text gives the same pieces and scores.

The ``tokenizers`` library's own unigram trainer sums in an order that changes from run to run, and its scores with
it. Here all words lie in one array, the lattice of all words is a list of edges, and every step of the EM is a few
operations on that list.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from hyperofa_eval.base.console import progress_bar

log = logging.getLogger(__name__)

LONGEST_WORD = 32
"""Characters of a word; longer ones (scripts without spaces) are cut, so that probabilities do not underflow."""
_SHRINK = 0.6  # share of the pieces that one round of pruning keeps
_EM_STEPS = 2
_CHARACTERS_AT_A_TIME = 1 << 20  # of the distinct words, whose lattice is held in memory
_ONCE = 1.999  # weights are rounded sums
_LEAST = -20.0  # log-probability; a word of 32 such characters is still above the smallest float64


@dataclass(frozen=True)
class _Text:
    """All distinct words one after another.

    ``characters`` (N,) indexes the alphabet; ``word`` (N,) says whose character it is; ``left`` (N,) how many
    characters its word has from here on; ``weight`` (W,) how often a word occurs; ``first`` (W,) where it starts.
    """

    characters: NDArray[np.int64]
    word: NDArray[np.int64]
    left: NDArray[np.int64]
    weight: NDArray[np.float64]
    first: NDArray[np.int64]


@dataclass
class _Pieces:
    """``at[l - 1, i]`` is the piece of length l at character i, or -1; a piece is known by its ``length`` and a ``place``."""

    at: NDArray[np.int32]
    length: NDArray[np.int64]
    place: NDArray[np.int64]
    score: NDArray[np.float64]

    def keep(self, mask: NDArray[np.bool_]) -> None:
        """Forget the pieces outside ``mask``."""
        new = np.where(mask, np.cumsum(mask) - 1, -1).astype(np.int32)
        self.at = np.append(new, np.int32(-1))[self.at]  # -1 picks the last entry, which is -1
        self.length, self.place, self.score = self.length[mask], self.place[mask], self.score[mask]


def train_unigram(
    words: Mapping[str, float],
    size: int,
    *,
    longest: int = 16,
    coverage: float = 0.9999,
    forbidden: Collection[str] = (),
) -> list[tuple[str, float]]:
    """``size`` pieces with their log-probabilities, best first (ties in the order of their text).

    Args:
        words: Pre-tokenised words (``▁dog``) and how often each occurs; weights need not be whole.
        size: Pieces wanted; fewer come back where the text has no more that repeat.
        longest: Characters of the longest piece (32 at most: longer words are cut).
        coverage: Share of all characters that the alphabet must cover; the rarest beyond it are left to the unknown
            token.
        forbidden: Strings of two characters or more that must be no piece.

    All characters of the alphabet stay pieces, even if these alone are more than ``size``.
    """
    alphabet, text = _lay_out(words, coverage)
    if not alphabet:
        return []
    pieces = _seed(text, min(longest, LONGEST_WORD), max(20 * size, 100_000))
    if forbidden:
        pieces.keep(np.array([piece not in forbidden for piece in _spelled(alphabet, text, pieces)]))
    singles = int((pieces.length == 1).sum())
    target = max(size, singles)
    rounds = 0
    with progress_bar("training the vocabulary", None) as advance:
        while True:
            # An edge takes some 60 bytes, and a character has up to 16 edges: only the lattice of a small text is held.
            whole = _Lattice.of(text, pieces.at) if len(text.characters) <= _CHARACTERS_AT_A_TIME else None
            for _ in range(_EM_STEPS):
                expected = _expected(text, pieces, whole)
                pieces.score = _maximise(expected)
            rounds += 1
            advance()
            if len(pieces.length) <= target:
                break
            _prune(pieces, expected, max(target, int(len(pieces.length) * _SHRINK)))
    log.debug("%d pieces (%d characters) after %d rounds", len(pieces.length), singles, rounds)
    return sorted(
        zip(_spelled(alphabet, text, pieces), pieces.score.tolist(), strict=True),
        key=lambda piece: (-piece[1], piece[0]),
    )


def _spelled(alphabet: Sequence[str], text: _Text, pieces: _Pieces) -> list[str]:
    return [
        "".join(alphabet[c] for c in text.characters[place : place + length])
        for place, length in zip(pieces.place, pieces.length, strict=True)
    ]


def _lay_out(words: Mapping[str, float], coverage: float) -> tuple[list[str], _Text]:
    totals: dict[str, float] = {}
    ordered = sorted(words.items())
    for word, weight in ordered:
        for character in word:
            totals[character] = totals.get(character, 0.0) + weight
    ranked = sorted(totals, key=lambda character: (-totals[character], character))
    covered = np.cumsum([totals[character] for character in ranked])
    alphabet_size = int(np.searchsorted(covered, coverage * covered[-1])) + 1 if ranked else 0
    alphabet = ranked[:alphabet_size]
    index = {character: i for i, character in enumerate(alphabet)}
    merged: dict[str, float] = {}
    for word, weight in ordered:
        for part in _parts(word, index):
            merged[part] = merged.get(part, 0.0) + weight
    sizes = np.array([len(part) for part in merged], dtype=np.int64)
    ends = np.cumsum(sizes)
    characters = np.array([index[c] for part in merged for c in part], dtype=np.int64)
    owner = np.repeat(np.arange(len(sizes)), sizes)
    left = ends[owner] - np.arange(len(characters)) if len(sizes) else sizes
    return alphabet, _Text(characters, owner, left, np.array(list(merged.values())), ends - sizes)


def _parts(word: str, index: Mapping[str, int]) -> list[str]:
    """``word`` cut at characters outside the alphabet, and into stretches of bearable length."""
    if len(word) <= LONGEST_WORD and all(character in index for character in word):
        return [word]
    known = "".join(character if character in index else " " for character in word)
    return [run[i : i + LONGEST_WORD] for run in known.split(" ") for i in range(0, len(run), LONGEST_WORD)]


def _seed(text: _Text, longest: int, limit: int) -> _Pieces:
    """All substrings that repeat, the ``limit`` with the most characters in the text; and every character."""
    count = len(text.characters)
    weight = text.weight[text.word]
    at = np.full((longest, count), -1, dtype=np.int32)
    lengths: list[NDArray[np.int64]] = []
    places: list[NDArray[np.int64]] = []
    frequencies: list[NDArray[np.float64]] = []
    current = text.characters  # the number of the substring of the length at hand, for each place in ``alive``
    alive = np.arange(count)
    total = 0
    alphabet = int(current.max()) + 1
    for length in range(1, longest + 1):
        if length > 1:
            fits = text.left[alive] >= length
            alive, current = alive[fits], current[fits]
            current = current * alphabet + text.characters[alive + length - 1]
        _, place, current = np.unique(current, return_index=True, return_inverse=True)
        frequency = np.bincount(current, weights=weight[alive]).astype(np.float64)
        keep = (frequency > _ONCE) | (length == 1)  # what occurs once is no piece, nor is anything longer there
        new = np.where(keep, np.cumsum(keep) - 1, -1)
        lengths.append(np.full(int(keep.sum()), length))
        places.append(alive[place[keep]])
        frequencies.append(frequency[keep])
        current = new[current]
        alive, current = alive[current >= 0], current[current >= 0]
        at[length - 1, alive] = current + total
        total += int(keep.sum())
        if not len(alive):
            break
    every_length = np.concatenate(lengths)
    mass = np.concatenate(frequencies) * every_length
    pieces = _Pieces(at, every_length, np.concatenate(places), np.log(mass / mass.sum()))
    pieces.keep(_best(mass, every_length, limit))
    return pieces


def _best(value: NDArray[np.float64], length: NDArray[np.int64], number: int) -> NDArray[np.bool_]:
    """Mask of the ``number`` pieces of largest value, characters first, ties by position."""
    order = np.lexsort((np.arange(len(value)), -value, length > 1))
    mask = np.zeros(len(value), dtype=bool)
    mask[order[:number]] = True
    return mask | (length == 1)


@dataclass(frozen=True)
class _Lattice:
    """Every piece at every place as an edge between two nodes; a word of n characters has n + 1 nodes.

    ``piece``, ``start``, ``end`` and ``weight`` (of the edge's word) are (E,); ``by_end`` and ``by_start`` group the
    edges by the distance of their end or start from the word's first node, so that all words advance together.
    """

    piece: NDArray[np.int32]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    word: NDArray[np.int64]
    by_end: list[NDArray[np.int64]]
    by_start: list[NDArray[np.int64]]
    firsts: NDArray[np.int64]
    lasts: NDArray[np.int64]
    weight: NDArray[np.float64]

    @classmethod
    def of(cls, text: _Text, at: NDArray[np.int32]) -> _Lattice:
        """The lattice of ``text``; ``at`` is that of its pieces."""
        length, place = np.nonzero(at >= 0)
        word = text.word[place]
        offset = place - text.first[word]
        start = place + word  # one node more than characters in each word before
        firsts = text.first + np.arange(len(text.first))
        lasts = np.append(firsts[1:], len(text.characters) + len(text.weight)) - 1
        by_end, by_start = _groups(offset + length + 1), _groups(offset)
        piece, end = at[length, place], start + length + 1
        return cls(piece, start, end, word, by_end, by_start, firsts, lasts, text.weight)

    def expected_counts(self, score: NDArray[np.float64]) -> NDArray[np.float64]:
        """How often each piece is expected in the text: forward-backward over all words at once."""
        value = np.exp(score)[self.piece]
        total = int(self.lasts[-1]) + 1
        forward, backward = np.zeros(total), np.zeros(total)
        forward[self.firsts] = 1.0
        backward[self.lasts] = 1.0
        for group in self.by_end:
            paths = forward[self.start[group]] * value[group]
            forward += np.bincount(self.end[group], weights=paths, minlength=total)
        for group in reversed(self.by_start):
            paths = value[group] * backward[self.end[group]]
            backward += np.bincount(self.start[group], weights=paths, minlength=total)
        share = (self.weight / forward[self.lasts])[self.word]
        paths = share * forward[self.start] * value * backward[self.end]
        return np.bincount(self.piece, weights=paths, minlength=len(score)).astype(np.float64)


def _expected(text: _Text, pieces: _Pieces, whole: _Lattice | None) -> NDArray[np.float64]:
    """How often each piece is expected in the text: by its lattice as a ``whole``, or a stretch of words at a time."""
    if whole is not None:
        return whole.expected_counts(pieces.score)
    parts = _stretches(text, pieces.at)
    return sum((_Lattice.of(*part).expected_counts(pieces.score) for part in parts), start=np.zeros(len(pieces.score)))


def _stretches(text: _Text, at: NDArray[np.int32]) -> Iterator[tuple[_Text, NDArray[np.int32]]]:
    """The text in stretches of whole words, each with its columns of ``at``."""
    borders = np.searchsorted(text.first, np.arange(0, len(text.characters), _CHARACTERS_AT_A_TIME))
    words = np.unique(np.append(borders, len(text.first)))
    starts = np.append(text.first, len(text.characters))[words]
    for (first, last), (start, end) in zip(pairwise(words), pairwise(starts), strict=True):
        characters, left, weight = text.characters[start:end], text.left[start:end], text.weight[first:last]
        yield (
            _Text(characters, text.word[start:end] - first, left, weight, text.first[first:last] - start),
            at[:, start:end],
        )


def _groups(offset: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """The indices of equal offsets, by increasing offset; offsets are below 256, which sorts fast."""
    order = np.argsort(offset.astype(np.uint8), kind="stable")
    return np.split(order, np.cumsum(np.bincount(offset))[:-1])


def _maximise(expected: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log-probabilities with a sparse prior (digamma in place of log), as in Kudo's implementation notes."""
    from scipy.special import digamma

    floor = np.maximum(expected, 1e-2)
    score: NDArray[np.float64] = digamma(floor) - digamma(floor.sum())
    return np.maximum(score, _LEAST)


def _prune(pieces: _Pieces, expected: NDArray[np.float64], number: int) -> None:
    """Keep the ``number`` pieces whose loss would cost most likelihood: count times what the best other spelling lacks."""
    other = _without_itself(pieces)
    pieces.keep(_best(expected * (pieces.score - other), pieces.length, number))


def _without_itself(pieces: _Pieces) -> NDArray[np.float64]:
    """Log-probability of each piece's best segmentation into smaller pieces (Viterbi over all pieces at once)."""
    score = np.append(pieces.score, -np.inf)  # -1: no such piece
    longest = int(pieces.length.max())
    result = np.full(len(pieces.length), -np.inf)
    for length in range(2, longest + 1):
        chosen = np.flatnonzero(pieces.length == length)
        place = pieces.place[chosen]
        best = np.full((length + 1, len(chosen)), -np.inf)
        best[0] = 0.0
        for end in range(1, length + 1):
            for start in range(end):
                if end - start < length:
                    np.maximum(best[end], best[start] + score[pieces.at[end - start - 1, place + start]], out=best[end])
        result[chosen] = best[length]
    return result
