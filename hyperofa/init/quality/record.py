"""What ``init.json`` records of an initialisation: what made it, counts, and the quality report of both matrices."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hyperofa.base.files import made_by, named_inputs
from hyperofa.init.quality.geometry import matrix_figures, quality_report
from hyperofa.init.quality.held_out import held_out_check
from hyperofa.init.registry import Method, method_file

if TYPE_CHECKING:
    from hyperofa.init import provenance as origin
    from hyperofa.init.evidence import Words
    from hyperofa.init.new_rows import Extended
    from hyperofa.init.pipeline import InitConfig
    from hyperofa.init.problem import Problem
    from hyperofa.model import Source


def quality_of(
    config: InitConfig,
    method: Method,
    matrices: list[tuple[Extended, Problem]],
    words: Words | None,
    found: origin.Provenance,
    model: Any,
    texts: dict[str, list[str]],
) -> dict[str, Any]:
    """The quality report: of the input matrix, under ``output`` of an untied head's (None where tied), and of the model."""
    from hyperofa.init.quality.coverage import languages
    from hyperofa.init.quality.text_loss import text_loss

    trains = "checkpoint" in method.options
    size = (0 if trains else 1000) if config.held_out is None else config.held_out
    (inputs, problem), *others = matrices
    report = quality_report(inputs, found, problem.source_tokenizer, problem.target_tokenizer, config.seed)
    report["languages"] = languages(words.keys, words.target, found) if words else {}
    report["held_out"] = held_out_check(method, problem, size)
    report["text_loss"] = text_loss(model, problem.target_tokenizer, texts, seed=config.seed)
    report["output"] = None
    for outputs, asked in others:
        checked = {"held_out": held_out_check(method, asked, size)}
        report["output"] = matrix_figures(outputs, found, config.seed) | checked
    return report


def record_of(
    config: InitConfig,
    options: dict[str, Any],
    source: Source,
    matrices: list[Extended],
    found: origin.Provenance,
    met: dict[str, int],
) -> dict[str, Any]:
    """What was made of what; nothing in it depends on when or how fast, so two runs with one seed write the same."""
    folders = {"source": config.source, "tokenizer": str(config.tokenizer)}
    given = {name: Path(folder) for name, folder in folders.items() if Path(folder).is_dir()}
    given |= {"vectors": config.vectors} if config.vectors else {}
    given |= named_inputs("parallel", config.parallel)
    for language, paths in config.text.items():
        given |= named_inputs(f"text/{language}", paths)
    file = method_file(config.method)
    given |= {"method": file} if file is not None else {}
    inputs = {"source", "tokenizer", "vectors", "out", "parallel", "text"}
    settings = {key: value for key, value in dataclasses.asdict(config).items() if key not in inputs}
    settings |= {name: folder for name, folder in folders.items() if name not in given}  # hub ids
    first, *others = matrices
    record = {
        "method": config.method,
        "preset": options.get("preset"),
        "rank": _rank(first),
        "energy": first.factors.energy,
        "counts": found.counts,
        "overlap": met,
        "head": {"is_new": source.head_is_new, "tied": source.output_embeddings is None},
        "method_notes": first.notes,
        "output": None,
        "made_by": made_by("hyperofa init", given, settings | {"options": options}),
    }
    for outputs in others:
        record["output"] = {
            "rank": _rank(outputs),
            "energy": outputs.factors.energy,
            "method_notes": outputs.notes,
        }
    return record


def _rank(matrix: Extended) -> int | None:
    return None if matrix.factors.primitives is None else matrix.factors.rank
