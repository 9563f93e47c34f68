"""What the languages of words tell: vectors about the mean of their language, and how well the source knows each language."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hyperofa.init.linalg import VectorTable, normalise_rows, sparse_times_vectors

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

PRIOR = 100
"""So many words of the average language are added to each: the mean of a few words is their own vectors."""
WHOLE = 0.99
"""The share of a word from which a token counts as the whole of it."""


def language_numbers(keys: Iterable[str]) -> tuple[np.ndarray, tuple[str, ...]]:
    """(n,) int64: words ``lang:word`` of one language share a number; then what the languages of these numbers are called.

    A word without a language has that of ``""``.
    """
    numbers: dict[str, int] = {}
    number_of_word = (numbers.setdefault(key.partition(":")[0] if ":" in key else "", len(numbers)) for key in keys)
    return np.fromiter(number_of_word, dtype=np.int64), tuple(numbers)


@dataclass(frozen=True)
class CentredVectors:
    """Word vectors (n, d) less the mean of their language, as unit rows; worked out where they are read, never stored.

    Vectors of different languages that share a space still keep apart by a common offset, which every distance between
    two languages contains.

    Attributes:
        vectors: (n, d), may be float16 and memory-mapped.
        languages: (n,) int64, from :func:`language_numbers`.
        means: (L, d) float32.
    """

    vectors: VectorTable
    languages: np.ndarray
    means: np.ndarray

    @classmethod
    def of(cls, vectors: VectorTable, languages: np.ndarray) -> CentredVectors:
        """Find the means in one pass over the vectors."""
        from scipy.sparse import csr_matrix

        counts = np.bincount(languages)
        one = csr_matrix((np.ones(len(languages), np.float32), (languages, np.arange(len(languages)))))
        sums = sparse_times_vectors(one, vectors)
        overall = sums.sum(axis=0) / max(len(languages), 1)
        means = (sums + PRIOR * overall) / (counts + PRIOR)[:, None]
        return cls(vectors, languages, means.astype(np.float32))

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, d)."""
        return self.vectors.shape

    def __len__(self) -> int:
        return len(self.vectors)

    def __getitem__(self, index: Any) -> np.ndarray:
        """Centred unit vectors (k, d) float32 of an array of k words."""
        rows = np.asarray(self.vectors[index], dtype=np.float32) - self.means[self.languages[index]]
        return normalise_rows(rows)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """All of them, for a device that holds them whole."""
        return np.asarray(self[np.arange(len(self))], dtype=dtype)


def known_words(source_words: csr_matrix, languages: np.ndarray) -> np.ndarray:
    """(n,) float32 in [0, 1]: how much a word says about what the source model's tokens mean.

    A model knows the languages whose words its vocabulary holds whole; the pieces that it cuts other languages' words into
    mean little. Each word has its language's share of words that are one token, relative to the best language's, squared.
    ``source_words`` (V_s, n) are the tokens' shares of the words, ``languages`` (n,) from :func:`language_numbers`.
    """
    whole = np.zeros(len(languages), dtype=bool)
    whole[source_words.indices[source_words.data >= WHOLE]] = True
    counts = np.bincount(languages)
    shares = np.bincount(languages, weights=whole) / np.maximum(counts, 1)
    if not shares.any():
        return np.ones(len(languages), dtype=np.float32)
    weights: np.ndarray = ((shares / shares.max()) ** 2).astype(np.float32)
    return weights[languages]
