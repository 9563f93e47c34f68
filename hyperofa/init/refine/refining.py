"""The stage of ``hyperofa init`` that refines the input matrix: which rows may move, with what text, on what device."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hyperofa.base.device import device_named
from hyperofa.data.parallel import ParallelText, read_parallel
from hyperofa.init import provenance as origin
from hyperofa.init.problem import subword_vectors
from hyperofa.init.refine.body import Body
from hyperofa.init.refine.distill import Distill
from hyperofa.init.refine.learn import Objective, refine
from hyperofa.init.refine.learned_rows import Start
from hyperofa.init.refine.settings import RefineConfig
from hyperofa.init.refine.translations import Parallel, check_pivot

if TYPE_CHECKING:
    from hyperofa.init.new_rows import ExtendedMatrix
    from hyperofa.init.problem import Problem
    from hyperofa.model import Source


class Refinement(NamedTuple):
    """A refinement whose settings fit the source and the text: what :func:`refine_inputs` needs beside the rows."""

    config: RefineConfig
    body: Body
    parallel: ParallelText | None
    texts: dict[str, list[str]]


def prepare(config: RefineConfig, source: Source, parallel: Sequence[Path], texts: dict[str, list[str]]) -> Refinement:
    """Read the text and check it and the settings against the source, before any work is done.

    Raises:
        InputError: the source has no such block, the text is not aligned, or has no translations of the pivot.
        DataMissingError: the text is not there.
    """
    body = Body(source, config.layer, device_named(config.device, "refinement"))
    text = read_parallel(list(parallel)) if parallel else None
    if config.kind == "parallel" and text is not None:
        check_pivot(text, config.pivot)
    config = dataclasses.replace(config, max_length=min(config.max_length, body.longest))
    return Refinement(config, body, text, texts)


def refine_inputs(
    extended: ExtendedMatrix, problem: Problem, found: origin.Provenance, refinement: Refinement, work: Path | None
) -> tuple[ExtendedMatrix, dict[str, Any]]:
    """The input matrix with refined rows, and the record for ``init.json``.

    Predicted and drawn rows move; copied ones and specials do not. An untied output matrix is left as it was predicted: the
    states that are matched do not depend on it.
    """
    config, body, text, texts = refinement
    tokenizers = (problem.source_tokenizer, problem.target_tokenizer)
    objective: Objective
    if config.kind == "parallel" and text is not None:
        objective = Parallel(text, *tokenizers, config, problem.seed)
    else:
        if text is not None:
            texts = {lang: [*texts.get(lang, []), *text.texts.get(lang, {}).values()] for lang in {*texts, *text.texts}}
        objective = Distill(texts, *tokenizers, config, problem.seed)
    predicted = np.flatnonzero((found.code == origin.PREDICTED) & (found.n_words > 0))
    start = Start(
        rows=extended.rows,
        primitives=extended.factors.primitives,
        movable=np.isin(found.code, (origin.PREDICTED, origin.DRAWN)),
        scale=extended.factors.coordinates.std(axis=0),
        predicted_ids=predicted,
        predicted_vectors=subword_vectors(problem.target_words, predicted, problem.vectors, power=1.0),
    )
    rows, record = refine(start, objective, body, config, seed=problem.seed, checkpoint=work and work / "refine")
    return dataclasses.replace(extended, rows=rows), record
