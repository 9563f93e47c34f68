"""The words of each token as padded batches: sampled, shuffled and cut with a seed, grouped by similar length."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

_BUCKET = 50


@dataclass(frozen=True)
class SetBatch:
    """A batch of B tokens, their word sets padded to the longest.

    Attributes:
        items: (B,) int64 positions in the :class:`WordSets`.
        words: (B, K) int64 word indices, 0 where padded.
        shares: (B, K) float32 the token's share of each word, 0 where padded.
        lengths: (B,) int64, at least 1.
    """

    items: np.ndarray
    words: np.ndarray
    shares: np.ndarray
    lengths: np.ndarray

    def dealt(self, rank: int, size: int) -> SetBatch:
        """The tokens rank, rank + size, ... of the batch, as many for each of ``size`` ranks: after the last comes the first."""
        positions = np.arange(rank, -(-len(self.items) // size) * size, size) % len(self.items)
        width = int(self.lengths[positions].max())
        return SetBatch(
            self.items[positions],
            self.words[positions, :width],
            self.shares[positions, :width],
            self.lengths[positions],
        )


class WordSets:
    """The sets of words of some tokens, in CSR form: nothing is copied per token and batches are built by whole arrays."""

    def __init__(self, words: csr_matrix, ids: np.ndarray, *, limit: int = 256) -> None:
        """Take the rows ``ids`` of ``words`` (V, n), each of which must have a word; use at most ``limit`` words of a token."""
        chosen = words[ids]
        self.starts = chosen.indptr.astype(np.int64)
        self.indices = chosen.indices.astype(np.int64)
        self.shares = chosen.data.astype(np.float32)
        self.sizes = np.diff(self.starts)
        self.limit = limit

    def __len__(self) -> int:
        return len(self.sizes)

    def batch(self, items: np.ndarray, rng: np.random.Generator, *, thin: float = 0.0) -> SetBatch:
        """The batch of ``items`` (B,): words in random order, at most ``limit``, and with probability ``thin`` only
        50-100 % of them (HyperOFA, §4.1). A token's words are a sample of all its words, never just the first.
        """
        sizes = self.sizes[items]
        keep = np.minimum(sizes, self.limit)
        if thin:
            shares = np.where(rng.random(len(items)) < thin, rng.uniform(0.5, 1.0, len(items)), 1.0)
            keep = np.maximum(1, np.ceil(keep * shares)).astype(np.int64)
        owner = np.repeat(np.arange(len(items)), sizes)
        begin = np.cumsum(sizes) - sizes
        position = np.arange(len(owner)) - begin[owner] + self.starts[items][owner]
        order = np.lexsort((rng.random(len(owner)), owner))  # a random order within each token
        rank = np.arange(len(owner)) - begin[owner]
        chosen = rank < keep[owner]
        rows, columns, source = owner[chosen], rank[chosen], position[order][chosen]
        words = np.zeros((len(items), int(keep.max())), dtype=np.int64)
        weights = np.zeros(words.shape, dtype=np.float32)
        words[rows, columns] = self.indices[source]
        weights[rows, columns] = self.shares[source]
        return SetBatch(items, words, weights, keep)

    def epoch(self, items: np.ndarray, size: int, rng: np.random.Generator, *, thin: float = 0.0) -> Iterator[SetBatch]:
        """Batches over all ``items`` in random order; each batch holds tokens with similar numbers of words.

        Items are shuffled, cut into pools of 50 batches and sorted by length within a pool; the batches then come in random
        order, so that padding is small and the composition of batches still changes from epoch to epoch.
        """
        shuffled = rng.permutation(items)
        batches = []
        for start in range(0, len(shuffled), size * _BUCKET):
            pool = shuffled[start : start + size * _BUCKET]
            pool = pool[np.argsort(np.minimum(self.sizes[pool], self.limit), kind="stable")]
            batches += [pool[i : i + size] for i in range(0, len(pool), size)]
        for index in rng.permutation(len(batches)):
            yield self.batch(batches[index], rng, thin=thin)

    def ordered(self, size: int, rng: np.random.Generator) -> Iterator[SetBatch]:
        """Batches over all tokens, by length, for prediction."""
        order = np.argsort(np.minimum(self.sizes, self.limit), kind="stable")
        for start in range(0, len(order), size):
            yield self.batch(order[start : start + size], rng)
