"""What an initialisation reads and works out before a method runs: inputs, words matched to tokens, the problem."""

from __future__ import annotations

import logging
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hyperofa.errors import InputError
from hyperofa.init import provenance as origin
from hyperofa.init.languages import language_numbers
from hyperofa.init.problem import Problem
from hyperofa_eval.settings.fields import SettingError
from hyperofa_eval.text.prompts import default_prompt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scipy.sparse import csr_matrix

    from hyperofa.base.rows import RowTable
    from hyperofa.data.given_text import PartedText
    from hyperofa.init.donor.token_vectors import TokenVectors
    from hyperofa.init.refine.refining import Refinement
    from hyperofa.init.registry import Resolved
    from hyperofa.model import Source
    from hyperofa.vocab.surfaces import Surface

log = logging.getLogger(__name__)

_FEW = 0.01  # a smaller share of words that match a token is worth a warning


@dataclass(frozen=True)
class Places:
    """Where the inputs are.

    Attributes:
        source: model directory, or a hub id that the user named.
        tokenizer: directory of the target tokenizer, or a hub id that the user named.
        vectors: directory of word vectors; None only for methods that need none.
        work: where finished stages are kept, so that an interrupted run goes on from them; None keeps none.
    """

    source: str
    tokenizer: str
    vectors: Path | None = None
    work: Path | None = None


@dataclass(frozen=True)
class Inputs:
    """What was read, and fits together; the source tokenizer's ids take the first ``source_rows`` rows of the model's.

    ``prompt`` stands before every sentence whose vector is asked for.
    """

    source: Source
    source_tokenizer: Any
    source_rows: int
    target_tokenizer: Any
    text: PartedText
    refinement: Refinement | None
    prompt: str


@dataclass(frozen=True)
class Words:
    """Word vectors, and which of them match the tokens of both vocabularies.

    ``keys`` are n ``lang:word``, ``vectors`` (n, d), ``source`` (V_s, n) and ``target`` (V_t, n) CSR with the token's
    share of the word. ``counts`` (n,) say how often each word was seen, ``spellings`` in how many spellings of a word each token
    of the source and of the target is met (for methods that ask for it).
    """

    keys: Sequence[str]
    vectors: np.ndarray
    source: csr_matrix
    target: csr_matrix
    counts: np.ndarray | None = None
    spellings: tuple[csr_matrix, csr_matrix] | None = None


def read_inputs(places: Places, resolved: Resolved) -> Inputs:
    """Read all inputs but the vectors and check all that can go wrong with them, before the long work begins.

    Raises:
        InputError: a setting, a tokenizer or a text does not fit.
        DataMissingError: an input is not there.
    """
    from hyperofa.base.device import device_named
    from hyperofa.base.sentence_modules import check_sentence_modules
    from hyperofa.data.given_text import read_given
    from hyperofa.init.factorize import check_rank
    from hyperofa.model import load_source
    from hyperofa.model.assemble import check_roles
    from hyperofa.vectors.store import WordVectors
    from hyperofa.vocab.report import load_tokenizer
    from hyperofa_eval.text.tokenizer import rows_needed

    settings, method = resolved.settings, resolved.method
    if (device := getattr(resolved.options, "device", None)) is not None:
        device_named(device, f"method {method.name}")
    if places.vectors is None and method.predict is not None and method.uses_words:
        raise SettingError("vectors", f"method {method.name} needs them", todo="name their directory")
    text = read_given(settings.text, settings.parallel, settings.seed)
    if places.vectors is not None:
        store = WordVectors.open(places.vectors)
        _check_language(resolved, store.meta.get("languages"), places.vectors)
    target_tokenizer = load_tokenizer(places.tokenizer)
    source = load_source(places.source, seed=settings.seed)
    source_tokenizer = load_tokenizer(places.source)
    check_sentence_modules(places.source)
    source_rows = rows_needed(source_tokenizer)
    if source_rows > len(source.input_embeddings):
        raise InputError(
            f"the tokenizer has ids for {source_rows:,} tokens but the model {len(source.input_embeddings):,} embeddings",
            where=places.source,
            todo="use the tokenizer that the model was trained with",
        )
    check_rank(settings.rank, source_rows, source.input_embeddings.shape[1])
    check_roles(source, target_tokenizer)
    refinement = None
    prompt = default_prompt(places.source) if settings.prompt is None else settings.prompt
    if resolved.refine is not None:
        from hyperofa.init.refine.refining import Refinement

        refinement = Refinement(settings.refine, resolved.refine, source, text, prompt)
    return Inputs(source, source_tokenizer, source_rows, target_tokenizer, text, refinement, prompt)


