"""Rows for the new tokens from what is known of them: the mean of their pieces, the network's, those of word vectors."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from hyperofa.init.methods.ofa_ridge import OfaRidgeSettings, ofa_ridge
from hyperofa.init.methods.ridge import rescale
from hyperofa.init.problem import FrozenModel, Problem, subword_vectors
from hyperofa.init.spelling.fit import fit
from hyperofa.init.spelling.learner import (
    MOST_COLUMNS,
    Evidence,
    Known,
    Learner,
    Scale,
    StandardRows,
    cosines,
    finer_like,
    main_directions,
    mean_of_pieces,
    order_of,
    ridge,
)
from hyperofa.init.spelling.settings import NetworkSettings
from hyperofa.init.spelling.spell import Source, Spellings
from hyperofa.init.spelling.through_model import Learnable, ModelRows, learn_through, losses_of
from hyperofa_eval.base.cpu import return_freed_memory
from hyperofa_eval.text.tokenizer import rows_needed

log = logging.getLogger(__name__)
_EXAMPLES, _FEWEST, _MOST = 250_000, 3, 8
"""So many tokens are gone through where the epochs are not given, within these numbers of passes."""


@dataclass(frozen=True)
class Candidates:
    """Rows (m, r) for the tokens to predict, each by one kind of evidence.

    Attributes:
        pieces: the mean of the token's pieces; of all source rows where there are none.
        network: the network's answer, as long as it gives it; ``known`` (m,) bool says where it was told anything.
        vectors: what word vectors tell, and (m,) bool where they tell anything; None without.
        counts: (m,) int64: pieces of each token.
        characters: mean characters of a piece: a source that knows a language cuts it into few and long ones.
    """

    pieces: np.ndarray
    network: np.ndarray
    known: np.ndarray
    vectors: tuple[np.ndarray, np.ndarray] | None
    counts: np.ndarray
    characters: float


def make_candidates(problem: Problem, settings: NetworkSettings, *, at_source_length: bool) -> Candidates:
    """Let the network learn the source's own tokens, and ask it for the new ones; what it came to is in ``problem.notes``.

    ``at_source_length`` says how long its rows will be: as the source's about their mean, or as it predicts them.

    Raises:
        HyperofaError: the loss became NaN.
    """
    began = time.monotonic()
    candidates = _from_pieces(problem, settings, at_source_length)
    log.info("spelling network: learned and asked in %.1f s", time.monotonic() - began)
    return_freed_memory()  # of the learning, before the largest matrices of all
    return dataclasses.replace(candidates, vectors=_from_vectors(problem)) if len(problem.vectors) else candidates


def _from_pieces(problem: Problem, settings: NetworkSettings, at_source_length: bool) -> Candidates:
    """All candidates but those of word vectors."""
    rows = problem.rows
    source = Source(problem.source_tokenizer, len(rows))
    table, new = source.own, source.spell(problem.target_tokenizer, problem.predict_ids)
    if settings.finer is None:
        settings = dataclasses.replace(settings, finer=finer_like(table, new))
    source_evidence, new_evidence = _evidence(problem)
    has_evidence = np.any([np.zeros(len(rows), dtype=bool), *(one.is_known for one in source_evidence)], axis=0)
    ids = np.flatnonzero((table.counts > 0) | (has_evidence & _rows_with_text(problem)))
    scale = Scale(rows.take(ids) if len(ids) else rows)
    standard = StandardRows(rows, scale)
    learner = Learner(standard, [one.features.shape[1] for one in source_evidence], settings, problem.seed)
    order = order_of(len(rows))
    known_source = Known(table, source.inside(table), order, source_evidence).chosen(ids)
    known_new = Known(new, source.inside(new), _places(problem, order, ids, settings.place), new_evidence)
    notes: dict[str, Any] = {"learned_from": len(ids), "finer": settings.finer and round(settings.finer, 3)}
    if len(ids):
        passes = passes_over(len(ids), settings.epochs)
        history, held = fit(
            learner,
            known_source,
            standard.take(ids),
            table,
            problem.source_groups[ids],
            passes,
            seed=problem.seed,
            checkpoint=problem.work,
        )
        notes |= {"epochs": passes, "history": {name: _rounded(values) for name, values in history.items()}}
        learnable = Learnable(ids, known_source, standard.take(ids), table, held, len(rows))
        through = None
        if (model := problem.model) is not None and settings.model_steps and len(held):
            to_rows = _model_rows(problem, learner, scale, at_source_length=at_source_length)
            record = learn_through(learner, learnable, to_rows, model, settings.model_steps, problem.seed)
            notes["through_model"] = record
            through = None if record is None else (to_rows, model)
        notes["held_out"] = _compared(learner, learnable, through)
    is_known = new.counts > 0
    for one in new_evidence:
        is_known = is_known | one.is_known
    network = np.broadcast_to(scale.mean, (len(new), rows.shape[1])).copy()
    if is_known.any():
        network[is_known] = scale.leave(learner.predict(known_new.chosen(np.flatnonzero(is_known))))
    notes["new_tokens"] = {"pieces": round(float(new.counts.mean()), 2), "nothing_known": int((~is_known).sum())}
    problem.notes["network"] = notes
    pieces = scale.leave(mean_of_pieces(learner.rows, new)).astype(np.float32)
    characters = float(table.lengths[new.pieces].mean()) if len(new.pieces) else 0.0
    return Candidates(pieces, network, is_known, None, new.counts, characters)


def _places(problem: Problem, order: np.ndarray, ids: np.ndarray, share: float) -> np.ndarray:
    """(m,) where new tokens stand in ``order`` (V_s,): at a share of it; those that the text lacks, like such source tokens.

    ``ids`` are the source tokens that the network learns from.
    """
    places = np.full(len(problem.predict_ids), order[min(len(order) - 1, int(share * len(order)))])
    if problem.model is not None and len(ids):
        source_in_text = problem.model.holds(problem.source_tokenizer, len(order))[ids]
        size = max(rows_needed(problem.target_tokenizer), int(problem.predict_ids.max(initial=0)) + 1)
        target_in_text = problem.model.holds(problem.target_tokenizer, size)
        places[~target_in_text[problem.predict_ids]] = lacking_place(order[ids], source_in_text)
    return places


def lacking_place(order: np.ndarray, in_text: np.ndarray) -> float:
    """The mean place in ``order`` (n,) of the tokens that a text lacks; of all where ``in_text`` (n,) bool says it has all."""
    return float((order if in_text.all() else order[~in_text]).mean())


def passes_over(tokens: int, epochs: int | None) -> int:
    """How often so many tokens are gone through, unless ``epochs`` says."""
    return max(_FEWEST, min(_MOST, round(_EXAMPLES / max(tokens, 1)))) if epochs is None else epochs


def ends_of(rows: np.ndarray, spelled: Spellings) -> np.ndarray:
    """(n, 3 r) float32: the mean, first and last row of each token's pieces, each of which has some."""
    first, last = spelled.pieces[spelled.starts[:-1]], spelled.pieces[spelled.starts[1:] - 1]
    return np.concatenate([mean_of_pieces(rows, spelled), rows[first], rows[last]], axis=1)


