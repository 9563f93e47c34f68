"""Words cut by a tokenizer just as it stands: in how many spellings of a word each token is met, as published code counts it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from hyperofa.base import wordkeys
from hyperofa.vocab.spellings import capital
from hyperofa_eval.base.console import progress_bar
from hyperofa_eval.text.tokenizer import rows_needed

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

_BATCH = 1 << 15


def count_spellings(words: Sequence[str], tokenizer: Any, *, capitalised: bool) -> csr_matrix:
    """In how many spellings of each word each token is met: (V, n) float32, CSR with sorted indices.

    The spellings are the word as it is, with a space before it and, where asked for, capitalised. Each goes through the tokenizer
    as a text of its own would (so a tokenizer that puts a space before every text gives the first two the same tokens, and they
    count twice), and every token of it counts once, an unknown one and a bare boundary too. So the public code of WECHSEL (the
    first two) and OFA (all three) finds the words of a token; :func:`hyperofa.vocab.matching.match` is our own way.

    Args:
        words: n keys ``lang:word``; malformed ones have no token.
        tokenizer: a fast tokenizer (V tokens).
        capitalised: whether to count the third spelling.
    """
    from scipy.sparse import csr_matrix

    scheme = getattr(words, "scheme", wordkeys.STORED)
    size = rows_needed(tokenizer)
    total = csr_matrix((len(words), size), dtype=np.float32)
    backend = tokenizer.backend_tokenizer
    for kind in ("plain", "spaced", "capital") if capitalised else ("plain", "spaced"):
        indptr, indices = [np.zeros(1, dtype=np.int64)], [np.zeros(0, dtype=np.int32)]
        with _whole(backend), progress_bar(f"cutting words ({kind})", len(words)) as advance:
            for start in range(0, len(words), _BATCH):
                block = [_spelling(scheme.parse(key), scheme, kind) for key in words[start : start + _BATCH]]
                cut = backend.encode_batch_fast(block, add_special_tokens=False)
                token_ids = [np.unique(np.asarray(item.ids, dtype=np.int32)) for item in cut]
                indptr.append(np.array([len(ids) for ids in token_ids], dtype=np.int64))
                indices.append(np.concatenate(token_ids))  # one array a block: millions of small ones are heavy
                advance(len(block))
        ends = np.cumsum(np.concatenate(indptr))
        flat = np.concatenate(indices)
        total = total + csr_matrix((np.ones(len(flat), np.float32), flat, ends), shape=total.shape)
    by_token = total.T.tocsr()
    by_token.sort_indices()
    return by_token


@contextmanager
def _whole(backend: Any) -> Iterator[None]:
    """Neither cut texts off nor fill them up, whatever the tokenizer's file asks for."""
    truncation, padding = backend.truncation, backend.padding
    backend.no_truncation()
    backend.no_padding()
    try:
        yield
    finally:
        if truncation is not None:
            backend.enable_truncation(**truncation)
        if padding is not None:
            backend.enable_padding(**padding)


def _spelling(parsed: tuple[str, str] | None, scheme: wordkeys.KeyScheme, kind: str) -> str:
    if parsed is None:
        return ""
    language, word = parsed
    text, _ = scheme.spoken(word)
    if kind == "capital":
        return capital(text, language)
    return f" {text}" if kind == "spaced" else text
