"""Which sequence comes when: permutations computed element by element, so that any step can be reached at once."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]

NO_WEIGHT = "all weights are 0; one must be positive"
_ROUNDS = 8


def stream_key(*parts: int | str) -> int:
    """A 63-bit key of a sequence of numbers and words; distinct sequences give unrelated keys, the same on any machine."""
    text = "\0".join(f"{type(part).__name__}:{part}" for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def permute(index: Integers, size: int, key: int) -> Integers:
    """Where a pseudo-random permutation of ``range(size)``, chosen by ``key``, sends each of ``index``.

    A Feistel network permutes the least domain 4^b that holds ``size``; an image outside the range is sent on until it
    falls inside (cycle walking), less than four times on average. Nothing of length ``size`` is ever stored.

    Raises:
        ValueError: an index is not in ``range(size)``.
    """
    index = np.asarray(index, dtype=np.int64)
    if index.size and (index.min() < 0 or index.max() >= size):
        raise ValueError(f"an index is outside range({size})")
    half_bits = max(1, ((size - 1).bit_length() + 1) // 2)
    keys = np.array([stream_key("round", key, i) for i in range(_ROUNDS)], dtype=np.uint64)
    out = _feistel(index.astype(np.uint64), half_bits, keys)
    outside = out >= size
    while outside.any():
        out[outside] = _feistel(out[outside], half_bits, keys)
        outside = out >= size
    return out.astype(np.int64)


def _feistel(value: NDArray[np.uint64], half_bits: int, keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    shift, mask = np.uint64(half_bits), np.uint64((1 << half_bits) - 1)
    left, right = value >> shift, value & mask
    for key in keys:
        left, right = right, left ^ (_mix(right ^ key) & mask)
    return (left << shift) | right


def _mix(value: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """A 64-bit integer hash (multiply and shift, wrapping)."""
    value = (value ^ (value >> np.uint64(31))) * np.uint64(0x9E3779B97F4A7C15)
    value = (value ^ (value >> np.uint64(29))) * np.uint64(0xD6E8FEB86659FD93)
    return value ^ (value >> np.uint64(32))


def quotas(counts: Sequence[int], weights: Sequence[float] | None = None, temperature: float = 1.0) -> Integers:
    """How many sequences of each language one epoch draws; their sum is the sum of ``counts``.

    A language's share is proportional to ``weight * count^(1 / temperature)``: 1 is the natural share, more lifts the small
    languages. Every language with a positive weight gets at least one.

    Raises:
        ValueError: a weight is negative or not finite, none is positive, or the temperature is not a positive number.
    """
    sizes = np.asarray(counts, dtype=np.float64)
    factors = np.ones_like(sizes) if weights is None else np.asarray(weights, dtype=np.float64)
    check_sampling(factors.tolist(), temperature)
    drawn = (factors > 0) & (sizes > 0)
    if not drawn.any():
        raise ValueError(NO_WEIGHT)
    total = int(sizes.sum())
    # Relative to the largest, so that no weight and no power is beyond a float's range.
    shares = factors / factors.max() * (sizes / sizes.max()) ** (1.0 / temperature)
    shares = np.where(drawn, np.maximum(shares, np.finfo(np.float64).tiny), 0.0)
    exact = shares / shares.sum() * total
    # Largest remainders: round down, then give what is left to those that lost most.
    whole = np.where(drawn, np.maximum(np.floor(exact), 1), 0).astype(np.int64)
    while whole.sum() < total:
        whole[np.argmax(np.where(drawn, exact - whole, -np.inf))] += 1
    while whole.sum() > total:
        whole[np.argmax(np.where(whole > 1, whole - exact, -np.inf))] -= 1
    return whole


def check_sampling(weights: Sequence[float], temperature: float) -> None:
    """Raise ``ValueError`` for weights or a temperature that make no shares of any counts."""
    if not all(math.isfinite(weight) and weight >= 0 for weight in weights):
        raise ValueError(f"weights must be finite and not negative: {', '.join(f'{weight:g}' for weight in weights)}")
    if not any(weights):
        raise ValueError(NO_WEIGHT)
    if not (math.isfinite(temperature) and temperature > 0):
        raise ValueError(f"the temperature must be a finite number above 0, not {temperature:g}")


class Order:
    """The endless sequence of draws from a corpus: a pure function of (seed, position).

    Each epoch shuffles the languages' quotas; within a language, sequences are visited in a new random order each time all of
    them have been seen, so that a language never repeats a sequence before the others have had their turn.
    """

    def __init__(
        self, counts: Sequence[int], seed: int, weights: Sequence[float] | None = None, temperature: float = 1.0
    ) -> None:
        """``counts``: sequences per language; sample ids number them language by language."""
        self.counts = np.asarray(counts, dtype=np.int64)
        self.seed = seed
        self.quotas = quotas(counts, weights, temperature)
        self.epoch_size = int(self.quotas.sum())
        self._first_sample = np.concatenate([[0], np.cumsum(self.counts)])
        self._first_slot = np.concatenate([[0], np.cumsum(self.quotas)])

    def draw(self, positions: Integers) -> tuple[Integers, Integers]:
        """Sample ids and visits at ``positions`` (n,) of the sequence; a visit counts how often that sample came before."""
        positions = np.asarray(positions, dtype=np.int64)
        samples, visits = np.empty_like(positions), np.empty_like(positions)
        epochs = positions // self.epoch_size
        for epoch in np.unique(epochs):
            here = epochs == epoch
            key = stream_key(self.seed, "epoch", int(epoch))
            slots = permute(positions[here] % self.epoch_size, self.epoch_size, key)
            samples[here], visits[here] = self._samples(slots, int(epoch))
        return samples, visits

    def _samples(self, slots: Integers, epoch: int) -> tuple[Integers, Integers]:
        languages = np.searchsorted(self._first_slot, slots, side="right") - 1
        drawn = slots - self._first_slot[languages] + epoch * self.quotas[languages]
        visits, within = np.divmod(drawn, self.counts[languages])
        samples = np.empty_like(slots)
        for language, visit in np.unique(np.stack([languages, visits]), axis=1).T:
            here = (languages == language) & (visits == visit)
            key = stream_key(self.seed, "language", int(language), int(visit))
            samples[here] = self._first_sample[language] + permute(within[here], int(self.counts[language]), key)
        return samples, visits
