"""The stages of ``hyperofa init``: overlap, match, factorise, predict, refine, assemble, save, report."""

from __future__ import annotations

import dataclasses
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hyperofa.errors import HyperofaError, InputError
from hyperofa.files import check_output, made_by, new_directory, sha256_tree, write_json
from hyperofa.init import provenance as origin
from hyperofa.init.extend import Extended, extend_bias, extend_rows, pad
from hyperofa.init.factorize import Algorithm, check_settings, factorize
from hyperofa.init.inputs import Words, check_vocabulary, load_tokenizer, make_problem, match_both
from hyperofa.init.registry import Method, find_method, resolve_options
from hyperofa.init.stages import Stages, digest

if TYPE_CHECKING:
    from hyperofa.init.problem import Problem
    from hyperofa.init.refine import RefineConfig
    from hyperofa.model import Source

MARKER = "init.json"


@dataclass(frozen=True)
class InitConfig:
    """What ``hyperofa init`` was asked for.

    Attributes:
        source: model directory, or a hub id the user named.
        tokenizer: directory of the target tokenizer.
        vectors: directory of word vectors; None only for methods that need none.
        out: the model directory to write.
        method: a name of the registry, or ``FILE.py:NAME``.
        rank: columns of the coordinates; None leaves the embeddings unfactorised unless ``energy`` is given.
        energy: instead of a rank, the share of the squared norm to keep.
        scale_split: where the scale of F P goes, 1 = all in F; None is 1, or 0 (the public code's) for ``preset=paper``.
        factorization: how the SVD is computed.
        options: the method's settings.
        refine: ``parallel`` or ``distill``, or None.
        refine_options: settings of :class:`hyperofa.init.refine.RefineConfig`.
        parallel: folders of parallel text, to refine with.
        text: files by language, to distil with and to measure the masked-token loss on.
        held_out: source tokens predicted as if they were new, to see how well the method finds them; None is 1,000, or 0 for
            methods that train for long.
        fold_case, fold_boundary: copy also tokens that differ in case, in boundary.
        pad_to_multiple: append rows until their number is a multiple of this.
        seed: of every draw.
    """

    source: str
    tokenizer: Path
    vectors: Path | None
    out: Path
    method: str = "hyperofa"
    rank: int | None = None
    energy: float | None = None
    scale_split: float | None = None
    factorization: Algorithm = "gram"
    options: dict[str, Any] = field(default_factory=dict)
    refine: str | None = None
    refine_options: dict[str, Any] = field(default_factory=dict)
    parallel: tuple[Path, ...] = ()
    text: dict[str, list[Path]] = field(default_factory=dict)
    held_out: int | None = None
    fold_case: bool = False
    fold_boundary: bool = False
    pad_to_multiple: int = 1
    seed: int = 0


def initialise(config: InitConfig) -> dict[str, Any]:
    """Write the extended model into ``config.out`` and return the content of its ``init.json``.

    Work that takes long (matching, predicted rows, the hypernetwork's epochs, the refinement's steps) is kept in ``.NAME.work``
    beside ``out`` until the model is there, so an interrupted run goes on where it was. Two runs with one seed write identical
    tensors.

    Raises:
        InputError: a setting, the tokenizer or the vectors do not fit.
        DataMissingError: an input is not there.
        HyperofaError: the model cannot be written.
    """
    began = time.monotonic()
    method = find_method(config.method)
    options = resolve_options(method, config.options)
    split = config.scale_split
    if split is None:
        split = 0.0 if options.get("preset") == "paper" else 1.0
    check_settings(config.rank, config.energy, split)
    refinement = _refinement(config)
    if config.vectors is None and method.predict is not None:
        raise InputError(f"method {method.name} needs word vectors", where="--vectors", todo="name their directory")
    check_output(config.out, MARKER)
    from hyperofa.cpu import multiply_with_onednn
    from hyperofa.init.text import read_texts
    from hyperofa.model import assemble, load_source
    from hyperofa.vocab.overlap import find_overlap
    from hyperofa.vocab.surfaces import token_surfaces

    multiply_with_onednn()  # before anything else: an interrupted run must multiply like an undisturbed one
    texts = read_texts(config.text)
    target_tokenizer = load_tokenizer(str(config.tokenizer))
    source_tokenizer = load_tokenizer(config.source)
    source = load_source(config.source, seed=config.seed)
    check_vocabulary(len(source_tokenizer), len(source.input_embeddings), config.source)

    work = config.out.parent / f".{config.out.name}.work"
    met = find_overlap(
        source_tokenizer, target_tokenizer, fold_case=config.fold_case, fold_boundary=config.fold_boundary
    )
    special = np.array([surface.kind == "special" for surface in token_surfaces(target_tokenizer)])
    words = match_both(config.vectors, source_tokenizer, target_tokenizer, work) if config.vectors else None
    n_words = np.diff(words.target.indptr) if words else np.zeros(len(met.source_ids), dtype=np.int64)
    found = origin.trace(met.source_ids, n_words, special, predicts=method.predict is not None)
    stages = Stages(work, _decided_by(config, options, split, source, [source_tokenizer, target_tokenizer]))

    def extend(embeddings: np.ndarray, stream: int) -> tuple[Extended, Problem]:
        real = embeddings[: len(source_tokenizer)]  # rows beyond the tokenizer were never trained
        factors = factorize(
            real,
            rank=config.rank,
            energy=config.energy,
            scale_split=split,
            algorithm=config.factorization,
            seed=config.seed,
        )
        asked = options | {"checkpoint": str(work / f"hypernet-{stream}")} if "checkpoint" in options else options
        problem = make_problem(
            factors.coordinates, words, found, source_tokenizer, target_tokenizer, seed=config.seed, options=asked
        )

        def predict() -> tuple[np.ndarray, dict[str, Any]]:
            return extend_rows(method, problem, found, stream), problem.notes

        rows, notes = stages.rows(f"rows-{stream}", predict)
        return Extended(rows, factors, notes), problem

    inputs, problem = extend(source.input_embeddings.numpy(), 0)
    outputs = None if source.output_embeddings is None else extend(source.output_embeddings.numpy(), 1)[0]
    refined = None
    if refinement is not None:
        from hyperofa.init.refining import refine_inputs

        inputs, refined = refine_inputs(inputs, problem, found, source, refinement, config.parallel, texts, work)
    found, padded = pad(found, [inputs, *([outputs] if outputs else [])], config.pad_to_multiple)
    model = assemble(
        source,
        target_tokenizer,
        coordinates=_tensor(padded[0]),
        primitives=_tensor(inputs.factors.primitives),
        output_coordinates=_tensor(padded[1]) if outputs else None,
        output_primitives=_tensor(outputs.factors.primitives) if outputs else None,
        head_bias=_tensor(extend_bias(source, found, target_tokenizer)),
    )
    from hyperofa.init.quality import quality_report

    with new_directory(config.out, MARKER) as folder:
        _save(folder, model, target_tokenizer, found)
        record = _record(config, options, source, inputs, found, met.counts) | {"refine": refined}
        quality = quality_report(inputs, found, source_tokenizer, target_tokenizer, config.seed)
        record["quality"] = quality | _checks(config, method, problem, words, found, model, target_tokenizer, texts)
        record["seconds"] = round(time.monotonic() - began, 2)
        write_json(folder / MARKER, record)
    shutil.rmtree(work, ignore_errors=True)
    return record


