"""Masked-language-model inputs and labels as functions of a key: the same on any rank, worker and machine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

IGNORED = -100
LONGEST_WORD = 8
"""Tokens after which a word is cut for whole-word masking: scripts without spaces would else be one word a sentence."""


@dataclass(frozen=True)
class Masking:
    """Which positions are predicted, and what stands there instead of the token."""

    rate: float = 0.15  # share of the tokens that are predicted
    mask_share: float = 0.8  # of these, the share replaced by the mask token
    random_share: float = 0.1  # and by a random token; the rest stays as it is
    whole_words: bool = False  # choose words instead of tokens

    def __post_init__(self) -> None:
        if not 0.0 < self.rate < 1.0:
            raise ValueError(f"a masking rate of {self.rate} is not between 0 and 1")
        if min(self.mask_share, self.random_share) < 0.0 or self.mask_share + self.random_share > 1.0:
            raise ValueError("mask_share and random_share must be shares of one whole")


@dataclass(frozen=True)
class TokenTable:
    """What masking must know of a tokenizer.

    Attributes:
        special: (V,) bool, tokens that are never predicted, nor put in place of another.
        continuation: (V,) bool, tokens that continue the word before them.
        mask_id: of the mask token, or None where the tokenizer has none.
    """

    special: NDArray[np.bool_]
    continuation: NDArray[np.bool_]
    mask_id: int | None

    @property
    def ordinary(self) -> NDArray[np.int64]:
        """Ids of the tokens that are not special."""
        return np.flatnonzero(~self.special)


class Masker:
    """Applies a :class:`Masking` to sequences."""

    def __init__(self, masking: Masking, table: TokenTable) -> None:
        """Raise ``ValueError`` if the tokenizer has no mask token."""
        if table.mask_id is None:
            raise ValueError("the tokenizer has no mask token")
        self.masking, self.table = masking, table
        self.mask_id = table.mask_id
        self.ordinary = table.ordinary

    def __call__(
        self, ids: NDArray[np.integer], segments: NDArray[np.integer], key: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Inputs and labels (L,) of one sequence; labels are -100 where nothing is predicted.

        Args:
            ids: (L,) token ids.
            segments: (L,) document indices, -1 at padding.
            key: decides every choice; derive it from (seed, visit, sample id).
        """
        chance, action, replacement = _uniforms(key, 3, len(ids))
        candidate = ~self.table.special[ids] & (segments >= 0)
        if self.masking.whole_words:
            chance = chance[_word_starts(self.table.continuation[ids], candidate, segments)]
        chosen = candidate & (chance < self.masking.rate)
        labels = np.where(chosen, ids, IGNORED).astype(np.int64)
        inputs = np.array(ids, dtype=np.int64)
        masked = chosen & (action < self.masking.mask_share)
        randomised = chosen & ~masked & (action < self.masking.mask_share + self.masking.random_share)
        inputs[masked] = self.mask_id
        picks = (replacement[randomised] * len(self.ordinary)).astype(np.int64)
        inputs[randomised] = self.ordinary[picks]
        return inputs, labels


def _uniforms(key: int, rows: int, length: int) -> NDArray[np.float64]:
    """Numbers in [0, 1), (rows, length), from the counter-based generator Philox; its raw output never changes."""
    raw = np.random.Philox(key=key).random_raw(rows * length)
    return ((raw >> np.uint64(11)).astype(np.float64) * 2.0**-53).reshape(rows, length)


def _word_starts(
    continuation: NDArray[np.bool_], candidate: NDArray[np.bool_], segments: NDArray[np.integer]
) -> NDArray[np.int64]:
    """Index of the first token of each token's word, (L,)."""
    index = np.arange(len(continuation))
    starts = ~(continuation & candidate)
    starts[0] = True
    starts[1:] |= ~candidate[:-1] | (segments[1:] != segments[:-1])
    first = np.maximum.accumulate(np.where(starts, index, 0))
    return first + (index - first) // LONGEST_WORD * LONGEST_WORD
