"""Sentences as token ids, and which of them make the batch of a step: a function of (seed, step) alone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from hyperofa_eval.text.plain_text import PlainText

_POOL = 16  # batches drawn together, so that a batch can hold sentences of like length


def encode(tokenizer: Any, texts: Sequence[str], max_length: int, **options: bool) -> Any:
    """What the tokenizer gives for plain texts, cut at ``max_length``, with which ids are its specials."""
    without = {"return_attention_mask": False, "return_token_type_ids": False, "verbose": False}
    plain = PlainText(tokenizer)
    return plain(texts, truncation=True, max_length=max_length, return_special_tokens_mask=True, **without, **options)


def tokenise(tokenizer: Any, texts: Sequence[str], max_length: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Ids of every text with the tokenizer's specials, and for each id whether it is text (1) or special (0)."""
    if not texts:
        return [], []
    encoded = encode(tokenizer, list(texts), max_length)
    ids = [np.asarray(row, dtype=np.int64) for row in encoded["input_ids"]]
    real = [1 - np.asarray(row, dtype=np.int64) for row in encoded["special_tokens_mask"]]
    return ids, real


def used_ids(rows: Sequence[np.ndarray]) -> np.ndarray:
    """The distinct ids of some texts, ascending, int64."""
    return np.unique(np.concatenate(rows)) if len(rows) else np.zeros(0, dtype=np.int64)


def digest_of(lists: Iterable[np.ndarray]) -> str:
    """SHA-256 of arrays and of where one ends and the next begins."""
    sha = hashlib.sha256()
    for array in lists:
        sha.update(len(array).to_bytes(8, "little"))
        sha.update(np.ascontiguousarray(array, dtype=np.int64).data)
    return sha.hexdigest()


def rare_first(rows: Sequence[np.ndarray], learning: np.ndarray, power: float) -> np.ndarray:
    """How often each text should be drawn, (n,) float64: the sum over its different new tokens of 1 / count to a power.

    With ``power`` 1 every new token is seen equally often, with 0 as often as the text has it. A text without new tokens weighs
    what one whose only new token is in every text would.

    Args:
        rows: the ids of n texts.
        learning: (V,) bool, the new tokens.
        power: from 0 to 1.
    """
    sizes = np.array([len(row) for row in rows])
    ids = np.concatenate(rows) if len(rows) else np.zeros(0, dtype=np.int64)
    owners = np.repeat(np.arange(len(rows)), sizes)
    new = learning[ids]
    pairs = np.unique(np.stack([owners[new], ids[new]]), axis=1)
    counts = np.bincount(pairs[1], minlength=len(learning)).astype(np.float64)
    weights = np.bincount(pairs[0], weights=counts[pairs[1]] ** -power, minlength=len(rows))
    return np.maximum(weights, max(len(rows), 1) ** -power)


class Draws:
    """Which sentences the batch of a step holds.

    Groups (languages) are drawn in proportion to the sum of their weights to the power ``smoothing``, then a sentence of the
    group by its weight. Batches are drawn 16 at a time, sorted by length within, and come in random order.
    """

    def __init__(
        self,
        groups: np.ndarray,
        lengths: np.ndarray,
        weights: np.ndarray,
        batch_size: int,
        seed: int,
        *,
        smoothing: float,
    ) -> None:
        """Take ``groups`` (n,), ``lengths`` (n,) and ``weights`` (n,), all above 0, of n sentences."""
        _, inverse, counts = np.unique(groups, return_inverse=True, return_counts=True)
        self.groups = groups
        self._members = np.argsort(inverse, kind="stable")
        self._starts = np.concatenate([[0], np.cumsum(counts)])
        sizes = np.bincount(inverse, weights=weights) ** smoothing
        self._shares = sizes / sizes.sum()
        self._sums = np.cumsum(weights[self._members])
        self._lengths = lengths
        self._batch_size = batch_size
        self._seed = seed
        self._pool: tuple[int, list[np.ndarray]] = (-1, [])

    def batch(self, step: int) -> np.ndarray:
        """Positions (batch_size,) int64 of the sentences of step ``step``, from 0."""
        number = step // _POOL
        if self._pool[0] != number:
            self._pool = (number, self._draw(number))
        return self._pool[1][step % _POOL]

    def _draw(self, number: int) -> list[np.ndarray]:
        rng = np.random.default_rng([self._seed, 300, number])
        groups = rng.choice(len(self._shares), size=_POOL * self._batch_size, p=self._shares)
        first, last = self._starts[groups], self._starts[groups + 1] - 1
        before = np.where(first > 0, self._sums[first - 1], 0.0)
        marks = before + rng.random(len(groups)) * (self._sums[last] - before)
        chosen = self._members[np.clip(np.searchsorted(self._sums, marks, side="right"), first, last)]
        chosen = chosen[np.argsort(self._lengths[chosen], kind="stable")]
        batches = chosen.reshape(_POOL, self._batch_size)
        return [batches[i] for i in rng.permutation(_POOL)]