@dataclass(frozen=True)
class Known:
    """What is known of the target's tokens but for their words.

    ``pieces`` (V_t, V_s) CSR: the mean over the source pieces that spell each new token; ``donor``: rows of a donor; ``given``
    (V_t,) bool: the tokens that the method is given, copied or not.
    """

    pieces: csr_matrix
    donor: TokenVectors | None
    given: np.ndarray


def _check_language(resolved: Resolved, languages: Any, where: Path) -> None:
    """Refuse a ``source_language`` of which the vectors, as far as they say what they hold, have no word."""
    language = getattr(resolved.options, "source_language", None)
    if isinstance(languages, dict) and language not in (None, "auto", "all", *languages):
        what = f"no word of {language!r} in {where}"
        raise SettingError("source_language", what, todo=f"name one of {', '.join(languages)}, or auto")


def trace_rows(
    places: Places, resolved: Resolved, inputs: Inputs, source_ids: np.ndarray
) -> tuple[Words | None, Known, origin.Provenance]:
    """The matched words, what else is known, and where each target row comes from.

    ``source_ids`` (V_t,) are the tokens met in the source.

    Raises:
        InputError: no word matches a token of the target, or of the source; or the donor shares too little.
        DataMissingError: the donor is not there.
    """
    from hyperofa.vectors.store import WordVectors
    from hyperofa.vocab.matching import match
    from hyperofa.vocab.spelled import count_spellings
    from hyperofa.vocab.surfaces import token_surfaces

    method = resolved.method
    surfaces = token_surfaces(inputs.target_tokenizer)
    donor = None
    if resolved.settings.donor is not None:
        from hyperofa.init.donor.token_vectors import read_donor

        tokenizers = (inputs.source_tokenizer, inputs.target_tokenizer)
        donor = read_donor(resolved.settings.donor, *tokenizers, source_ids, inputs.source_rows)
    special = np.array([surface.kind == "special" for surface in surfaces])
    new = places.work is not None and not places.work.exists()
    words, n_words = None, np.zeros(len(source_ids), dtype=np.int64)
    if places.vectors is not None:
        store = WordVectors.open(places.vectors)
        target_matches = match(store.words, inputs.target_tokenizer, cache=places.work).matrix
        source_matches = match(store.words, inputs.source_tokenizer, cache=places.work, already_logged=True).matrix
        spellings = None
        if method.spellings:
            tokenizers = (inputs.source_tokenizer, inputs.target_tokenizer)
            first, second = (count_spellings(store.words, t, capitalised=method.spellings == 3) for t in tokenizers)
            spellings = (first, second)
        words = Words(store.words, store.vectors, source_matches, target_matches, store.counts, spellings)
        n_words = np.diff((words.target if spellings is None else spellings[1]).indptr)
    spelled = resolved.rest == "pieces" or "pieces" in method.evidence
    pieces = _pieces(inputs, surfaces, np.flatnonzero((source_ids < 0) & ~special) if spelled else np.arange(0))
    has_evidence = {"pieces": np.diff(pieces.indptr) > 0, "words": n_words > 0}
    has_evidence["donor"] = donor.has_target if donor is not None else np.zeros(len(source_ids), dtype=bool)
    given, predictable, evidence = _predictable(resolved, surfaces, has_evidence)
    known = Known(pieces, donor, given)
    provenance = origin.trace(source_ids, n_words, special, predictable, evidence)
    if words is not None and places.vectors is not None and method.predict is not None and method.uses_words:
        try:
            _check_matches(words, provenance, places.vectors)
        except InputError:
            if new and places.work is not None:  # nothing in it is of use
                shutil.rmtree(places.work, ignore_errors=True)
            raise
    return words, known, provenance


def _pieces(inputs: Inputs, surfaces: list[Surface], ids: np.ndarray) -> csr_matrix:
    """(V_t, V_s) float32: the mean over the source pieces that spell each of the target tokens ``ids``."""
    from scipy.sparse import csr_matrix

    from hyperofa.vocab.pieces import spell_tokens

    spelled: list[list[int]] = [[]] * len(surfaces)
    for token, pieces in zip(ids, spell_tokens(inputs.source_tokenizer, [surfaces[i] for i in ids]), strict=True):
        spelled[token] = [i for i in pieces if i < inputs.source_rows]
    counts = np.array([len(pieces) for pieces in spelled], dtype=np.int64)
    flat = np.array([i for pieces in spelled for i in pieces], dtype=np.int64)
    weights = np.repeat(1 / np.maximum(counts, 1), counts).astype(np.float32)
    matrix = csr_matrix(
        (weights, flat, np.concatenate([[0], np.cumsum(counts)])), shape=(len(surfaces), inputs.source_rows)
    )
    matrix.sum_duplicates()
    return matrix


