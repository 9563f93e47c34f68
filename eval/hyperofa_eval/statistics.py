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
    character bits over characters: one form, so one bootstrap serves every task.
    """

    num: Floats
    den: Floats
    scale: float = 100.0

    def value(self) -> float:
        """The score over all items; 0 where the denominators sum to 0."""
        total = float(self.den.sum())
        return self.scale * float(self.num.sum()) / total if total else 0.0

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
    step = max(1, 4_000_000 // max(n, 1))
    for start in range(0, draws, step):
        picks = generator.integers(0, n, (min(step, draws - start), n))
        den = items.den[picks].sum(axis=1)
        out[start : start + step] = items.scale * items.num[picks].sum(axis=1) / np.where(den == 0, 1, den)
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


def pack(values: Floats) -> str:
    """Numbers as one compact string: ``0110`` for zeros and ones, else separated by spaces."""
    if np.isin(values, (0.0, 1.0)).all():
        return "".join("1" if value else "0" for value in values)
    return " ".join(f"{int(value)}" if float(value).is_integer() else repr(float(value)) for value in values)


def unpack(text: str) -> Floats:
    """The numbers of :func:`pack`."""
    if " " in text or set(text) - {"0", "1"}:
        return np.array([float(word) for word in text.split()])
    return np.array([float(character) for character in text])
