"""Methods of initialisation that were tried beside the default and are no part of it; see ``init_trials.py``.

``residual``  deep sets learn what another method leaves over, and are added to it
``pieces``    the default with a regression or network that also sees the rows of the pieces that spell a token
``by_word``   the default with OFA's step taken for each word, not for the mean of a token's words
``hubs``      the default with neighbours chosen by CSLS: source tokens that are near to everything count less
``length``    the default with rows of another length
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from hyperofa.init.hypernet.fit import FitData, fit, predict
from hyperofa.init.hypernet.sets import WordSets
from hyperofa.init.hypernet.settings import FitConfig, NetworkConfig
from hyperofa.init.linalg import combine, nearest, normalise_rows, softmax
from hyperofa.init.method import Method, make_settings, run_method
from hyperofa.init.methods.ofa import combine_nearest
from hyperofa.init.methods.ofa_ridge import Directions, OfaRidgeSettings
from hyperofa.init.methods.ridge import fit_ridge
from hyperofa.init.problem import Problem
from hyperofa.init.quality.held_out import without_tokens
from hyperofa.init.registry import find_method
from hyperofa.vocab.surfaces import Surface, token_surfaces
from hyperofa_eval.settings.fields import Range, Settings, setting

FOLDS = 5
_NETWORK = NetworkConfig(network="deep-sets", layers=1, hidden=512, dropout=0.2)
_FIT = FitConfig(epochs=15, learning_rate=1e-3, decay_every=2, decay=0.8, loss="paper", contrastive_weight=0.0)


@dataclass(frozen=True, kw_only=True)
class ResidualSettings(Settings):
    """Settings of ``residual``."""

    base: Literal["ofa", "default"] = setting("ofa", "the method that is added to")


@dataclass(frozen=True, kw_only=True)
class PiecesSettings(Settings):
    """Settings of ``pieces``."""

    network: bool = setting(False, "a network in place of the regression")
    pieces: bool = setting(True, "let it see the pieces")


@dataclass(frozen=True, kw_only=True)
class LengthSettings(Settings):
    """Settings of ``length``."""

    factor: float = setting(1.0, "of the source's length", range=Range(0, above=True))


def default_parts(problem: Problem) -> Directions:
    """The default's parts, with its own settings."""
    return Directions(problem, OfaRidgeSettings())


def out_of_fold(method: Method, problem: Problem, ids: np.ndarray) -> np.ndarray:
    """(a, r): rows of the source tokens ``ids`` (a,), each predicted without its fold's groups of equal surface."""
    names, group = np.unique(problem.source_groups[ids], return_inverse=True)
    fold = problem.rng(901).permutation(len(names))[group] % FOLDS
    predicted = np.empty((len(ids), problem.rows.shape[1]), dtype=np.float32)
    for number in range(FOLDS):
        rows = run_method(method, without_tokens(problem, ids[fold == number], make_settings(method, {})))
        assert rows is not None
        predicted[fold == number] = rows
    return predicted


def predict_residual(problem: Problem) -> np.ndarray:
    """The base's unit offsets plus what deep sets predict of the difference to the true ones, at the source's length."""
    parts = default_parts(problem)
    method = find_method({"ofa": "ofa", "default": "ofa-ridge"}[problem.settings.base])
    begun = run_method(method, dataclasses.replace(problem, settings=make_settings(method, {}), notes={}))
    assert begun is not None
    ids = parts.anchors
    seen = normalise_rows(out_of_fold(method, problem, ids) - parts.centre)
    missing = normalise_rows(parts.rows - parts.centre) - seen
    vectors, seed = problem.centred_vectors, problem.seed
    sets = WordSets(parts.known, ids, limit=48)
    network, report = fit(FitData(sets, missing, problem.source_groups[ids], vectors), _NETWORK, _FIT, seed=seed)
    problem.notes["residual"] = {"train": report.train_loss, "validation": report.validation_loss}
    new = WordSets(problem.target_words, problem.predict_ids, limit=48)
    return parts.at_length(normalise_rows(begun - parts.centre) + predict(network, new, vectors, _FIT, seed=seed))


def spelled(surfaces: Iterable[Surface], pieces: dict[tuple[bytes, bool], int], rows: np.ndarray) -> np.ndarray:
    """(m, r): mean row, by bytes, of the source pieces that spell each token, longest first; never of the token itself.

    Zero where the source cannot spell the first character.
    """
    longest = max(len(text) for text, _ in pieces)
    means = []
    for surface in surfaces:
        text = surface.text.decode("utf-8", "ignore").lower().encode()
        total, place = np.zeros(rows.shape[1], dtype=np.float32), 0
        while place < len(text):
            start = surface.boundary and place == 0
            for size in range(min(longest, len(text) - place), 0, -1):
                piece = pieces.get((text[place : place + size], start))
                if piece is not None and size < len(text):
                    total += size * rows[piece]
                    place += size
                    break
            else:
                break
        means.append(total / max(place, 1))
    return np.stack(means)


