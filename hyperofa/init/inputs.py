"""What ``hyperofa init`` reads and works out before a method runs: tokenizers, words matched to tokens, the problem."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hyperofa.errors import DataMissingError, InputError
from hyperofa.init import provenance as origin
from hyperofa.init.languages import language_numbers
from hyperofa.init.problem import Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scipy.sparse import csr_matrix


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


def load_tokenizer(name: str) -> Any:
    """The fast tokenizer of a directory or named hub id; raises :class:`DataMissingError` if there is none."""
    from transformers import AutoTokenizer

    if (
        Path(name).exists()
        and not (Path(name) / "tokenizer.json").is_file()
        and not (Path(name) / "vocab.txt").is_file()
    ):
        raise DataMissingError(
            "no tokenizer.json in the directory", where=name, todo="name a directory that holds a tokenizer"
        )
    try:
        return AutoTokenizer.from_pretrained(name, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise DataMissingError(f"cannot load the tokenizer ({line})", where=name) from error


def check_vocabulary(tokens: int, rows: int, where: str) -> None:
    """Refuse a source tokenizer with more tokens than the model has rows."""
    if tokens > rows:
        raise InputError(
            f"the tokenizer has {tokens:,} tokens but the model {rows:,} embeddings",
            where=where,
            todo="use the tokenizer that the model was trained with",
        )


def match_both(vectors: Path, source: Any, target: Any, cache: Path) -> Words:
    """The words of the store ``vectors`` matched to the tokens of both tokenizers; results are kept in ``cache``."""
    from hyperofa.vectors.store import WordVectors
    from hyperofa.vocab.matching import match

    store = WordVectors.open(vectors)
    ours, theirs = (
        match(store.words, tokenizer, weights="share", cache=cache).matrix for tokenizer in (target, source)
    )
    return Words(store.words, store.vectors, theirs, ours)


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
