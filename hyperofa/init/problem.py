"""What a method of initialisation is given: source rows, word vectors, and which tokens they belong to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from hyperofa.base.rows import RowTable
from hyperofa.init.languages import CentredVectors, known_words
from hyperofa.init.linalg import VectorTable, normalise_rows, sparse_times_vectors

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from scipy.sparse import csr_matrix
    from torch import Tensor

    from hyperofa.init.donor.token_vectors import TokenVectors


class FrozenModel(Protocol):
    """The source model on text under its own tokenizer, where some of its tokens have other rows."""

    unit: str
    scored: bool
    beside: float

    def holds(self, tokenizer: Any, size: int) -> np.ndarray:
        """Which tokens of a tokenizer the text holds."""

    def begin(self, learned: np.ndarray, held: np.ndarray) -> bool:
        """See :meth:`hyperofa.init.refine.source_loss.SourceLoss.begin`; so for all that follow."""

    def at_work(self) -> AbstractContextManager[None]:
        """Within it, losses can be asked for."""

    def batch(self, step: int) -> list[np.ndarray]:
        """The lines of a step."""

    def loss(self, lines: list[np.ndarray], ids: np.ndarray, rows: Tensor) -> Tensor:
        """The loss where the tokens ``ids`` have ``rows``."""

    def held_out(self, held: np.ndarray, rows_of: Callable[[np.ndarray], Tensor]) -> float:
        """The loss on kept-out lines."""


@dataclass(frozen=True)
class Problem:
    """One matrix of rows to extend: the source's, and the words of source and target tokens.

    A method predicts rows for ``predict_ids``: the target tokens that are not in the source vocabulary, and of which something
    is known that it predicts from (``Method.knows``): words, source pieces that spell them, or a donor's row.

    Attributes:
        rows: (V_s, r): the source's coordinates (or its embeddings as they are stored, where not factorised). ``rows[ids]`` is
            float32; all of them at once (``numpy.asarray(rows)``) may be gigabytes. An array is taken too.
        vectors: (n, d) word vectors, memory-mapped.
        source_words: (V_s, n) CSR: which words match which source token; weights are the token's share of the word.
        target_words: (V_t, n) CSR, likewise.
        source_ids: (V_t,) int64: the source token that each target token is, or -1.
        predict_ids: (m,) int64: the target tokens to predict, ascending.
        source_groups: (V_s,) int64: tokens of equal lower-cased surface share a group, so that a held-out split by group
            does not leak (``dog``, ``Dog``, `` dog``).
        pieces: (V_t, V_s) CSR: which source pieces spell each new token; a token's weights sum to 1, and it has none where it is
            copied, special, or cannot be spelled, nor where neither the method nor ``rest`` asks for pieces. None in the held-out
            check.
        donor: rows of a donor for tokens of both vocabularies; None where there is no donor.
        evidence: (m,) int8: what the row of each token to predict is taken to be made of, bits of
            :data:`hyperofa.init.provenance.EVIDENCE`. A method that knows better writes into it.
        languages: (n,) int64: words of one language share a number; None where the words' languages are not known.
        language_codes: (L,) what the languages of these numbers are called.
        word_counts: (n,) int64: how often each word was seen where its vector was learnt; None where that is not known.
        source_spellings, target_spellings: (V_s, n) and (V_t, n) CSR: in how many spellings of a word the tokenizer as it stands
            meets the token, for methods that ask for it (``Method.spellings``; None for the others).
        source_tokenizer, target_tokenizer: for methods that need the tokens' text (``Method.reads_text``); None in the held-out
            check of others.
        causal: the model is a decoder; ``tied``: the rows are also those of its head.
        judge: the frozen model's loss (lower is better) on text that was kept out, with rows (m, r) for ``predict_ids``; None
            where there is no text.
        model: the source model on that text under its own tokenizer, for methods that learn through it; None likewise.
        seed: of every random draw.
        settings: the method's own settings, an instance of ``Method.settings``.
        work: a folder where a method that takes long may keep its state; None keeps none.
        notes: what a method wants recorded in ``init.json``, filled while it predicts.
    """

    rows: RowTable
    vectors: np.ndarray
    source_words: csr_matrix
    target_words: csr_matrix
    source_ids: np.ndarray
    predict_ids: np.ndarray
    source_groups: np.ndarray
    pieces: csr_matrix | None = None
    donor: TokenVectors | None = None
    evidence: np.ndarray = None  # type: ignore[assignment]
    languages: np.ndarray | None = None
    language_codes: tuple[str, ...] = ("",)
    word_counts: np.ndarray | None = None
    source_spellings: csr_matrix | None = None
    target_spellings: csr_matrix | None = None
    source_tokenizer: Any = None
    target_tokenizer: Any = None
    causal: bool = False
    tied: bool = False
    judge: Callable[[np.ndarray], float] | None = None
    model: FrozenModel | None = None
    seed: int = 0
    settings: Any = None
    work: Path | None = None
    notes: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Look at ``rows`` as a table, also where an array is given; no evidence, where none is given."""
        object.__setattr__(self, "rows", RowTable.of(self.rows))
        if self.evidence is None:
            object.__setattr__(self, "evidence", np.zeros(len(self.predict_ids), dtype=np.int8))

    @cached_property
    def anchor_ids(self) -> np.ndarray:
        """(a,) int64: the source tokens that have words, from which methods learn."""
        return np.flatnonzero(np.diff(self.source_words.indptr) > 0)

    @cached_property
    def anchor_rows(self) -> RowTable:
        """(a, r): the rows of the anchors, read like ``rows``."""
        return self.rows.take(self.anchor_ids)

    @cached_property
    def anchor_subwords(self) -> np.ndarray:
        """(a, d) float32, unit rows: mean word vector of each anchor (OFA's subword vectors)."""
        return subword_vectors(self.source_words, self.anchor_ids, self.vectors)

    @property
    def spellings(self) -> tuple[csr_matrix, csr_matrix]:
        """Of source and target: in how many spellings of a word each token is met; 1 for each match where none were asked for."""
        if self.source_spellings is not None and self.target_spellings is not None:
            return self.source_spellings, self.target_spellings
        once = [words.astype(np.float32).copy() for words in (self.source_words, self.target_words)]
        for words in once:
            words.data[:] = 1
        return once[0], once[1]

    @cached_property
    def predict_subwords(self) -> np.ndarray:
        """(m, d) float32, unit rows: mean word vector of each token to predict."""
        return subword_vectors(self.target_words, self.predict_ids, self.vectors)

    @cached_property
    def word_languages(self) -> np.ndarray:
        """(n,) int64: ``languages``, or one for all words."""
        return np.zeros(len(self.vectors), dtype=np.int64) if self.languages is None else self.languages

    @cached_property
    def centred_vectors(self) -> CentredVectors:
        """The word vectors about the mean of their language."""
        return CentredVectors.of(self.vectors, self.word_languages)

    @cached_property
    def known_words(self) -> np.ndarray:
        """(n,) float32: how much each word says about what the source's tokens mean."""
        return known_words(self.source_words, self.word_languages)

    def rng(self, *stream: int) -> np.random.Generator:
        """A generator of its own for each use: seeded by (seed, stream)."""
        return np.random.default_rng([self.seed, *stream])


def subword_vectors(words: csr_matrix, ids: np.ndarray, vectors: VectorTable, *, power: float = 0.0) -> np.ndarray:
    """Mean word vector of each token ``ids`` (m,), as unit rows (m, d) float32 (OFA, §3.2).

    ``power`` is of the weights in ``words``: where they are the token's share of a word, 0 is the plain mean, and larger values
    trust words that the token makes up more.
    """
    chosen = words[ids].astype(np.float32)
    chosen.data = chosen.data**power if power else np.ones_like(chosen.data)
    totals = np.asarray(chosen.sum(axis=1)).ravel()
    product = sparse_times_vectors(chosen, vectors)
    return normalise_rows(product / np.maximum(totals, 1e-12)[:, None])