def predict_with_pieces(problem: Problem) -> np.ndarray:
    """The default, the ridge regression from known anchors replaced by one, or a network, that sees spelling too."""
    parts = default_parts(problem)
    ours, theirs = token_surfaces(problem.source_tokenizer), token_surfaces(problem.target_tokenizer)
    pieces = {(s.text, s.boundary): i for i, s in enumerate(ours) if s.role is None and s.kind == "piece" and s.text}
    offsets = problem.rows - parts.centre
    spelt = [spelled((ours[i] for i in parts.anchors), pieces, offsets)]
    spelt.append(spelled((theirs[i] for i in problem.predict_ids), pieces, offsets))
    if not problem.settings.pieces:
        spelt = [np.zeros_like(side) for side in spelt]
    scale = np.linalg.norm(spelt[0], axis=1).mean() or 1.0
    known, new = (
        np.hstack([words, side / scale]) for words, side in zip((parts.keys, parts.queries), spelt, strict=True)
    )
    if problem.settings.network:
        directions = _network(problem, known.astype(np.float32), new.astype(np.float32), parts)
    else:
        weights, intercept = fit_ridge(known, parts.rows, parts.penalty)
        directions = normalise_rows(new @ weights + intercept - parts.centre)
    return parts.at_length(parts.nearest() + 0.5 * directions + 0.5 * parts.broad_ridge())


def _network(problem: Problem, known: np.ndarray, new: np.ndarray, parts: Directions) -> np.ndarray:
    """Unit offsets by deep sets over one "word" a token: its features."""
    from scipy.sparse import eye_array

    config = dataclasses.replace(_FIT, loss="direction", contrastive_weight=0.1)
    groups, targets = problem.source_groups[parts.anchors], parts.rows - parts.centre
    sets = WordSets(eye_array(len(known), format="csr"), np.arange(len(known)))
    network, report = fit(FitData(sets, targets, groups, known), _NETWORK, config, seed=problem.seed)
    problem.notes["pieces"] = {"train": report.train_loss, "validation": report.validation_loss}
    ahead = WordSets(eye_array(len(new), format="csr"), np.arange(len(new)))
    return normalise_rows(predict(network, ahead, new, config, seed=problem.seed))


def predict_by_word(problem: Problem) -> np.ndarray:
    """OFA's step for each word of the target's tokens; a token's row is their mean by the square of its share."""
    parts = default_parts(problem)
    chosen = problem.target_words[problem.predict_ids].astype(np.float32)
    chosen.data = chosen.data**parts.power
    used, chosen.indices = np.unique(chosen.indices, return_inverse=True)
    words = problem.centred_vectors[used]
    neighbours = combine_nearest(words, parts.keys, parts.rows - parts.centre, neighbours=10, temperature=0.1)
    chosen.resize(chosen.shape[0], len(used))
    directions = normalise_rows(chosen @ neighbours)
    return parts.at_length(directions + 0.5 * parts.narrow_ridge() + 0.5 * parts.broad_ridge())


def predict_without_hubs(problem: Problem) -> np.ndarray:
    """The 10 source tokens of largest cosine less half their mean cosine with the 10 new tokens nearest to them (CSLS)."""
    parts = default_parts(problem)
    hubness = nearest(parts.keys, parts.queries, 10)[1].mean(axis=1)
    indices, scores = nearest(parts.queries, parts.keys, 10, offset=-hubness / 2)
    combined = combine(softmax(scores, 0.1), indices, parts.rows)
    directions = normalise_rows(combined - parts.centre)
    return parts.at_length(directions + 0.5 * parts.narrow_ridge() + 0.5 * parts.broad_ridge())


def predict_at_length(problem: Problem) -> np.ndarray:
    """The default's directions at ``factor`` times the source's length."""
    parts = default_parts(problem)
    rows = parts.at_length(parts.nearest() + 0.5 * parts.narrow_ridge() + 0.5 * parts.broad_ridge())
    return parts.centre + problem.settings.factor * (rows - parts.centre)


residual = Method("residual", "a method plus what deep sets find missing", predict_residual, ResidualSettings)
pieces = Method("pieces", "the default with spelling", predict_with_pieces, PiecesSettings, reads_text=True)
by_word = Method("by-word", "the default by word", predict_by_word)
hubs = Method("hubs", "the default without hubs", predict_without_hubs)
length = Method("length", "the default at another length", predict_at_length, LengthSettings)
