"""The stages of ``hyperofa init``: overlap, factorise, match, predict, draw the rest, assemble, save."""

from __future__ import annotations

import dataclasses
import json
import logging
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hyperofa.errors import DataMissingError, InputError
from hyperofa.files import check_output, made_by, new_directory, write_json
from hyperofa.init import provenance as origin
from hyperofa.init.factorize import Algorithm, Factorization, check_settings, factorize
from hyperofa.init.methods.drawn import draw_like
from hyperofa.init.problem import Problem
from hyperofa.init.registry import Method, find_method, resolve_options, run_method

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from hyperofa.model import Source

log = logging.getLogger(__name__)

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
    fold_case: bool = False
    fold_boundary: bool = False
    pad_to_multiple: int = 1
    seed: int = 0


@dataclass(frozen=True)
class _Words:
    """The word vectors and which of them match the tokens of both vocabularies."""

    vectors: np.ndarray
    source: csr_matrix
    target: csr_matrix


@dataclass(frozen=True)
class Extended:
    """One extended matrix: rows (V_t, r) and how its source was factorised."""

    rows: np.ndarray
    factors: Factorization
    notes: dict[str, Any]


def initialise(config: InitConfig) -> dict[str, Any]:
    """Write the extended model into ``config.out`` and return the content of its ``init.json``.

    Work that takes long (matching, the hypernetwork's epochs) is kept in ``.NAME.work`` beside ``out`` until the model is
    there, so an interrupted run goes on where it was. Two runs with one seed write identical tensors.

    Raises:
        InputError: a setting, the tokenizer or the vectors do not fit.
        DataMissingError: an input is not there.
    """
    began = time.monotonic()
    method = find_method(config.method)
    options = resolve_options(method, config.options)
    split = config.scale_split
    if split is None:
        split = 0.0 if options.get("preset") == "paper" else 1.0
    check_settings(config.rank, config.energy, split)
    check_output(config.out, MARKER)
    from hyperofa.model import assemble, load_source
    from hyperofa.vocab.overlap import find_overlap
    from hyperofa.vocab.surfaces import token_surfaces

    target_tokenizer = load_tokenizer(str(config.tokenizer))
    source_tokenizer = load_tokenizer(config.source)
    source = load_source(config.source, seed=config.seed)
    check_vocabulary(len(source_tokenizer), len(source.input_embeddings), config.source)

    work = config.out.parent / f".{config.out.name}.work"
    met = find_overlap(
        source_tokenizer, target_tokenizer, fold_case=config.fold_case, fold_boundary=config.fold_boundary
    )
    surfaces = token_surfaces(target_tokenizer)
    special = np.array([surface.kind == "special" for surface in surfaces])
    words = _match(config, method, source_tokenizer, target_tokenizer, work)
    n_words = np.diff(words.target.indptr) if words else np.zeros(len(met.source_ids), dtype=np.int64)
    found = origin.trace(met.source_ids, n_words, special, predicts=method.predict is not None)

    def extend(embeddings: np.ndarray, stream: int) -> Extended:
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
        problem = _problem(config, asked, factors, words, found, source_tokenizer, target_tokenizer)
        return Extended(extend_rows(method, problem, found, stream), factors, problem.notes)

    inputs = extend(source.input_embeddings.numpy(), 0)
    outputs = None if source.output_embeddings is None else extend(source.output_embeddings.numpy(), 1)
    found, padded = _pad(found, [inputs, *([outputs] if outputs else [])], config.pad_to_multiple)
    bias = extend_bias(source, found, target_tokenizer)
    model = assemble(
        source,
        target_tokenizer,
        coordinates=_tensor(padded[0]),
        primitives=_tensor(inputs.factors.primitives),
        output_coordinates=_tensor(padded[1]) if outputs else None,
        output_primitives=_tensor(outputs.factors.primitives) if outputs else None,
        head_bias=_tensor(bias),
    )
    with new_directory(config.out, MARKER) as folder:
        model.save_pretrained(folder)
        target_tokenizer.save_pretrained(folder)
        found.save(folder)
        record = _record(config, options, source, inputs, found, met.counts)
        from hyperofa.init.quality import quality_report

        record["quality"] = quality_report(inputs, found, source_tokenizer, target_tokenizer, config.seed)
        record["seconds"] = round(time.monotonic() - began, 2)
        write_json(folder / MARKER, record)
    shutil.rmtree(work, ignore_errors=True)
    return record


