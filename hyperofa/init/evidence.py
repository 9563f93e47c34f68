"""What ``hyperofa init`` reads and works out before a method runs: tokenizers, words matched to tokens, the problem."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hyperofa.errors import InputError
from hyperofa.init import provenance as origin
from hyperofa.init.languages import language_numbers
from hyperofa.init.problem import Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scipy.sparse import csr_matrix

    from hyperofa.init.registry import Method
    from hyperofa.vocab.surfaces import Surface

log = logging.getLogger(__name__)

_FEW = 0.01  # a smaller share of words that match a token is worth a warning


@dataclass(frozen=True)
class Words:
    """Word vectors, and which of them match the tokens of both vocabularies.

    ``keys`` are n ``lang:word``, ``vectors`` (n, d), ``source`` (V_s, n) and ``target`` (V_t, n) CSR with the token's
    share of the word.
    """

    keys: Sequence[str]
    vectors: np.ndarray
    source: csr_matrix
    target: csr_matrix


def check_vocabulary(tokens: int, rows: int, where: str) -> None:
    """Refuse a source tokenizer whose ids take more rows (``tokens``) than the model has."""
    if tokens > rows:
        raise InputError(
            f"the tokenizer has ids for {tokens:,} tokens but the model {rows:,} embeddings",
            where=where,
            todo="use the tokenizer that the model was trained with",
        )


def match_both(vectors: Path, source: Any, target: Any, cache: Path) -> Words:
    """The words of the store ``vectors`` matched to the tokens of both tokenizers; results are kept in ``cache``."""
    from hyperofa.vectors.store import WordVectors
    from hyperofa.vocab.matching import match

    store = WordVectors.open(vectors)
    ours = match(store.words, target, weights="share", cache=cache).matrix
    theirs = match(store.words, source, weights="share", cache=cache, told=True).matrix
    return Words(store.words, store.vectors, theirs, ours)


def check_matches(words: Words, found: origin.Provenance, where: Path) -> None:
    """Refuse word vectors from which no row could be predicted, and say where few words match or none is of use.

    Raises:
        InputError: no word matches a token of the target, or of the source.
    """
    todo = "check the words (lang:word) in its words.txt"
    for side, matrix in (("target", words.target), ("source", words.source)):
        if not matrix.nnz:
            what = f"none of the {len(words.keys):,} words matches a token of the {side} tokenizer"
            raise InputError(f"{what}, so nothing could be predicted", where=where, todo=todo)
    matched = int(np.count_nonzero(np.bincount(words.target.indices, minlength=len(words.keys))))
    if matched < _FEW * len(words.keys):
        log.warning("%s: only %d of %d words match a token of the target; %s", where, matched, len(words.keys), todo)
    if not (found.code == origin.PREDICTED).any():
        log.warning("no row is predicted: every new token of the target is without a word in %s", where)


def predictable(n_words: np.ndarray, surfaces: list[Surface], words: Words | None, method: Method) -> np.ndarray:
    """(V_t,) bool: the tokens that ``method`` can predict: those with words; without vectors, those with a text.

    Pieces of characters have none; they are drawn, since one row for all of them would never part.
    """
    if method.predict is None:
        return np.zeros(len(surfaces), dtype=bool)
    if words is not None:
        return n_words > 0
    texts = (surface.text.decode("utf-8", errors="ignore").strip() for surface in surfaces)
    return np.array([bool(text) and s.kind not in {"special", "hole"} for text, s in zip(texts, surfaces, strict=True)])


def make_problem(
    rows: np.ndarray,
    words: Words | None,
    found: origin.Provenance,
    source_tokenizer: Any,
    target_tokenizer: Any,
    *,
    seed: int,
    options: dict[str, Any],
) -> Problem:
    """What a method is given to extend ``rows`` (V_s, r) to the target tokens of ``found``."""
    from scipy.sparse import csr_matrix

    size = len(rows)
    return Problem(
        rows=rows,
        vectors=words.vectors if words else np.zeros((0, 1), dtype=np.float32),
        source_words=words.source[:size] if words else csr_matrix((size, 0), dtype=np.float32),
        target_words=words.target if words else csr_matrix((len(found.code), 0), dtype=np.float32),
        source_ids=found.source_id,
        predict_ids=np.flatnonzero(found.code == origin.PREDICTED),
        source_groups=surface_groups(source_tokenizer, size),
        languages=language_numbers(words.keys) if words else None,
        source_tokenizer=source_tokenizer,
        target_tokenizer=target_tokenizer,
        seed=seed,
        options=options,
    )


def surface_groups(tokenizer: Any, size: int) -> np.ndarray:
    """(size,) int64: tokens that differ only in case or word boundary share a number."""
    from hyperofa.vocab.surfaces import token_surfaces

    names: dict[str, int] = {}
    surfaces = token_surfaces(tokenizer)[:size]
    groups = [names.setdefault(s.text.decode("utf-8", errors="replace").lower(), len(names)) for s in surfaces]
    groups += range(len(names), len(names) + size - len(groups))  # rows without a token are groups of their own
    return np.array(groups, dtype=np.int64)
