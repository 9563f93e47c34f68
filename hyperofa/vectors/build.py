"""Word vectors from parallel text: which words stand in which sentences, positive PMI, truncated SVD."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hyperofa.base.console import track
from hyperofa.data.parallel import ParallelText
from hyperofa.errors import InputError
from hyperofa.vectors.segment import words_of

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BuildConfig:
    """How word vectors are made; ``benchmarks/vectors_quality.py`` compares the choices on held-out sentences."""

    dim: int = 200
    """Length of a vector; fewer where the text has fewer sentences."""
    min_count: int = 2
    """Sentences that a word must stand in."""
    ngrams: int = 3
    """Longest character n-gram of scripts without spaces."""
    smoothing: float = 1.0
    """Exponent on the sentences' sizes; below 1, short sentences count less than PMI would have it."""
    power: float = 0.0
    """Exponent on the singular values: 0 weighs all directions alike, 1 as they stand in the matrix."""
    balance: float = 1.0
    """1 gives all languages the same say in the SVD, 0 all words (n-grams make six times as many as words do)."""
    normalise: bool = True
    """Scale every vector to length 1."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.dim < 1 or self.min_count < 1 or self.ngrams < 1:
            raise ValueError("dim, min_count and ngrams must be 1 or more")
        if not 0 <= self.smoothing <= 1:
            raise ValueError("smoothing must lie between 0 and 1")
        if not 0 <= self.balance <= 1:
            raise ValueError("balance must lie between 0 and 1")
        if not -10 <= self.power <= 10:
            raise ValueError("power must lie between -10 and 10")
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"seed {self.seed} is not in [0, 2^32)")


def build_vectors(text: ParallelText, config: BuildConfig) -> tuple[list[str], np.ndarray]:
    """Words ``lang:word`` (n) and their vectors (n, d) float32, sorted by language and word.

    Words of different languages are neighbours where they stand in the translations of the same sentences.
    Deterministic: the result depends on the text and the config only.

    Raises:
        InputError: the text has too few sentences or words.
    """
    words, matrix = word_by_sentence(text, config)
    if min(matrix.shape) < 2:
        raise InputError(
            f"only {matrix.shape[0]} words in {matrix.shape[1]} sentences", todo="give more text, or a lower min-count"
        )
    return words, embed(positive_pmi(matrix, config.smoothing), _row_weights(words, config.balance), config)


def word_by_sentence(text: ParallelText, config: BuildConfig) -> tuple[list[str], csr_matrix]:
    """The words and the binary matrix (words, sentences), without words below ``min_count``."""
    from scipy.sparse import csr_matrix

    keys: list[str] = []
    lengths: list[int] = []
    columns: list[np.ndarray] = []
    for language in track(sorted(text.texts), "counting words"):
        places: dict[str, list[int]] = {}
        for sentence, line in text.texts[language].items():
            for word in words_of(line, config.ngrams):
                places.setdefault(word, []).append(sentence)
        for word in sorted(places):
            if len(places[word]) >= config.min_count:
                keys.append(f"{language}:{word}")
                lengths.append(len(places[word]))
                columns.append(np.sort(np.asarray(places[word], dtype=np.int32)))
    indptr = np.concatenate([[0], np.cumsum(np.asarray(lengths, dtype=np.int64))])
    indices = np.concatenate([np.zeros(0, dtype=np.int32), *columns])
    data = np.ones(len(indices), dtype=np.float32)
    log.info("%d words of %d languages in %d sentences", len(keys), len(text.texts), text.n_sentences)
    return keys, csr_matrix((data, indices, indptr), shape=(len(keys), text.n_sentences))


def positive_pmi(matrix: csr_matrix, smoothing: float) -> csr_matrix:
    """Pointwise mutual information of words and sentences, negative values dropped.

    With context-distribution smoothing (Levy, Goldberg and Dagan 2015): a sentence's share is its count to the power
    ``smoothing``, normalised.
    """
    words = np.asarray(matrix.sum(axis=1)).ravel()
    sentences = np.asarray(matrix.sum(axis=0)).ravel() ** smoothing
    share = sentences / sentences.sum()
    result = matrix.tocsr(copy=True)
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(result.indptr))
    # p(w, s) / (p(w) p(s)), with p(w, s) = x / total and p(w) = words / total
    ratio = result.data / (words[rows] * share[result.indices])
    result.data = np.log(np.maximum(ratio, 1.0)).astype(np.float32)
    result.eliminate_zeros()
    return result


def embed(matrix: csr_matrix, weights: np.ndarray, config: BuildConfig) -> np.ndarray:
    """The rows of ``matrix`` (n, s) in ``dim`` dimensions, (n, d) float32: M V S^(power - 1).

    V and S are from the truncated SVD of the matrix with its rows scaled by ``weights`` (n,); with equal weights this is
    U S^power.
    """
    from scipy.sparse import diags
    from sklearn.utils.extmath import randomized_svd

    dim = min(config.dim, *matrix.shape)
    if dim < config.dim:
        log.warning("only %d dimensions: the text has %d sentences, %d words", dim, matrix.shape[1], matrix.shape[0])
    weighted = (diags(weights) @ matrix).tocsr()
    _, values, right = randomized_svd(weighted, n_components=dim, n_iter=6, random_state=config.seed)
    floor = max(float(values[0]) * 1e-6, 1e-12)
    vectors: np.ndarray = (matrix @ right.T) * np.maximum(values, floor) ** (config.power - 1)
    if config.normalise:
        vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return vectors.astype(np.float32)


def _row_weights(words: list[str], balance: float) -> np.ndarray:
    """Weights (n,) by which a language's words together count as much as its number of words to the power 1 - balance."""
    languages = [word.partition(":")[0] for word in words]
    counts = Counter(languages)
    weights: np.ndarray = np.array([counts[language] for language in languages], dtype=np.float32) ** (-balance / 2)
    return weights / weights.mean()


def languages_of(words: list[str]) -> dict[str, int]:
    """Words per language."""
    return dict(Counter(word.partition(":")[0] for word in words))