def load_tokenizer(name: str) -> Any:
    """The fast tokenizer of a directory or named hub id; raises :class:`DataMissingError` if there is none."""
    from transformers import AutoTokenizer

    if (
        Path(name).exists()
        and not (Path(name) / "tokenizer.json").is_file()
        and not (Path(name) / "vocab.txt").is_file()
    ):
        raise DataMissingError(
            "no tokenizer.json in the directory", where=name, todo="name a directory that holds a tokenizer"
        )
    try:
        return AutoTokenizer.from_pretrained(name, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise DataMissingError(f"cannot load the tokenizer ({line})", where=name) from error


def check_vocabulary(tokens: int, rows: int, where: str) -> None:
    """Refuse a source tokenizer with more tokens than the model has rows."""
    if tokens > rows:
        raise InputError(
            f"the tokenizer has {tokens:,} tokens but the model {rows:,} embeddings",
            where=where,
            todo="use the tokenizer that the model was trained with",
        )


def extend_rows(method: Method, problem: Problem, found: origin.Provenance, stream: int) -> np.ndarray:
    """The target matrix (V_t, r): copied rows, predicted rows, and draws for the rest (HyperOFA, §3.4).

    The draws depend on the seed alone: every method has the same rows wherever it does not predict.
    """
    source_ids = found.source_id
    rows = draw_like(problem.rows, len(source_ids), np.random.default_rng([problem.seed, 100 + stream]))
    copied = source_ids >= 0
    rows[copied] = problem.rows[source_ids[copied]]
    predicted = run_method(method, problem)
    if predicted is not None:
        rows[problem.predict_ids] = predicted
    return rows


def extend_bias(source: Source, found: origin.Provenance, tokenizer: Any) -> np.ndarray | None:
    """The head's bias per token (V_t,), or None where the source's head has none.

    Copied tokens keep theirs, by token and not by index; new ones get the mean of the source's (a new token is not frequent
    before it is trained). A head that is made new starts at the tokenizer's unigram log-probabilities where it has them
    (SentencePiece unigram), so that training need not learn frequencies through the tied embeddings; else at 0.
    """
    if source.head_bias is None:
        return None
    old = source.head_bias.numpy()
    if source.head_is_new:
        return _unigram_bias(tokenizer, found)
    bias = np.full(len(found.code), old.mean(), dtype=np.float32)
    copied = found.source_id >= 0
    bias[copied] = old[found.source_id[copied]]
    bias[found.code == origin.PADDING] = old.min()
    return bias


def _unigram_bias(tokenizer: Any, found: origin.Provenance) -> np.ndarray:
    bias = np.zeros(len(found.code), dtype=np.float32)
    vocabulary = json.loads(tokenizer.backend_tokenizer.to_str())["model"].get("vocab")
    if not isinstance(vocabulary, list):
        return bias
    scores = np.array([score for _, score in vocabulary], dtype=np.float32)[: len(bias)]
    bias[:] = scores.min()
    bias[: len(scores)] = scores
    bias[(found.code == origin.SPECIAL) | (found.code == origin.PADDING)] = scores.min()
    return bias


def _match(config: InitConfig, method: Method, source: Any, target: Any, work: Path) -> _Words | None:
    if config.vectors is None:
        if method.predict is not None:
            raise InputError(f"method {method.name} needs word vectors", where="--vectors", todo="name their directory")
        return None
    from hyperofa.vectors.store import WordVectors
    from hyperofa.vocab.matching import match

    store = WordVectors.open(config.vectors)
    ours, theirs = (match(store.words, tokenizer, weights="share", cache=work).matrix for tokenizer in (target, source))
    return _Words(store.vectors, theirs, ours)


def _problem(
    config: InitConfig,
    options: dict[str, Any],
    factors: Factorization,
    words: _Words | None,
    found: origin.Provenance,
    source_tokenizer: Any,
    target_tokenizer: Any,
) -> Problem:
    from scipy.sparse import csr_matrix

    empty = csr_matrix((len(factors.coordinates), 0), dtype=np.float32)
    size = len(factors.coordinates)
    return Problem(
        rows=factors.coordinates,
        vectors=words.vectors if words else np.zeros((0, 1), dtype=np.float32),
        source_words=words.source[:size] if words else empty,
        target_words=words.target if words else csr_matrix((len(found.code), 0), dtype=np.float32),
        source_ids=found.source_id,
        predict_ids=np.flatnonzero(found.code == origin.PREDICTED),
        source_groups=surface_groups(source_tokenizer, size),
        source_tokenizer=source_tokenizer,
        target_tokenizer=target_tokenizer,
        seed=config.seed,
        options=options,
    )


def surface_groups(tokenizer: Any, size: int) -> np.ndarray:
    """(size,) int64: tokens that differ only in case or word boundary share a number."""
    from hyperofa.vocab.surfaces import token_surfaces

    names: dict[str, int] = {}
    surfaces = token_surfaces(tokenizer)[:size]
    groups = [names.setdefault(s.text.decode("utf-8", errors="replace").lower(), len(names)) for s in surfaces]
    groups += range(len(names), len(names) + size - len(groups))  # rows without a token are groups of their own
    return np.array(groups, dtype=np.int64)


def _pad(
    found: origin.Provenance, matrices: list[Extended], multiple: int
) -> tuple[origin.Provenance, list[np.ndarray]]:
    """Append rows (the mean row) until the number of rows is a multiple of ``multiple``."""
    if multiple < 1:
        raise InputError(f"--pad-to-multiple {multiple} is below 1")
    extra = -len(found.code) % multiple
    if not extra:
        return found, [matrix.rows for matrix in matrices]
    longer = origin.Provenance(
        np.append(found.code, np.full(extra, origin.PADDING, dtype=np.int8)),
        np.append(found.source_id, np.full(extra, -1, dtype=np.int64)),
        np.append(found.n_words, np.zeros(extra, dtype=np.int32)),
    )
    means = [np.broadcast_to(m.factors.coordinates.mean(axis=0), (extra, m.rows.shape[1])) for m in matrices]
    return longer, [np.concatenate([m.rows, mean]) for m, mean in zip(matrices, means, strict=True)]


def _tensor(array: np.ndarray | None) -> Any:
    import torch

    return None if array is None else torch.from_numpy(np.ascontiguousarray(array))


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
    settings = {
        key: value
        for key, value in dataclasses.asdict(config).items()
        if key not in {"source", "tokenizer", "vectors", "out"}
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
