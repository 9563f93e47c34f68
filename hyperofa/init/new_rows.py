"""The extended matrices and the head's bias: copied, predicted and drawn rows, and rows appended as padding."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hyperofa.base.rows import RowTable, write_rows
from hyperofa.init import provenance as origin
from hyperofa.init.factorize import Factorization
from hyperofa.init.method import Method, run_method
from hyperofa.init.methods.drawn import draw_like
from hyperofa.init.methods.means import mean_of_pieces
from hyperofa.init.problem import Problem

if TYPE_CHECKING:
    from torch import Tensor

    from hyperofa.model import Source


@dataclass(frozen=True)
class ExtendedMatrix:
    """One extended matrix: rows (V_t, r) in the dtype of the source's, how that was factorised, and what the method noted."""

    rows: RowTable
    factors: Factorization
    notes: dict[str, Any]


def predict_rows(method: Method, problem: Problem, provenance: origin.Provenance) -> np.ndarray:
    """(m, r) float32 rows of all predicted tokens of ``provenance``: the method's, and means of pieces for those it is not given.

    Raises:
        InputError: as :func:`hyperofa.init.method.run_method`.
    """
    predicted = np.flatnonzero(provenance.code == origin.PREDICTED)
    own = np.isin(predicted, problem.predict_ids)
    rows = np.empty((len(predicted), problem.rows.shape[1]), dtype=np.float32)
    rows[own] = run_method(method, problem)
    if not own.all():
        rows[~own] = mean_of_pieces(problem, predicted[~own])
    return rows


def extend_rows(problem: Problem, provenance: origin.Provenance, predicted: np.ndarray, stream: int) -> RowTable:
    """The target matrix (V_t, r): copied rows, ``predicted`` (m, r) ones, and draws for the rest (HyperOFA, §3.4).

    It has the dtype of the source's rows, and copied rows have the same bits. The draws depend on the seed alone: every method
    has the same rows wherever it does not predict. ``stream`` tells the input matrix (0) from an untied output matrix (1).
    """
    import torch

    source, source_ids = problem.rows, provenance.source_id
    copied = np.flatnonzero(source_ids >= 0)
    predicted_ids = np.flatnonzero(provenance.code == origin.PREDICTED)
    drawn = np.setdiff1d(np.arange(len(source_ids)), np.append(copied, predicted_ids))
    rows = torch.empty((len(source_ids), source.shape[1]), dtype=source.stored.dtype)
    write_rows(rows, copied, source.take(source_ids[copied]))
    write_rows(rows, predicted_ids, predicted)
    write_rows(rows, drawn, draw_like(source, drawn, np.random.default_rng([problem.seed, 100 + stream])))
    return RowTable(rows)


def extend_bias(source: Source, provenance: origin.Provenance, tokenizer: Any, tokens: int) -> np.ndarray | None:
    """The head's bias per token (V_t,), or None where the source's head has none.

    Copied tokens keep theirs, by token and not by index; new ones get the mean of the source's (a new token is not frequent
    before it is trained). A head that is made new starts at the tokenizer's unigram log-probabilities where it has them
    (SentencePiece unigram), so that training need not learn frequencies through the tied embeddings; else at 0.

    ``tokenizer`` is the target's; entries of the source beyond its own ``tokens`` were never trained and count for nothing.
    """
    if source.head_bias is None:
        return None
    old = source.head_bias.numpy()[:tokens]
    if source.head_is_new:
        return _unigram_bias(tokenizer, provenance)
    bias = np.full(len(provenance.code), old.mean(), dtype=np.float32)
    copied = provenance.source_id >= 0
    bias[copied] = old[provenance.source_id[copied]]
    bias[provenance.code == origin.PADDING] = old.min()
    return bias


def _unigram_bias(tokenizer: Any, provenance: origin.Provenance) -> np.ndarray:
    bias = np.zeros(len(provenance.code), dtype=np.float32)
    vocabulary = json.loads(tokenizer.backend_tokenizer.to_str())["model"].get("vocab")
    if not isinstance(vocabulary, list):
        return bias
    scores = np.array([score for _, score in vocabulary], dtype=np.float32)[: len(bias)]
    bias[:] = scores.min()
    # Bytes and pieces that a user defined have the score 0, which would be the logarithm of certainty.
    bias[: len(scores)] = np.where(scores < 0, scores, scores.min())
    bias[(provenance.code == origin.SPECIAL) | (provenance.code == origin.PADDING)] = scores.min()
    return bias


def pad(
    provenance: origin.Provenance, matrices: list[ExtendedMatrix], multiple: int
) -> tuple[origin.Provenance, list[Tensor]]:
    """Append rows (the mean row) until the number of rows is a multiple of ``multiple``."""
    extra = -len(provenance.code) % multiple
    if not extra:
        return provenance, [matrix.rows.stored for matrix in matrices]
    import torch

    longer = origin.Provenance(
        np.append(provenance.code, np.full(extra, origin.PADDING, dtype=np.int8)),
        np.append(provenance.source_id, np.full(extra, -1, dtype=np.int64)),
        np.append(provenance.n_words, np.zeros(extra, dtype=np.int32)),
        np.append(provenance.evidence, np.zeros(extra, dtype=np.int8)),
    )
    stored = [matrix.rows.stored for matrix in matrices]
    means = [torch.from_numpy(matrix.factors.coordinates.mean()) for matrix in matrices]
    below = [mean.to(rows.dtype).expand(extra, -1) for mean, rows in zip(means, stored, strict=True)]
    return longer, [torch.cat(both) for both in zip(stored, below, strict=True)]