def linear_map(rows: np.ndarray, spelled: Spellings, targets: np.ndarray, penalty: float = 1.0) -> Callable[..., Any]:
    """One linear map, shared by all tokens, from :func:`ends_of` to the row: what the network must be better than."""
    weights, intercept = ridge(ends_of(rows, spelled), targets, penalty)
    return lambda other: ends_of(rows, other) @ weights + intercept


def _evidence(problem: Problem) -> tuple[list[Evidence], list[Evidence]]:
    """What is known beside the spelling: of all source tokens, and of those to predict."""
    source_ids, target_ids = np.arange(len(problem.rows)), problem.predict_ids
    pairs: list[tuple[Evidence, Evidence]] = []
    if len(problem.vectors):
        words = (problem.source_words, source_ids), (problem.target_words, target_ids)
        pairs.append((_word_evidence(problem, *words[0]), _word_evidence(problem, *words[1])))
    if (donor := problem.donor) is not None:
        source_rows, target_rows = donor.of_source(source_ids), donor.of_target(target_ids)
        scale = Scale(source_rows[donor.has_source[source_ids]])
        sides = ((source_rows, donor.has_source[source_ids]), (target_rows, donor.has_target[target_ids]))
        standard = [np.where(has_row[:, None], scale.enter(rows), 0).astype(np.float32) for rows, has_row in sides]
        if standard[0].shape[1] > MOST_COLUMNS:
            directions = main_directions(standard[0], MOST_COLUMNS)
            standard = [rows @ directions for rows in standard]
        evidence = [Evidence("donor", rows, has_row) for rows, (_, has_row) in zip(standard, sides, strict=True)]
        pairs.append((evidence[0], evidence[1]))
    return [one for one, _ in pairs], [one for _, one in pairs]


