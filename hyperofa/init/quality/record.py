"""What ``init.json`` records of an initialisation: what made it, counts, and the quality report of both matrices."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hyperofa.base.files import made_by, named_inputs
from hyperofa.init.quality.geometry import matrix_figures, neighbours
from hyperofa.init.quality.held_out import held_out_check
from hyperofa.init.registry import RECORD_SCHEMA, Resolved
from hyperofa_eval.base.files import read_json
from hyperofa_eval.settings.config import recorded, to_plain

if TYPE_CHECKING:
    from hyperofa.init import provenance as origin
    from hyperofa.init.evidence import Places, Words
    from hyperofa.init.new_rows import ExtendedMatrix
    from hyperofa.init.problem import Problem
    from hyperofa.model import Source


def quality_of(
    resolved: Resolved,
    matrices: list[tuple[ExtendedMatrix, Problem]],
    words: Words | None,
    provenance: origin.Provenance,
) -> dict[str, Any]:
    """The quality report: of the input matrix, and under ``output`` of an untied head's (None where tied)."""
    from hyperofa.init.quality.coverage import languages, scripts

    method, seed, size = resolved.method, resolved.settings.seed, resolved.settings.held_out
    size = method.held_out if size is None else size
    (inputs, problem), *others = matrices
    tokenizers = (problem.source_tokenizer, problem.target_tokenizer)
    report = matrix_figures(inputs, provenance, seed)
    report["scripts"] = scripts(problem.target_tokenizer, provenance)
    report["neighbours"] = neighbours(inputs, provenance, *tokenizers, seed)
    report["languages"] = languages(words.keys, words.target, provenance) if words else {}
    report["held_out"] = held_out_check(method, problem, size)
    report["output"] = None
    for outputs, own in others:
        report["output"] = matrix_figures(outputs, provenance, seed) | {"held_out": held_out_check(method, own, size)}
    return report


def record_of(
    places: Places,
    resolved: Resolved,
    source: Source,
    matrices: list[ExtendedMatrix],
    provenance: origin.Provenance,
    met: dict[str, int],
) -> dict[str, Any]:
    """What was made of what; nothing in it depends on when or how fast, so two runs with one seed write the same."""
    settings = resolved.settings
    folders = {"source": places.source, "tokenizer": places.tokenizer}
    folders |= {"donor": settings.donor} if settings.donor is not None else {}
    inputs = {name: Path(folder) for name, folder in folders.items() if Path(folder).is_dir()}
    hub_ids = {name: folder for name, folder in folders.items() if name not in inputs}
    inputs |= {"vectors": places.vectors} if places.vectors else {}
    inputs |= named_inputs("parallel", settings.parallel)
    for language, paths in settings.text.items():
        inputs |= named_inputs(f"text/{language}", paths)
    inputs |= {"method": resolved.method.file} if resolved.method.file is not None else {}
    settings_record = (
        recorded(settings) | hub_ids | {"scale_split": resolved.scale_split, "options": to_plain(resolved.options)}
    )
    first, *others = matrices
    record = {
        "schema": RECORD_SCHEMA,
        "source": _source_facts(places.source),
        "auto_class": "AutoModelForMaskedLM" if source.family.objective == "mlm" else "AutoModelForCausalLM",
        "method": settings.method,
        "rank": first.factors.rank,
        "energy": first.factors.energy,
        "counts": provenance.counts,
        "evidence": provenance.evidence_counts,
        "overlap": met,
        "head": {"is_new": source.head_is_new, "tied": source.output_embeddings is None},
        "method_notes": first.notes,
        "output": None,
        "made_by": made_by("hyperofa init", inputs, settings_record),
    }
    for outputs in others:
        factors = outputs.factors
        record["output"] = {"rank": factors.rank, "energy": factors.energy, "method_notes": outputs.notes}
    return record


def _source_facts(source: str) -> dict[str, str | None]:
    """The ``name`` of a model without the folders it lies in, and its ``license`` where its card or config says."""
    from huggingface_hub import metadata_load
    from yaml import YAMLError

    from hyperofa.base.hub import local_folder
    from hyperofa_eval.base.hub import is_hub_id

    folder = local_folder(source, ["README.md", "config.json"])
    licenses: list[Any] = []
    # A card is of any hand: what it does not say plainly is left out.
    with suppress(FileNotFoundError, ValueError, AttributeError, YAMLError):
        licenses.append((metadata_load(folder / "README.md") or {}).get("license"))
    if (folder / "config.json").is_file():
        licenses.append(read_json(folder / "config.json").get("license"))
    license = next((one for one in licenses if isinstance(one, str) and one), None)
    return {"name": source if is_hub_id(source) else Path(source).resolve().name, "license": license}
