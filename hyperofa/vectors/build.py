"""Word vectors from parallel text: which words stand in which sentences, positive PMI, truncated SVD."""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from hyperofa.data.parallel import ParallelText
from hyperofa.errors import InputError
from hyperofa.vectors.segment import words_of
from hyperofa.vectors.settings import BuildSettings
from hyperofa_eval.base.console import track

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

log = logging.getLogger(__name__)


def embed_words(text: ParallelText, config: BuildSettings) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Words ``lang:word`` (n), their vectors (n, d) float32, and in how many sentences each stands (n,) int64.

    Sorted by language and word. Words of different languages are neighbours where they stand in the translations of the same
    sentences.
    The result depends on the text and the settings only.

    Raises:
        InputError: the text has too few sentences or words.
    """
    words, matrix = word_by_sentence(text, config)
    if min(matrix.shape) < 2:
        raise InputError(
            f"only {matrix.shape[0]} words in {matrix.shape[1]} sentences", todo="give more text, or a lower min_count"
        )
    vectors = embed(positive_pmi(matrix, config.smoothing), _row_weights(words, config.balance), config)
    return words, vectors, np.diff(matrix.indptr).astype(np.int64)


def word_by_sentence(text: ParallelText, config: BuildSettings) -> tuple[list[str], csr_matrix]:
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


def embed(matrix: csr_matrix, weights: np.ndarray, config: BuildSettings) -> np.ndarray:
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
    counts = languages_of(words)
    sizes = [counts[word.partition(":")[0]] for word in words]
    weights: np.ndarray = np.array(sizes, dtype=np.float32) ** (-balance / 2)
    return weights / weights.mean()


def languages_of(words: list[str]) -> dict[str, int]:
    """Words per language."""
    return dict(Counter(word.partition(":")[0] for word in words))
