"""Where the head's bias starts: at how often the run will ask for each token."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hyperofa.corpus.batches import Batches, causal_labels
from hyperofa.errors import InputError

SAMPLED_TOKENS = 1 << 22
"""Tokens that are counted at most: the first ones that the run will read."""


def start_at_frequencies(model: Any, batches: Batches, steps: int) -> None:
    """Set the bias of the head of a :class:`hyperofa.model.TrainingModel` to the logarithms of the tokens' frequencies.

    The head then predicts the corpus's distribution from the first step on, and training need not learn it, through the bias
    and, worse, through rows that are tied to the head.

    Args:
        model: the model before its optimizer is made; under ZeRO-3 its parameters are shards already.
        batches: what the run will read; the same on all ranks, so their biases are too.
        steps: the run's.

    Raises:
        InputError: the head has no bias, or the text has no token that is ever predicted.
    """
    from hyperofa.model.families import output_head

    bias = output_head(model.pretrained).bias
    if bias is None:
        what = f"head_bias is corpus, but the head of a {model.family.model_type} model has no bias"
        raise InputError(what, where="config", todo="leave head_bias out")
    frequencies = log_frequencies(*token_counts(batches, steps))
    gathered: Any = nullcontext()
    if hasattr(bias, "ds_shape"):  # under ZeRO-3 a shard: what is written in the block stays
        import deepspeed

        gathered = deepspeed.zero.GatheredParameters(bias, modifier_rank=0)
    with gathered, torch.no_grad():
        values = np.full(len(bias), -np.inf)  # its rows may be more than the tokenizer's
        values[: len(frequencies)] = frequencies
        values[~np.isfinite(values)] = values[np.isfinite(values)].min()
        bias.copy_(torch.from_numpy(values).to(bias))


def token_counts(batches: Batches, steps: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """How often each token (V,) stands where it may have to be predicted, and which tokens ever may.

    Counted in the sequences of the first steps, :data:`SAMPLED_TOKENS` at most. A masked model never predicts special tokens, a
    causal one no first token of a document.

    Raises:
        InputError: there is none.
    """
    corpus = batches.corpus
    causal = batches.masker is None
    possible = np.ones(corpus.vocab_size, dtype=bool) if causal else ~corpus.tokens.special
    counts, seen = np.zeros(corpus.vocab_size, dtype=np.int64), 0
    for step in range(steps):
        ids, segments = corpus.rows(batches.draws(step)[0])
        labels = causal_labels(ids, segments) if causal else np.where(segments < 0, -1, ids)
        counts += np.bincount(labels[labels >= 0], minlength=len(counts))
        seen += labels.size
        if seen >= SAMPLED_TOKENS:
            break
    counts[~possible] = 0
    if not counts.any():
        what = "no token that could be predicted in the sequences of this run"
        raise InputError(what, where=corpus.directory, todo="leave head_bias out")
    return counts, possible


def log_frequencies(counts: NDArray[np.int64], possible: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Logarithms (V,) of the tokens' probabilities, -inf where a token is not ``possible``.

    Unseen tokens share the probability of what was seen once (Good 1953, The population frequencies of species), taken to be
    one token at least.
    """
    total, seen = counts.sum(), counts > 0
    unseen = possible & ~seen
    logarithms = np.full(len(counts), -np.inf)
    left = 0.0
    if unseen.any():
        left = max(int((counts == 1).sum()), 1) / (total + 1)
        logarithms[unseen] = np.log(left / unseen.sum())
    logarithms[seen] = np.log(counts[seen] / total * (1 - left))
    return logarithms
