"""What the rows alone tell of an initialisation before anyone trains: norms, similarity, scripts, nearest source tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hyperofa.init import provenance as origin
from hyperofa.init.linalg import normalise_rows
from hyperofa.vocab.surfaces import readable_tokens

if TYPE_CHECKING:
    from hyperofa.init.new_rows import ExtendedMatrix

_SAMPLE = 2000
_SHOWN = 12


def matrix_figures(extended: ExtendedMatrix, provenance: origin.Provenance, seed: int) -> dict[str, Any]:
    """Figures on the rows of one matrix, in the embedding space.

    ``*_norm`` are mean norms; ``*_centred_cosine`` mean cosines between random pairs of rows after the source's mean is
    taken away (near 0 for the source; near 1 means that rows are all alike).
    """
    rng = np.random.default_rng([seed, 200])
    factors = extended.factors
    source = factors.coordinates
    centre = factors.embed(source.mean()[None])
    code = provenance.code[: len(extended.rows)]  # without the rows appended as padding
    report: dict[str, Any] = {}
    for name in ("source", "copied", "predicted", "drawn"):
        rows = source if name == "source" else extended.rows.take(np.flatnonzero(code == origin.NAMES.index(name)))
        embedded = factors.embed(rows[rng.permutation(len(rows))[:_SAMPLE]])
        report[f"{name}_norm"] = _mean(np.linalg.norm(embedded, axis=1))
        report[f"{name}_centred_cosine"] = _pair_cosine(embedded - centre)
    return report


def neighbours(
    extended: ExtendedMatrix, provenance: origin.Provenance, source_tokenizer: Any, target_tokenizer: Any, seed: int
) -> dict[str, list[str]]:
    """The five source tokens nearest to each of a sample of predicted tokens, by cosine about the source's mean."""
    predicted = np.flatnonzero(provenance.code == origin.PREDICTED)
    if not len(predicted):
        return {}
    factors = extended.factors
    mean = factors.coordinates.mean()
    chosen = np.sort(np.random.default_rng([seed, 201]).permutation(predicted)[:_SHOWN])
    queries = normalise_rows(factors.embed(extended.rows[chosen] - mean))
    cosines = np.empty((len(chosen), len(factors.coordinates)), dtype=np.float32)
    # All embedded rows at once would be the most memory of the whole run.
    place = 0
    for block in factors.coordinates.blocks():
        cosines[:, place : place + len(block)] = queries @ normalise_rows(factors.embed(block - mean)).T
        place += len(block)
    holes = np.ones(cosines.shape[1], dtype=bool)
    holes[list(source_tokenizer.get_vocab().values())] = False
    cosines[:, holes] = -np.inf
    indices = np.argsort(-cosines, axis=1, kind="stable")[:, :5]
    tokens = readable_tokens(target_tokenizer, chosen.tolist())
    return {token: readable_tokens(source_tokenizer, ids.tolist()) for token, ids in zip(tokens, indices, strict=True)}


def _pair_cosine(rows: np.ndarray) -> float | None:
    half = len(rows) // 2
    if not half:
        return None
    unit = normalise_rows(rows)
    return _mean(np.einsum("nd,nd->n", unit[:half], unit[half : 2 * half]))


def _mean(values: np.ndarray) -> float | None:
    return round(float(values.mean()), 4) if len(values) else None
