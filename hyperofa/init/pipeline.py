"""The stages of an initialisation: overlap, match, factorise, predict, learn, assemble, report, verdict."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from hyperofa.base.files import sha256_tree
from hyperofa.base.rows import RowTable
from hyperofa.init import provenance as origin
from hyperofa.init.evidence import Inputs, Known, Places, make_problem, read_inputs, trace_rows
from hyperofa.init.factorize import factorize
from hyperofa.init.kept_work import Stages, digest
from hyperofa.init.new_rows import ExtendedMatrix, extend_bias, extend_rows, pad, predict_rows
from hyperofa.init.quality.record import quality_of, record_of

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

    from hyperofa.init.problem import Problem
    from hyperofa.init.refine.refining import Learning
    from hyperofa.init.registry import Resolved


Made = tuple["PreTrainedModel", Any, dict[str, Any], origin.Provenance]
"""The extended model in memory, its tokenizer, what ``init.json`` holds, and where its rows come from."""


def extend_model(places: Places, resolved: Resolved) -> Made:
    """The model with the embeddings of the target vocabulary.

    Work that takes long (matching, predicted rows, the hypernetwork's epochs, the refinement's steps) is kept in
    ``places.work`` where that is given, so an interrupted run goes on where it was. Two runs with one seed give the same.

    Raises:
        InputError: a setting, the tokenizer or the vectors do not fit.
        DataMissingError: an input is not there.
        HyperofaError: work cannot be kept.
    """
    from hyperofa_eval.base.cpu import denormals_flushed, onednn_products

    # Both before anything else: an interrupted run must multiply like an undisturbed one.
    with onednn_products(), denormals_flushed():
        return _extend(places, resolved, read_inputs(places, resolved))


def _extend(places: Places, resolved: Resolved, inputs: Inputs) -> Made:
    from hyperofa.model import assemble
    from hyperofa.vocab.overlap import find_overlap
    from hyperofa_eval.base.cpu import return_freed_memory

    settings, options, source, work = resolved.settings, resolved.options, inputs.source, places.work
    source_tokenizer, target_tokenizer = inputs.source_tokenizer, inputs.target_tokenizer
    fold_case = settings.fold_case or getattr(options, "fold_case", False)
    overlap = find_overlap(
        source_tokenizer, target_tokenizer, fold_case=fold_case, fold_boundary=settings.fold_boundary
    )
    source_ids = overlap.source_ids if getattr(options, "copies", True) else overlap.special_ids
    words, known, provenance = trace_rows(places, resolved, inputs, source_ids)
    learning = _learning(inputs, provenance, settings.seed)
    stages = None if work is None else Stages(work, _decided_by(places, resolved, inputs, known, provenance))

    def extend(embeddings: Tensor, stream: int) -> tuple[ExtendedMatrix, Problem]:
        factors = factorize(
            embeddings[: inputs.source_rows],  # rows beyond the tokenizer were never trained
            rank=settings.rank,
            energy=settings.energy,
            scale_split=resolved.scale_split,
            algorithm=settings.factorization,
            seed=settings.seed,
        )
        state = work and work / f"hypernet-{stream}"
        problem = make_problem(factors.coordinates, words, known, provenance, inputs, resolved, state)
        if learning is not None and stream == 0:
            learning.see(factors)
            problem = dataclasses.replace(
                problem, judge=learning.judge(problem, factors), model=learning.source_loss(factors)
            )

        def predict() -> tuple[dict[str, np.ndarray], dict[str, Any]]:
            rows = predict_rows(resolved.method, problem, provenance)
            return {"rows": rows, "evidence": problem.evidence}, problem.notes

        keep = stages if len(problem.predict_ids) else None  # where nothing is predicted, nothing is left behind
        predicted, notes = predict() if keep is None else keep.arrays(f"predicted-{stream}", predict)
        return_freed_memory()  # a network's, of which a wide source's matrices could make no use
        first = provenance.evidence[problem.predict_ids] if stream else 0  # an untied head's rows add theirs
        provenance.evidence[problem.predict_ids] = first | predicted["evidence"]
        return ExtendedMatrix(extend_rows(problem, provenance, predicted["rows"], stream), factors, notes), problem

    both = (source.input_embeddings, source.output_embeddings)
    matrices = [extend(embeddings, stream) for stream, embeddings in enumerate(both) if embeddings is not None]
    learned = None
    if learning is not None:
        matrices, learned = learning.learn(matrices, work)
    first, *untied = [extended for extended, _ in matrices]
    provenance, padded = pad(provenance, [matrix for matrix, _ in matrices], settings.pad_to_multiple)
    model = assemble(
        source,
        target_tokenizer,
        coordinates=padded[0],
        primitives=_tensor(first.factors.primitives),
        output_coordinates=padded[1] if untied else None,
        output_primitives=_tensor(untied[0].factors.primitives) if untied else None,
        head_bias=_tensor(extend_bias(source, provenance, target_tokenizer, inputs.source_rows)),
    )
    report = record_of(places, resolved, source, [matrix for matrix, _ in matrices], provenance, overlap.counts)
    report |= {"refine": learned, "quality": quality_of(resolved, matrices, words, provenance), "verdict": None}
    if settings.verdict and (settings.text or settings.parallel):
        from hyperofa.init.quality.verdict import verdict_of

        sides = (source, source_tokenizer, model, target_tokenizer)
        report["verdict"] = verdict_of(*sides, inputs.text.verdict, settings.seed, inputs.prompt)
    return model, target_tokenizer, report, provenance


def _learning(inputs: Inputs, provenance: origin.Provenance, seed: int) -> Learning | None:
    """How new rows learn; None where they do not."""
    if inputs.refinement is None:
        return None
    from hyperofa.init.refine.refining import Learning

    tokenizers = (inputs.source_tokenizer, inputs.target_tokenizer)
    learning = Learning(inputs.refinement, tokenizers, inputs.source_rows, provenance, seed)
    return learning if learning.possible else None


def _decided_by(
    places: Places, resolved: Resolved, inputs: Inputs, known: Known, provenance: origin.Provenance
) -> dict[str, Any]:
    """All that decides the predicted rows."""
    names = ("method", "rank", "energy", "factorization", "fold_case", "fold_boundary", "seed", "rest")
    settings = {name: getattr(resolved.settings, name) for name in names}
    tokenizers = (inputs.source_tokenizer, inputs.target_tokenizer)
    embeddings = (inputs.source.input_embeddings, inputs.source.output_embeddings)
    return {
        "settings": settings | {"split": resolved.scale_split, "options": vars(resolved.options)},
        "method_file": sha256_tree(resolved.method.file) if resolved.method.file is not None else None,
        "embeddings": digest(*(None if e is None else RowTable(e) for e in embeddings)),
        "tokenizers": [digest(np.frombuffer(t.backend_tokenizer.to_str().encode(), np.uint8)) for t in tokenizers],
        # Roles of special tokens are not in a tokenizer's own file.
        "provenance": digest(provenance.code, provenance.source_id, provenance.evidence),
        "donor": known.donor and digest(known.donor.rows, known.donor.source_ids, known.donor.target_ids),
        "vectors": sha256_tree(places.vectors) if places.vectors else None,
        "judge": inputs.refinement and [inputs.refinement.digest(), inputs.refinement.body.digest()],
    }


def _tensor(array: np.ndarray | None) -> Any:
    import torch

    return None if array is None else torch.from_numpy(np.ascontiguousarray(array))