def _word_evidence(problem: Problem, words: Any, ids: np.ndarray) -> Evidence:
    has_words = np.diff(words.indptr)[ids] > 0
    vectors = subword_vectors(words, ids, problem.centred_vectors, power=2.0)
    return Evidence("words", vectors * np.float32(np.sqrt(vectors.shape[1])), has_words)


def _rows_with_text(problem: Problem) -> np.ndarray:
    from hyperofa.vocab.surfaces import tokens_with_text

    has_text = np.zeros(len(problem.rows), dtype=bool)
    token_has_text = tokens_with_text(problem.source_tokenizer)[: len(has_text)]
    has_text[: len(token_has_text)] = token_has_text
    return has_text


def _from_vectors(problem: Problem) -> tuple[np.ndarray, np.ndarray]:
    """The rows of ``ofa-ridge`` for the tokens to predict that have words, and which these are."""
    has_words = np.diff(problem.target_words.indptr)[problem.predict_ids] > 0
    rows = np.zeros((len(has_words), problem.rows.shape[1]), dtype=np.float32)
    if has_words.any():
        part = dataclasses.replace(problem, predict_ids=problem.predict_ids[has_words], settings=OfaRidgeSettings())
        rows[has_words] = ofa_ridge(part)
    return rows, has_words


def _compared(
    learner: Learner, learnable: Learnable, through: tuple[ModelRows, FrozenModel] | None
) -> dict[str, Any] | None:
    """The network beside the shared linear map and the mean of pieces on the held-out tokens that are spelled."""
    known, ids, held = learnable.known, learnable.ids, learnable.held
    held = held[known.spelled.counts[held] > 0]
    if not len(held):
        return None
    rows, known_held = learner.rows, known.chosen(held)
    targets = rows[ids[held]]
    train = np.setdiff1d(np.flatnonzero(known.spelled.counts > 0), held)
    step = max(1, len(train) // 50_000)
    linear = linear_map(learner.seen, known.spelled.chosen(train[::step]), rows[ids[train[::step]]])
    predictions: dict[str, Callable[[Known], np.ndarray]] = {
        "network": learner.predict,
        "linear": lambda one: linear(one.spelled),
        "pieces": lambda one: mean_of_pieces(rows, one.spelled),
    }
    predicted = {name: predict(known_held) for name, predict in predictions.items()}
    lengths = {name: float(np.linalg.norm(one, axis=1).mean()) for name, one in {**predicted, "true": targets}.items()}
    return {
        "tokens": len(held),
        "cosine": {name: round(float(cosines(one, targets).mean()), 4) for name, one in predicted.items()},
        "norm": {name: round(length, 3) for name, length in lengths.items()},
        "loss": through and losses_of(learnable, *through, predictions),
    }


def _model_rows(problem: Problem, learner: Learner, scale: Scale, *, at_source_length: bool) -> ModelRows:
    centre = problem.rows.mean(axis=0)
    if not at_source_length:
        return ModelRows(learner, scale, centre, None)
    lengths = problem.rows.each(lambda block: np.linalg.norm(block - centre, axis=1))
    return ModelRows(learner, scale, centre, float(lengths.mean()))


def _rounded(values: list[float]) -> list[float]:
    return [round(value, 5) for value in values]


def at_length(rows: np.ndarray, problem: Problem) -> np.ndarray:
    """``rows`` (m, r) at the mean length of the source's rows about their mean."""
    return rescale(rows, problem.rows, problem.rows.mean(axis=0))
