"""Vectors that a donor has for tokens of both vocabularies: evidence of what a token means, as word vectors are."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np

from hyperofa.base.rows import RowTable
from hyperofa.errors import InputError

log = logging.getLogger(__name__)

_LEAST_TARGET, _LEAST_SOURCE = 0.1, 0.01
"""Smaller shares of the target's new tokens, or of the source's tokens, are too few to learn from."""


@dataclass(frozen=True)
class TokenVectors:
    """The rows of a donor, and whose they are.

    Attributes:
        rows: (V_d, d): the donor's input embeddings as they are stored; ``rows[ids]`` is float32.
        source_ids: (V_s,) int64: the donor's token that each source token is, or -1.
        target_ids: (V_t,) int64: likewise of the target tokens.
    """

    rows: RowTable
    source_ids: np.ndarray
    target_ids: np.ndarray

    @property
    def has_source(self) -> np.ndarray:
        """(V_s,) bool: source tokens of which the donor has a row."""
        return self.source_ids >= 0

    @property
    def has_target(self) -> np.ndarray:
        """(V_t,) bool: likewise of the target tokens."""
        return self.target_ids >= 0

    def of_source(self, ids: np.ndarray) -> np.ndarray:
        """(n, d) float32: the donor's rows of the source tokens ``ids`` (n,); 0 where it has none."""
        return self._of(self.source_ids[ids])

    def of_target(self, ids: np.ndarray) -> np.ndarray:
        """(n, d) float32: likewise of the target tokens ``ids`` (n,)."""
        return self._of(self.target_ids[ids])

    def _of(self, own: np.ndarray) -> np.ndarray:
        rows = np.zeros((len(own), self.rows.shape[1]), dtype=np.float32)
        rows[own >= 0] = self.rows[own[own >= 0]]
        return rows

    def without(self, ids: np.ndarray) -> TokenVectors:
        """The same for predicting the source tokens ``ids`` (n,) from the others: the source is the target too."""
        others = self.source_ids.copy()
        others[ids] = -1
        return TokenVectors(self.rows, others, self.source_ids)


def read_donor(
    donor: str, source_tokenizer: Any, target_tokenizer: Any, source_ids: np.ndarray, source_rows: int
) -> TokenVectors:
    """The rows of the model ``donor`` (a directory or hub id) for the tokens of both tokenizers.

    Tokens are met by their bytes and word boundary (:func:`hyperofa.vocab.overlap.find_overlap`). Special tokens, and rows that
    are 0, are left out. ``source_ids`` (V_t,) are the target's tokens in the source, or -1: the donor must know others.
    The source's tokenizer has ids for ``source_rows`` rows.

    Raises:
        InputError: it shares too few tokens with the target or the source, or its rows do not fit its tokenizer.
        DataMissingError: there is no such model.
    """
    from hyperofa.model.pretrained import read_embeddings
    from hyperofa.vocab.overlap import find_overlap
    from hyperofa.vocab.report import load_tokenizer
    from hyperofa.vocab.surfaces import token_surfaces
    from hyperofa_eval.text.tokenizer import rows_needed

    tokenizer = load_tokenizer(donor)
    rows = read_embeddings(donor)
    if rows_needed(tokenizer) > len(rows):
        what = f"the tokenizer has ids for {rows_needed(tokenizer):,} tokens but the model {len(rows):,} embeddings"
        raise InputError(what, where=donor, todo="use the tokenizer that the donor was trained with")
    norms = rows.each(lambda block: np.linalg.norm(block, axis=1))
    if not np.isfinite(norms).all():
        raise InputError("the donor's embeddings hold NaN or infinity", where=donor)

    def met(other: Any, size: int) -> tuple[np.ndarray, np.ndarray]:
        donor_ids = np.full(size, -1, dtype=np.int64)
        ids = find_overlap(tokenizer, other).source_ids
        plain = np.array([surface.kind not in {"special", "hole"} for surface in token_surfaces(other)])
        donor_ids[: len(ids)] = np.where(plain & (ids >= 0) & (norms[ids] > 0), ids, -1)
        return donor_ids, plain

    theirs, of_source = met(source_tokenizer, source_rows)
    ours, of_target = met(target_tokenizer, len(source_ids))
    new = of_target & (source_ids < 0)
    todo = "name a model with the target tokenizer"
    for side, shared, total, least in (
        ("tokens of the source", int((theirs >= 0).sum()), int(of_source.sum()), _LEAST_SOURCE),
        ("new tokens of the target", int((ours[new] >= 0).sum()), int(new.sum()), _LEAST_TARGET),
    ):
        what = f"the donor has {shared:,} of the {total:,} {side}"
        if shared < least * total:
            raise InputError(f"{what}, too few to learn from", where=donor, todo=todo)
        log.info("%s (%s)", what, donor)
    return TokenVectors(rows, theirs, ours)
