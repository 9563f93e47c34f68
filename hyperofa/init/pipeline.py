"""The stages of ``hyperofa init``: overlap, match, factorise, predict, refine, assemble, save, report."""

from __future__ import annotations

import logging
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hyperofa.base.device import device_named
from hyperofa.base.files import check_output, new_directory, sha256_tree
from hyperofa.base.sentence_modules import carry_sentence_modules, check_sentence_modules
from hyperofa.errors import HyperofaError, InputError
from hyperofa.init import provenance as origin
from hyperofa.init.evidence import (
    check_matches,
    check_vocabulary,
    make_problem,
    match_both,
    predictable,
)
from hyperofa.init.factorize import Algorithm, check_rank, check_settings, factorize
from hyperofa.init.kept_work import Stages, digest
from hyperofa.init.new_rows import Extended, extend_bias, extend_rows, pad
from hyperofa.init.quality.record import quality_of, record_of
from hyperofa.init.ranges import Range
from hyperofa.init.registry import find_method, method_file, resolve_options
from hyperofa_eval.base.files import write_json

if TYPE_CHECKING:
    from hyperofa.init.evidence import Words
    from hyperofa.init.problem import Problem
    from hyperofa.init.refine import RefineConfig
    from hyperofa.init.refine.refining import Refinement
    from hyperofa.init.registry import Method
    from hyperofa.model import Source

