"""What every reader of a foreign vector file gives: blocks of words with their vectors, and what it does about bad rows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from hyperofa.errors import InputError

BLOCK = 8192
"""Rows that a reader yields at once."""
HEADER = re.compile(rb"\s*(\d{1,12}) (\d{1,6})\s*")
"""The first line ``count dimension`` of word2vec's formats."""
NUMBER = re.compile(rb"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")

Block = tuple[list[str], np.ndarray]
"""Words (k) and their vectors (k, d) float32."""


@dataclass
class Faults:
    """What to do about a bad row: refuse the file by its first one, or count and skip them."""

    path: Path
    skip: bool = False
    counts: dict[str, int] = field(default_factory=dict)

    def bad(self, what: str, place: str) -> None:
        """Report a bad row at ``place`` (``line 7``); raises :class:`InputError` unless bad rows are skipped."""
        if not self.skip:
            raise InputError(what, where=f"{self.path}, {place}", todo="repair the file, or skip bad rows")
        self.counts[what] = self.counts.get(what, 0) + 1


@dataclass(frozen=True)
class Rows:
    """An opened vector file: the length d of its vectors, and its blocks, read as they are asked for."""

    dim: int
    blocks: Iterator[Block]


def blocks_of(rows: Iterable[tuple[bytes, np.ndarray, str]], faults: Faults) -> Iterator[Block]:
    """Rows (a word's UTF-8, its vector, its place in the file) gathered into blocks; bad words and numbers are faults."""
    words: list[str] = []
    vectors: list[np.ndarray] = []
    for raw, vector, place in rows:
        try:
            word = raw.decode("utf-8")
        except UnicodeDecodeError:
            faults.bad("not UTF-8", place)
            continue
        if not np.isfinite(vector).all():
            faults.bad("NaN or infinite values", place)
            continue
        words.append(word)
        vectors.append(vector)
        if len(words) == BLOCK:
            yield words, np.stack(vectors)
            words, vectors = [], []
    if words:
        yield words, np.stack(vectors)