def _check_matches(words: Words, provenance: origin.Provenance, where: Path) -> None:
    """Refuse word vectors from which no row could be predicted, and say where few words match or none is of use."""
    todo = "check the words (lang:word) in its words.txt"
    for side, matrix in (("target", words.target), ("source", words.source)):
        if not matrix.nnz:
            what = f"none of the {len(words.keys):,} words matches a token of the {side} tokenizer"
            raise InputError(f"{what}, so nothing could be predicted", where=where, todo=todo)
    matched = int(np.count_nonzero(np.bincount(words.target.indices, minlength=len(words.keys))))
    if matched < _FEW * len(words.keys):
        log.warning("%s: only %d of %d words match a token of the target; %s", where, matched, len(words.keys), todo)
    if not (provenance.code == origin.PREDICTED).any():
        log.warning("no row is predicted: every new token of the target is without a word in %s", where)


def _predictable(
    resolved: Resolved, surfaces: list[Surface], has_evidence: dict[str, np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The tokens (V_t,) bool that the method is given, all that are not drawn, and the evidence (V_t,) int8 of both.

    ``has_evidence`` says by kind of evidence of which tokens (V_t,) bool there is some. A method that asks for no kind is given
    what has a text: one row for all parts of characters would never part.
    """
    method = resolved.method
    evidence = np.zeros(len(surfaces), dtype=np.int8)
    if method.predict is None:
        given = np.zeros(len(surfaces), dtype=bool)
    elif needed := method.knows or (("words",) if method.uses_words else ()):
        given = np.any([has_evidence[kind] for kind in needed], axis=0)
    else:
        texts = (surface.text.decode("utf-8", errors="ignore").strip() for surface in surfaces)
        plain = (bool(text) and s.kind not in {"special", "hole"} for text, s in zip(texts, surfaces, strict=True))
        given = np.fromiter(plain, dtype=bool, count=len(surfaces))
    for kind in method.evidence:
        evidence[given & has_evidence[kind]] |= origin.EVIDENCE[kind]
    rest = has_evidence["pieces"] & ~given & (resolved.rest == "pieces")
    evidence[rest] = origin.EVIDENCE["pieces"]
    return given, given | rest, evidence


def make_problem(
    rows: RowTable,
    words: Words | None,
    known: Known,
    provenance: origin.Provenance,
    inputs: Inputs,
    resolved: Resolved,
    work: Path | None,
) -> Problem:
    """What a method is given to extend ``rows`` (V_s, r) to the target tokens of ``provenance``."""
    from scipy.sparse import csr_matrix

    size = len(rows)
    predict_ids = np.flatnonzero((provenance.code == origin.PREDICTED) & known.given)
    spellings = words.spellings if words else None
    numbers, codes = language_numbers(words.keys) if words else (None, ("",))
    return Problem(
        rows=rows,
        vectors=words.vectors if words else np.zeros((0, 1), dtype=np.float32),
        source_words=words.source[:size] if words else csr_matrix((size, 0), dtype=np.float32),
        target_words=words.target if words else csr_matrix((len(provenance.code), 0), dtype=np.float32),
        source_ids=provenance.source_id,
        predict_ids=predict_ids,
        pieces=known.pieces,
        donor=known.donor,
        evidence=provenance.evidence[predict_ids],
        source_groups=surface_groups(inputs.source_tokenizer, size),
        languages=numbers,
        language_codes=codes,
        word_counts=words.counts if words else None,
        source_spellings=spellings[0][:size] if spellings else None,
        target_spellings=spellings[1] if spellings else None,
        source_tokenizer=inputs.source_tokenizer,
        target_tokenizer=inputs.target_tokenizer,
        causal=inputs.source.family.objective == "causal",
        tied=inputs.source.output_embeddings is None,
        seed=resolved.settings.seed,
        settings=resolved.options,
        work=work,
    )


def surface_groups(tokenizer: Any, size: int) -> np.ndarray:
    """(size,) int64: tokens that differ only in case or word boundary share a number."""
    from hyperofa.vocab.surfaces import token_surfaces

    names: dict[str, int] = {}
    surfaces = token_surfaces(tokenizer)[:size]
    groups = [names.setdefault(s.text.decode("utf-8", errors="replace").lower(), len(names)) for s in surfaces]
    groups += range(len(names), len(names) + size - len(groups))  # rows without a token are groups of their own
    return np.array(groups, dtype=np.int64)
