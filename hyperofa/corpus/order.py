"""Which sequence comes when: permutations computed element by element, so that any step can be reached at once."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]

NO_WEIGHT = "all weights are 0; one must be positive"
_ROUNDS = 8
_SHARE_BITS = 24
"""A share of the draws is a multiple of 2^-24, so that it times any position below 2^39 is exact in 64 bits."""


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


def check_sampling(weights: Sequence[float], temperature: float, replay: Sequence[float] = ()) -> None:
    """Raise ``ValueError`` for weights, a temperature or replayed shares that make no shares of any counts.

    Args:
        weights: of each language.
        temperature: above 0.
        replay: share of the tokens that each language makes up, 0 for those that are not replayed; may be empty.
    """
    if replay and len(replay) != len(weights):
        raise ValueError(f"replayed shares of {len(replay)} languages, but {len(weights)} languages")
    if not (all(0 <= share < 1 for share in replay) and sum(replay) < 1):
        raise ValueError(f"replayed shares must be positive and sum to less than 1, not to {sum(replay):g}")
    if any(replay):
        if all(replay):
            raise ValueError("every language is replayed, so there is none to learn")
        weights = [weight for weight, share in zip(weights, replay, strict=True) if not share]
    if not all(math.isfinite(weight) and weight >= 0 for weight in weights):
        raise ValueError(f"weights must be finite and not negative: {', '.join(f'{weight:g}' for weight in weights)}")
    if not any(weights):
        raise ValueError(NO_WEIGHT)
    if not (math.isfinite(temperature) and temperature > 0):
        raise ValueError(f"the temperature must be a finite number above 0, not {temperature:g}")


class Order:
    """The endless sequence of draws from a corpus: a pure function of (seed, position).

    Attributes:
        shares: (n,) share of the sequences that each language makes up.

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
        self.shares = self.quotas / self.epoch_size
        self._first_sample = np.concatenate([[0], np.cumsum(self.counts)])
        self._first_slot = np.concatenate([[0], np.cumsum(self.quotas)])

    def draw(self, positions: Integers) -> tuple[Integers, Integers]:
        """Sample ids and visits at ``positions`` (n,) of the sequence; a visit counts how often that sample came before."""
        positions = np.asarray(positions, dtype=np.int64)
        samples, visits = np.empty_like(positions), np.empty_like(positions)
        epochs = positions // self.epoch_size
        for epoch in np.unique(epochs):
            in_epoch = epochs == epoch
            key = stream_key(self.seed, "epoch", int(epoch))
            slots = permute(positions[in_epoch] % self.epoch_size, self.epoch_size, key)
            samples[in_epoch], visits[in_epoch] = self._samples(slots, int(epoch))
        return samples, visits

    def _samples(self, slots: Integers, epoch: int) -> tuple[Integers, Integers]:
        languages = np.searchsorted(self._first_slot, slots, side="right") - 1
        drawn = slots - self._first_slot[languages] + epoch * self.quotas[languages]
        visits, within = np.divmod(drawn, self.counts[languages])
        samples = np.empty_like(slots)
        for language, visit in np.unique(np.stack([languages, visits]), axis=1).T:
            in_visit = (languages == language) & (visits == visit)
            key = stream_key(self.seed, "language", int(language), int(visit))
            samples[in_visit] = self._first_sample[language] + permute(
                within[in_visit], int(self.counts[language]), key
            )
        return samples, visits


class ReplayOrder:
    """Draws of which an exact share comes from replayed languages, evenly spread; also a pure function of (seed, position).

    Of the first N draws, whatever N is, the replayed languages make up ``floor(N share)``. What lies between is the order
    of the other languages as it would be without them, and each of the two kinds goes through its own sequences.

    Attributes:
        shares: (n,) share of the sequences that each language makes up.
    """

    def __init__(
        self,
        counts: Sequence[int],
        seed: int,
        weights: Sequence[float],
        temperature: float,
        *,
        replay: Sequence[float],
        tokens: Sequence[int],
    ) -> None:
        """Describe the order; nothing is drawn yet.

        Args:
            counts: (n,) sequences of each language.
            seed: of the permutations.
            weights: of the languages that are not replayed, as :class:`Order` takes them.
            temperature: likewise.
            replay: (n,) share of all tokens that each language makes up; 0 for those that are not replayed.
            tokens: (n,) tokens of each language, padding left out: sequences of one language may be fuller.

        Raises:
            ValueError: see :func:`check_sampling`.
        """
        check_sampling(weights, temperature, replay)
        replay_shares, sizes = np.asarray(replay, dtype=np.float64), np.asarray(counts, dtype=np.float64)
        filled = np.asarray(tokens, dtype=np.float64) / sizes
        sequences = replay_shares / filled  # of each replayed language, for a token of all
        self._others = _SubsetOrder(replay_shares == 0, counts, seed, weights, temperature)
        self._replayed = _SubsetOrder(replay_shares > 0, counts, seed, (sequences / sizes).tolist())
        of_others = (1.0 - replay_shares.sum()) / float(self._others.shares @ filled)
        share = float(sequences.sum() / (sequences.sum() + of_others))
        self._scaled = min(max(round(share * (1 << _SHARE_BITS)), 1), (1 << _SHARE_BITS) - 1)
        share = self._scaled / (1 << _SHARE_BITS)
        self.shares = share * self._replayed.shares + (1.0 - share) * self._others.shares

    def draw(self, positions: Integers) -> tuple[Integers, Integers]:
        """Sample ids and visits at ``positions`` (n,); see :meth:`Order.draw`."""
        positions = np.asarray(positions, dtype=np.int64)
        before = positions * self._scaled >> _SHARE_BITS  # replayed draws before each position
        replayed = ((positions + 1) * self._scaled >> _SHARE_BITS) > before
        samples, visits = np.empty_like(positions), np.empty_like(positions)
        samples[replayed], visits[replayed] = self._replayed.draw(before[replayed])
        samples[~replayed], visits[~replayed] = self._others.draw((positions - before)[~replayed])
        return samples, visits


class _SubsetOrder:
    """The order of some of the languages, whose sample ids are those of the whole corpus."""

    def __init__(
        self, chosen: NDArray[np.bool_], counts: Sequence[int], seed: int, weights: Sequence[float], *temperature: float
    ) -> None:
        sizes, places = np.asarray(counts, dtype=np.int64), np.flatnonzero(chosen).tolist()
        self._order = Order(sizes[places].tolist(), seed, [weights[place] for place in places], *temperature)
        self._starts = np.cumsum(sizes[places]) - sizes[places]
        self._moved = (np.cumsum(sizes) - sizes)[places] - self._starts
        self.shares = np.zeros(len(sizes))
        self.shares[places] = self._order.shares

    def draw(self, positions: Integers) -> tuple[Integers, Integers]:
        samples, visits = self._order.draw(positions)
        return samples + self._moved[np.searchsorted(self._starts, samples, side="right") - 1], visits


def order_of(
    counts: Sequence[int], tokens: Sequence[int], sampling: Mapping[str, Any], seed: int
) -> Order | ReplayOrder:
    """The order that a corpus's ``sampling`` (as in ``corpus.json``) asks for; ``counts`` and ``tokens`` are per language."""
    weights, temperature, replay = sampling["weights"], sampling["temperature"], sampling.get("replay", ())
    if not any(replay):
        return Order(counts, seed, weights, temperature)
    return ReplayOrder(counts, seed, weights, temperature, replay=replay, tokens=tokens)