def _refinement(config: InitConfig) -> RefineConfig | None:
    """The refinement's settings, or None where none was asked for."""
    if config.refine is None:
        if config.refine_options:
            raise InputError(
                "settings of a refinement, but none is asked for", where="--refine-option", todo="add --refine"
            )
        return None
    from hyperofa.config import build_config
    from hyperofa.init.refine.config import RefineConfig

    made = build_config(RefineConfig, config.refine_options | {"kind": config.refine}, "refinement")
    if made.kind == "parallel" and not config.parallel:
        raise InputError("needs parallel text", where="--refine parallel", todo="name its folder with --parallel")
    if made.kind == "distill" and not config.parallel and not config.text:
        raise InputError("needs text", where="--refine distill", todo="name it with --text LANG=FILE or --parallel DIR")
    return made


def _decided_by(
    config: InitConfig, options: dict[str, Any], split: float, source: Source, tokenizers: list[Any]
) -> dict[str, Any]:
    """All that decides the predicted rows."""
    names = ("method", "rank", "energy", "factorization", "fold_case", "fold_boundary", "seed")
    file = Path(config.method.rpartition(":")[0])
    return {
        "settings": {name: getattr(config, name) for name in names} | {"split": split, "options": options},
        "method_file": sha256_tree(file) if file.is_file() else None,
        "embeddings": digest(
            *(None if e is None else e.numpy() for e in (source.input_embeddings, source.output_embeddings))
        ),
        "tokenizers": [digest(np.frombuffer(t.backend_tokenizer.to_str().encode(), np.uint8)) for t in tokenizers],
        "vectors": sha256_tree(config.vectors) if config.vectors else None,
    }


def _tensor(array: np.ndarray | None) -> Any:
    import torch

    return None if array is None else torch.from_numpy(np.ascontiguousarray(array))


def _save(folder: Path, model: Any, tokenizer: Any, found: origin.Provenance) -> None:
    from safetensors import SafetensorError

    try:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        found.save(folder)
    except SafetensorError as error:  # the library turns the system's errors, such as a full disk, into its own
        raise HyperofaError(f"cannot write the model ({error})", where=folder.parent) from error


def _checks(
    config: InitConfig,
    method: Method,
    problem: Problem,
    words: Words | None,
    found: origin.Provenance,
    model: Any,
    tokenizer: Any,
    texts: dict[str, list[str]],
) -> dict[str, Any]:
    """The parts of the quality report that need more than the rows."""
    from hyperofa.init.coverage import languages
    from hyperofa.init.held_out import held_out_check
    from hyperofa.init.text import text_loss

    trains = "checkpoint" in method.options
    size = (0 if trains else 1000) if config.held_out is None else config.held_out
    return {
        "languages": languages(words.keys, words.target, found) if words else {},
        "held_out": held_out_check(method, problem, size),
        "text_loss": text_loss(model, tokenizer, texts, seed=config.seed),
    }


def _record(
    config: InitConfig,
    options: dict[str, Any],
    source: Source,
    inputs: Extended,
    found: origin.Provenance,
    met: dict[str, int],
) -> dict[str, Any]:
    given = {"tokenizer": config.tokenizer} | ({"vectors": config.vectors} if config.vectors else {})
    if Path(config.source).is_dir():
        given["source"] = Path(config.source)
    given |= {f"parallel/{path.name}": path for path in config.parallel}
    given |= {f"text/{language}/{path.name}": path for language, paths in config.text.items() for path in paths}
    settings = {
        key: value
        for key, value in dataclasses.asdict(config).items()
        if key not in {"source", "tokenizer", "vectors", "out", "parallel", "text"}
    }
    return {
        "method": config.method,
        "preset": options.get("preset"),
        "rank": None if inputs.factors.primitives is None else inputs.factors.rank,
        "energy": inputs.factors.energy,
        "counts": found.counts,
        "overlap": met,
        "head": {"is_new": source.head_is_new, "tied": source.output_embeddings is None},
        "method_notes": inputs.notes,
        "made_by": made_by("hyperofa init", given, settings | {"options": options}),
    }
