"""Methods that average source rows: ``mean`` of all, ``subword-mean`` of the pieces that spell the token."""

from __future__ import annotations

import numpy as np

from hyperofa.init.method import Method
from hyperofa.init.problem import Problem


def mean(problem: Problem) -> np.ndarray:
    """The mean source row for every new token: all are equal until training parts them."""
    return np.broadcast_to(problem.rows.mean(axis=0), (len(problem.predict_ids), problem.rows.shape[1])).copy()


def subword_mean(problem: Problem) -> np.ndarray:
    """The mean row of the source pieces that the token's text splits into; unknown pieces count for nothing.

    A token whose text yields only unknown pieces gets the mean source row. A token that stands inside words is spelled by
    pieces that do (``##ing``).
    """
    from hyperofa.vocab.contexts import spell
    from hyperofa.vocab.surfaces import token_surfaces

    source, surfaces = problem.source_tokenizer, token_surfaces(problem.target_tokenizer)
    new = [surfaces[token] for token in problem.predict_ids]
    texts = [surface.text.decode("utf-8", errors="ignore") for surface in new]
    pieces = spell(source, texts, [surface.boundary for surface in new])
    unknown = source.unk_token_id
    fallback = problem.rows.mean(axis=0)
    rows = np.empty((len(pieces), problem.rows.shape[1]), dtype=np.float32)
    for index, ids in enumerate(pieces):
        known = [i for i in ids if i != unknown and i < len(problem.rows)]
        rows[index] = problem.rows[known].mean(axis=0) if known else fallback
    return rows


MEAN = Method("mean", "the mean source row for every new token", mean, uses_words=False)
SUBWORD_MEAN = Method(
    "subword-mean", "mean of the source pieces of the token's text", subword_mean, reads_text=True, uses_words=False
)
