"""Scores as ratios of sums over items, and their bootstrap: the same draws for every model, so that runs pair."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DRAWS = 2000
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Items:
    """Per-item numerators and denominators of a score: ``scale * sum(num) / sum(den)``.

    Accuracy has hits over ones, entity F1 twice the true positives over predicted plus gold entities, bits per
    character bits over characters: one form, so one bootstrap serves every task. Shape (n,), or (n, classes) for a
    macro average: the mean of the classes' ratios, classes without a denominator left out.
    """

    num: Floats
    den: Floats
    scale: float = 100.0

    def value(self) -> float:
        """The score over all items; 0 where the denominators sum to 0."""
        return float(self.ratio(np.ones((1, len(self))))[0])

    def ratio(self, weights: Floats) -> Floats:
        """The score under each row of item weights (draws, n); shape (draws,)."""
        num, den = (weights @ part.reshape(len(part), -1) for part in (self.num, self.den))
        present = den > 0
        ratios = np.divide(num, den, out=np.zeros_like(num), where=present)
        return self.scale * ratios.sum(1) / np.maximum(present.sum(1), 1)

    def __len__(self) -> int:
        return len(self.num)


def hits(values: Sequence[bool] | NDArray[np.bool_]) -> Items:
    """Items of an accuracy."""
    num = np.asarray(values, dtype=np.float64)
    return Items(num, np.ones_like(num))


def draws_of(items: Items, name: str, draws: int = DRAWS) -> Floats:
    """The score on ``draws`` resamples of the items with replacement, shape (draws,).

    The resamples depend on ``name`` and the number of items alone: the same task and language gives the same ones for
    every model, so the difference of two results is a paired bootstrap.
    """
    n = len(items)
    generator = np.random.default_rng([zlib.crc32(name.encode()), n])
    out = np.empty(draws)
    step = max(1, 2_000_000 // max(n, 1))
    for start in range(0, draws, step):
        rows = min(step, draws - start)
        picks = generator.integers(0, n, (rows, n)) + np.arange(rows)[:, None] * n
        weights = np.bincount(picks.reshape(-1), minlength=rows * n).reshape(rows, n).astype(np.float64)
        out[start : start + rows] = items.ratio(weights)
    return out


def over_seeds(per_seed: Sequence[Floats], name: str) -> Floats:
    """Draws of the mean over seeds: each takes the seeds with replacement too; shape (draws,)."""
    if len(per_seed) == 1:
        return per_seed[0]
    table = np.stack(per_seed)
    generator = np.random.default_rng([zlib.crc32(name.encode()), len(per_seed), 1])
    picks = generator.integers(0, len(table), (table.shape[1], len(table)))
    return table[picks, np.arange(table.shape[1])[:, None]].mean(axis=1)


def interval(draws: Floats) -> list[float]:
    """The 95 % percentile interval of bootstrap draws, as ``[low, high]``."""
    low, high = np.percentile(draws, [2.5, 97.5])
    return [float(low), float(high)]


def pack(values: Floats) -> str | list[str]:
    """Numbers (n,) as one compact string: ``0110`` for zeros and ones, else a space after each; (n, c) as c strings."""
    return _pack(values) if values.ndim == 1 else [_pack(column) for column in values.T]


def unpack(packed: str | list[str]) -> Floats:
    """The numbers of :func:`pack`."""
    if isinstance(packed, list):
        return np.stack([unpack(column) for column in packed], axis=1)
    return np.array([float(word) for word in (packed.split() if " " in packed else packed)])


def _pack(values: Floats) -> str:
    if np.isin(values, (0.0, 1.0)).all():
        return "".join("1" if value else "0" for value in values)
    # A space at the end, so that a lone 10 does not read as one and zero.
    return "".join(f"{int(value)} " if float(value).is_integer() else f"{float(value)!r} " for value in values)