MARKER = "init.json"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class InitConfig:
    """What ``hyperofa init`` was asked for.

    Attributes:
        source: model directory, or a hub id the user named.
        tokenizer: directory of the target tokenizer, or a hub id the user named.
        vectors: directory of word vectors; None only for methods that need none, which then predict every new token.
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
            methods that may train a network (``hyperofa``, whatever its settings).
        fold_case, fold_boundary: copy also tokens that differ in case, in boundary.
        pad_to_multiple: append rows until their number is a multiple of this.
        seed: of every draw.
    """

    source: str
    tokenizer: str | Path
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
    files.

    Raises:
        InputError: a setting, the tokenizer or the vectors do not fit.
        DataMissingError: an input is not there.
        HyperofaError: the model cannot be written.
    """
    asked = _asked(config)
    check_output(config.out, MARKER)
    from hyperofa_eval.base.cpu import denormals_flushed, multiply_with_onednn

    multiply_with_onednn()  # both before anything else: an interrupted run must multiply like an undisturbed one
    with denormals_flushed():
        return _initialise(config, asked)


def _initialise(config: InitConfig, asked: _Asked) -> dict[str, Any]:
    from hyperofa.model import assemble
    from hyperofa.vocab.overlap import find_overlap

    began = time.monotonic()
    given = _given(config, asked)
    source, source_tokenizer, target_tokenizer = given.source, given.source_tokenizer, given.target_tokenizer
    out = config.out.resolve()  # "." has no name, and what is written into it would not be beside it
    work = out.parent / f".{out.name}.work"
    met = find_overlap(
        source_tokenizer, target_tokenizer, fold_case=config.fold_case, fold_boundary=config.fold_boundary
    )
    words, found = _traced(config, asked.method, given, met.source_ids, work)
    stages = Stages(work, _decided_by(config, asked, source, [source_tokenizer, target_tokenizer], found))

    def extend(embeddings: np.ndarray, stream: int) -> tuple[Extended, Problem]:
        real = embeddings[: given.source_rows]  # rows beyond the tokenizer were never trained
        factors = factorize(
            real,
            rank=config.rank,
            energy=config.energy,
            scale_split=asked.split,
            algorithm=config.factorization,
            seed=config.seed,
        )
        options = asked.options
        if "checkpoint" in options:
            options = options | {"checkpoint": str(work / f"hypernet-{stream}")}
        problem = make_problem(
            factors.coordinates, words, found, source_tokenizer, target_tokenizer, seed=config.seed, options=options
        )

        def predict() -> tuple[np.ndarray, dict[str, Any]]:
            return extend_rows(asked.method, problem, found, stream), problem.notes

        rows, notes = stages.rows(f"rows-{stream}", predict)
        return Extended(rows, factors, notes), problem

    inputs, problem = extend(source.input_embeddings.numpy(), 0)
    untied = [] if source.output_embeddings is None else [extend(source.output_embeddings.numpy(), 1)]
    refined = None
    if given.refinement is not None:
        from hyperofa.init.refine.refining import refine_inputs

        inputs, refined = refine_inputs(inputs, problem, found, given.refinement, work)
    matrices = [(inputs, problem), *untied]
    found, padded = pad(found, [matrix for matrix, _ in matrices], config.pad_to_multiple)
    model = assemble(
        source,
        target_tokenizer,
        coordinates=_tensor(padded[0]),
        primitives=_tensor(inputs.factors.primitives),
        output_coordinates=_tensor(padded[1]) if untied else None,
        output_primitives=_tensor(untied[0][0].factors.primitives) if untied else None,
        head_bias=_tensor(extend_bias(source, found, target_tokenizer, given.source_rows)),
    )
    with new_directory(config.out, MARKER) as folder:
        _save(folder, model, target_tokenizer, found)
        carry_sentence_modules(config.source, folder)
        record = record_of(config, asked.options, source, [matrix for matrix, _ in matrices], found, met.counts)
        quality = quality_of(config, asked.method, matrices, words, found, model, given.texts)
        record |= {"refine": refined, "quality": quality}
        write_json(folder / MARKER, record)
    shutil.rmtree(work, ignore_errors=True)
    log.info("initialised %s in %.1f s", config.out, time.monotonic() - began)
    return record


@dataclass(frozen=True)
class _Asked:
    """The settings, resolved and checked as far as they can be without reading anything."""

    method: Method
    options: dict[str, Any]
    split: float
    refining: RefineConfig | None


@dataclass(frozen=True)
class _Given:
    """What was read, and fits together; the source tokenizer's ids take the first ``source_rows`` rows of the model's."""

    source: Source
    source_tokenizer: Any
    source_rows: int
    target_tokenizer: Any
    texts: dict[str, list[str]]
    refinement: Refinement | None


def _asked(config: InitConfig) -> _Asked:
    method = find_method(config.method)
    options = resolve_options(method, config.options)
    split = config.scale_split
    if split is None:
        split = 0.0 if options.get("preset") == "paper" else 1.0
    check_settings(config.rank, config.energy, split)
    _check_ranges(config)
    refining = _refinement(config)
    if isinstance(options.get("device"), str):  # a recipe may be checked on a machine without the GPU that will run it
        device_named(options["device"], f"method {method.name}")
    if config.vectors is None and method.predict is not None and method.uses_words:
        raise InputError(f"method {method.name} needs word vectors", where="--vectors", todo="name their directory")
    return _Asked(method, options, split, refining)


def _given(config: InitConfig, asked: _Asked) -> _Given:
    """Read all inputs but the vectors and check all that can go wrong with them, before the long work begins."""
    from hyperofa.init.quality.text_loss import read_texts
    from hyperofa.model import load_source
    from hyperofa.model.assemble import check_roles
    from hyperofa.vectors.store import WordVectors
    from hyperofa.vocab.report import load_tokenizer
    from hyperofa.vocab.surfaces import rows_needed

    texts = read_texts(config.text, whole=config.refine == "distill")
    if config.vectors is not None:
        WordVectors.open(config.vectors)
    target_tokenizer = load_tokenizer(str(config.tokenizer))
    source = load_source(config.source, seed=config.seed)
    source_tokenizer = load_tokenizer(config.source)
    check_sentence_modules(config.source)
    source_rows = rows_needed(source_tokenizer)
    check_vocabulary(source_rows, len(source.input_embeddings), config.source)
    check_rank(config.rank, source_rows, source.input_embeddings.shape[1])
    check_roles(source, target_tokenizer)
    refinement = None
    if asked.refining is not None:
        from hyperofa.init.refine.refining import ready

        refinement = ready(asked.refining, source, config.parallel, texts)
    return _Given(source, source_tokenizer, source_rows, target_tokenizer, texts, refinement)


def _traced(
    config: InitConfig, method: Method, given: _Given, source_ids: np.ndarray, work: Path
) -> tuple[Words | None, origin.Provenance]:
    """The matched words, and where each target row comes from."""
    from hyperofa.vocab.surfaces import token_surfaces

    surfaces = token_surfaces(given.target_tokenizer)
    special = np.array([surface.kind == "special" for surface in surfaces])
    new = not work.exists()
    words, n_words = None, np.zeros(len(source_ids), dtype=np.int64)
    if config.vectors is not None:
        words = match_both(config.vectors, given.source_tokenizer, given.target_tokenizer, work)
        n_words = np.diff(words.target.indptr)
    found = origin.trace(source_ids, n_words, special, predictable(n_words, surfaces, words, method))
    if words is not None and config.vectors is not None and method.predict is not None and method.uses_words:
        try:
            check_matches(words, found, config.vectors)
        except InputError:
            if new:  # nothing in it is of use
                shutil.rmtree(work, ignore_errors=True)
            raise
    return words, found


def _check_ranges(config: InitConfig) -> None:
    """Refuse numbers that no run can be made with, before any work is done."""
    allowed = {"seed": Range(0, 2**32 - 1), "held_out": Range(0), "pad_to_multiple": Range(1)}
    for name, range_ in allowed.items():
        value = getattr(config, name)
        if value is not None and value not in range_:
            raise InputError(f"{value} is not {range_}", where=f"--{name.replace('_', '-')}")


def _refinement(config: InitConfig) -> RefineConfig | None:
    """The refinement's settings, or None where none was asked for."""
    if config.refine is None:
        if config.refine_options:
            raise InputError(
                "settings of a refinement, but none is asked for", where="--refine-option", todo="add --refine"
            )
        if config.parallel:
            raise InputError(
                "text to refine with, but no refinement is asked for", where="--parallel", todo="add --refine"
            )
        return None
    from hyperofa.init.refine.settings import RefineConfig
    from hyperofa_eval.settings.config import build_config

    made = build_config(RefineConfig, config.refine_options | {"kind": config.refine}, "refinement")
    if made.kind == "parallel" and not config.parallel:
        raise InputError("needs parallel text", where="--refine parallel", todo="name its folder with --parallel")
    if made.kind == "distill" and not config.parallel and not config.text:
        raise InputError("needs text", where="--refine distill", todo="name it with --text LANG=FILE or --parallel DIR")
    return made


def _decided_by(
    config: InitConfig, asked: _Asked, source: Source, tokenizers: list[Any], found: origin.Provenance
) -> dict[str, Any]:
    """All that decides the predicted rows."""
    names = ("method", "rank", "energy", "factorization", "fold_case", "fold_boundary", "seed")
    file = method_file(config.method)
    return {
        "settings": {name: getattr(config, name) for name in names} | {"split": asked.split, "options": asked.options},
        "method_file": sha256_tree(file) if file is not None else None,
        "embeddings": digest(
            *(None if e is None else e.numpy() for e in (source.input_embeddings, source.output_embeddings))
        ),
        "tokenizers": [digest(np.frombuffer(t.backend_tokenizer.to_str().encode(), np.uint8)) for t in tokenizers],
        "provenance": digest(found.code, found.source_id),  # roles of special tokens are not in a tokenizer's own file
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
