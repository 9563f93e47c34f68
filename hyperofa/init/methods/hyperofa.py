"""HyperOFA: a hypernetwork predicts a token's row from the word vectors of its words; the paper's preset and our default."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hyperofa.errors import InputError, unknown_name
from hyperofa.init.linalg import normalise_rows
from hyperofa.init.methods.ofa import combine_nearest
from hyperofa.init.methods.ridge import fit_ridge, rescale
from hyperofa.init.problem import Problem, subword_vectors
from hyperofa.init.registry import Method, register

if TYPE_CHECKING:
    from hyperofa.init.hypernet import FitConfig, NetworkConfig

log = logging.getLogger(__name__)

PRESETS = ("default", "paper")

# HyperOFA, table 1 and §4.1: (layers, {rank: (hidden, epochs)}, temperature) by the number of source tokens with words.
_PAPER_MONO = (2, {100: (800, 370), 200: (800, 470), 400: (1600, 400)}, 0.5)
_PAPER_MULTI = (4, {100: (800, 120), 200: (800, 230), 400: (1600, 80)}, 0.25)
_PAPER_BOUNDARY = 48_000  # the geometric mean of the paper's 22 K and 103 K pairs


def hyperofa(problem: Problem) -> np.ndarray:
    """Rows that a hypernetwork predicts for the tokens to predict (HyperOFA, §3.3).

    ``preset=paper`` is the published method: the network's output is the row. The default predicts the *direction* of the
    centred row as a sum of unit vectors, the network's, OFA's and ridge regression's, and gives every row the mean length
    of the source's centred rows: regressors shrink and their errors are largely independent (docs/initialisation.md).

    Raises:
        InputError: an option is unknown or out of range.
    """
    options = problem.options
    if options["preset"] not in PRESETS:
        raise unknown_name("preset", str(options["preset"]), PRESETS, where="method hyperofa")
    if options["preset"] == "paper":
        network, config = paper_setting(len(problem.anchor_ids), problem.rows.shape[1])
        network, config = _override(network, options), _override(config, options)
        return _network_rows(problem, problem.anchor_rows, network, config)
    return _mixed(problem)


def paper_setting(pairs: int, rank: int) -> tuple[NetworkConfig, FitConfig]:
    """The paper's network and training for this many pairs and this rank, or the nearest published (HyperOFA, table 1)."""
    from hyperofa.init.hypernet import FitConfig, NetworkConfig

    layers, sizes, temperature = _PAPER_MULTI if pairs > _PAPER_BOUNDARY else _PAPER_MONO
    nearest = min(sizes, key=lambda known: (abs(known - rank), known))
    if nearest != rank:
        log.warning("the paper has no rank %d; taking the network and epochs of rank %d", rank, nearest)
    hidden, epochs = sizes[nearest]
    return NetworkConfig("bilstm", layers, hidden, 0.4), FitConfig(epochs=epochs, temperature=temperature)


def _mixed(problem: Problem) -> np.ndarray:
    from hyperofa.init.hypernet import FitConfig, NetworkConfig

    options = problem.options
    anchors = problem.anchor_rows
    centre = anchors.mean(axis=0)
    total = np.zeros((len(problem.predict_ids), anchors.shape[1]), dtype=np.float32)
    queries, keys = (
        subword_vectors(words, ids, problem.vectors, power=float(options["share_power"]))
        for words, ids in ((problem.target_words, problem.predict_ids), (problem.source_words, problem.anchor_ids))
    )
    if options["ofa_weight"]:
        near = combine_nearest(queries, keys, anchors, neighbours=10, temperature=0.1)
        total += float(options["ofa_weight"]) * normalise_rows(near - centre)
    if options["ridge_weight"]:
        weights, intercept = fit_ridge(keys, anchors, float(options["ridge_penalty"]))
        total += float(options["ridge_weight"]) * normalise_rows(queries @ weights + intercept - centre)
    if options["network_weight"]:
        network = _override(NetworkConfig("bilstm", layers=1, hidden=200, dropout=0.2), options)
        config = _override(
            FitConfig(epochs=12, learning_rate=1e-3, loss="direction", decay_every=2, decay=0.8), options
        )
        rows = _network_rows(problem, anchors - centre, network, config)
        total += float(options["network_weight"]) * normalise_rows(rows)
    if not total.any():
        raise InputError("all of ofa_weight, ridge_weight and network_weight are 0", where="method hyperofa")
    return rescale(centre + total, anchors, centre)


def _network_rows(problem: Problem, targets: np.ndarray, network: NetworkConfig, config: FitConfig) -> np.ndarray:
    """Fit the network on the anchors and predict (m, r); its report goes to ``problem.options['report']``."""
    from hyperofa.init import hypernet

    limit = 256 if problem.options["preset"] == "paper" else int(problem.options["max_words"])
    model, report = hypernet.fit(
        hypernet.WordSets(problem.source_words, problem.anchor_ids, limit=limit),
        targets,
        problem.source_groups[problem.anchor_ids],
        problem.vectors,
        network,
        config,
        seed=problem.seed,
        checkpoint=Path(problem.options["checkpoint"]) if problem.options["checkpoint"] else None,
    )
    problem.notes["hypernetwork"] = {
        "network": dataclasses.asdict(network),
        "fit": dataclasses.asdict(config),
        "report": dataclasses.asdict(report),
    }
    sets = hypernet.WordSets(problem.target_words, problem.predict_ids, limit=limit)
    return hypernet.predict(model, sets, problem.vectors, config, seed=problem.seed)


def _override(config: Any, options: dict[str, Any]) -> Any:
    """``config`` with the user's options that it has fields for; None means as it is."""
    fields = {field.name for field in dataclasses.fields(config)}
    renamed = {"network": "name"} if "layers" in fields else {}
    given = {renamed.get(name, name): value for name, value in options.items() if value is not None}
    return dataclasses.replace(config, **{name: value for name, value in given.items() if name in fields})


register(
    Method(
        "hyperofa",
        "a hypernetwork over the word vectors of the token's words (preset: default or paper)",
        hyperofa,
        {
            "preset": "default",
            "ofa_weight": 0.5,
            "ridge_weight": 1.0,
            "network_weight": 0.5,
            "ridge_penalty": 0.03,
            "share_power": 1.0,  # weight of a word = the token's share of it to this power; 0 is OFA's plain mean
            "max_words": 64,
            "checkpoint": None,
            # None leaves the preset's value; see hypernet.NetworkConfig and hypernet.FitConfig for their meaning.
            "network": None,
            "layers": None,
            "hidden": None,
            "dropout": None,
            "epochs": None,
            "batch_size": None,
            "learning_rate": None,
            "loss": None,
            "contrastive_weight": None,
            "temperature": None,
            "held_out": None,
            "patience": None,
            "bf16": None,
            "device": None,
        },
        "HyperOFA (arXiv 2504.21018), §3",
    )
)
