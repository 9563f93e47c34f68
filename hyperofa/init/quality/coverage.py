"""What the vocabulary covers: tokens by script, and by the languages whose words they belong to."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hyperofa.base.wordkeys import STORED
from hyperofa.init import provenance as origin

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


def scripts(tokenizer: Any, provenance: origin.Provenance) -> dict[str, dict[str, int]]:
    """Tokens by script and provenance; the script is the first word of the Unicode name of the first letter."""
    from hyperofa.vocab.surfaces import token_surfaces

    counts: dict[str, Counter[str]] = {}
    for surface, code in zip(token_surfaces(tokenizer), provenance.code, strict=False):
        text = surface.text.decode("utf-8", errors="ignore")
        letter = next((character for character in text if character.isalpha()), None)
        name = unicodedata.name(letter, "OTHER").split()[0] if letter else "OTHER"
        counts.setdefault(name, Counter())[origin.NAMES[code]] += 1
    by_size = sorted(counts.items(), key=lambda item: (-sum(item[1].values()), item[0]))
    return {name: dict(counter) for name, counter in by_size}


def languages(keys: Sequence[str], words: csr_matrix, provenance: origin.Provenance) -> dict[str, dict[str, float]]:
    """For each language of the word vectors: its words, and its tokens by provenance.

    ``words`` counts its keys, ``matched`` the ones that yield a token; a token is a language's if one of its words yields it, so
    tokens of several languages count in each. ``known`` is the mean share of a word's matches that are copied or predicted: the
    rest starts from noise.
    ``keys`` are n ``lang:word``, ``words`` (V, n) their matches, ``provenance`` of the V tokens (and rows appended beyond them).
    """
    from scipy.sparse import csr_matrix

    index: dict[str, int] = {}
    parts = (key.partition(":") for key in keys)
    names = (language if mark else STORED.default_language or "" for language, mark, _ in parts)
    of_word = np.array([index.setdefault(name, len(index)) for name in names], dtype=np.int64)
    code = provenance.code[: words.shape[0]]
    is_match = csr_matrix((np.ones(words.nnz, dtype=np.float32), words.indices, words.indptr), shape=words.shape)
    ones = np.ones(len(keys), dtype=np.float32)
    tokens = (is_match @ csr_matrix((ones, (np.arange(len(keys)), of_word)), shape=(len(keys), len(index)))).tocsr()
    kinds = ("copied", "predicted", "drawn")
    counts = {
        kind: np.bincount(tokens[code == origin.NAMES.index(kind)].indices, minlength=len(index)) for kind in kinds
    }
    matches = np.asarray(is_match.sum(axis=0)).ravel()
    good = np.asarray(is_match[np.isin(code, (origin.COPIED, origin.PREDICTED))].sum(axis=0)).ravel()
    share = np.divide(good, matches, out=np.zeros_like(good), where=matches > 0)
    n_words = np.bincount(of_word, minlength=len(index))
    matched = np.bincount(of_word[matches > 0], minlength=len(index))
    total = np.bincount(of_word, weights=share, minlength=len(index))
    return {
        name: {
            "words": int(n_words[i]),
            "matched": int(matched[i]),
            **{kind: int(counts[kind][i]) for kind in kinds},
            "known": round(float(total[i] / max(matched[i], 1)), 4),
        }
        for name, i in sorted(index.items(), key=lambda item: (-n_words[item[1]], item[0]))
    }
