"""HyperOFA: a hypernetwork predicts a token's row from the word vectors of its words; the paper's preset and our default."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hyperofa.errors import InputError, unknown_name
from hyperofa.init.linalg import normalise_rows
from hyperofa.init.methods.directions import Directions
from hyperofa.init.problem import Problem
from hyperofa.init.ranges import Range
from hyperofa.init.registry import Method, register
from hyperofa_eval.settings.config import build_config

if TYPE_CHECKING:
    from hyperofa.init.hypernet import FitConfig, NetworkConfig
    from hyperofa.init.linalg import VectorTable

log = logging.getLogger(__name__)

PRESETS = ("default", "paper")
NETWORK_OPTIONS = (
    "network",
    "layers",
    "hidden",
    "dropout",
    "epochs",
    "batch_size",
    "learning_rate",
    "loss",
    "contrastive_weight",
    "temperature",
    "held_out",
    "patience",
    "bf16",
    "device",
    "processes",
)
"""Settings of a hypernetwork and its fitting, see hypernet.NetworkConfig and hypernet.FitConfig; None leaves the preset's."""

WEIGHTS = ("ofa_weight", "ridge_weight", "broad_ridge_weight", "network_weight")
"""Settings that say how much each predictor counts."""

MIXING = {
    "ofa_weight": 1.0,
    "ridge_weight": 0.5,
    "broad_ridge_weight": 0.5,  # of ridge regression on all source tokens with words, not only the known ones
    "network_weight": 0.0,  # of a hypernetwork trained for directions; it did not help (docs/initialisation.md)
    "ridge_penalty": 0.03,
    "share_power": 2.0,  # weight of a word = the token's share of it to this power; 0 is OFA's plain mean
    "known_words": 0.5,  # a source token counts as known from so many whole words of a language the source knows
    "max_words": 48,
}
"""Settings of the default that the published method does not have, with their values."""

# HyperOFA, table 1 and §4.1: (layers, {rank: (hidden, epochs)}, temperature) by the number of source tokens with words.
_PAPER_MONO = (2, {100: (800, 370), 200: (800, 470), 400: (1600, 400)}, 0.5)
_PAPER_MULTI = (4, {100: (800, 120), 200: (800, 230), 400: (1600, 80)}, 0.25)
_PAPER_BOUNDARY = 48_000  # the geometric mean of the paper's 22 K and 103 K pairs


def hyperofa(problem: Problem) -> np.ndarray:
    """Rows that a hypernetwork predicts for the tokens to predict (HyperOFA, §3.3).

    ``preset=paper`` is the published method: the network's output is the row. The default predicts the *direction* of the
    centred row as a sum of unit vectors, the network's, OFA's and two of ridge regression, and gives every row the mean
    length of the source's centred rows: regressors shrink and their errors are largely independent. Word vectors are taken
    about the mean of their language, and what a source token means is learned from the words of the languages that the
    source knows (docs/initialisation.md).

    Raises:
        InputError: an option is unknown or out of range.
    """
    check_options(problem.options)
    if problem.options["preset"] == "paper":
        network, config = _setting(problem.options, len(problem.anchor_ids), problem.rows.shape[1])
        return _network_rows(problem, problem.anchor_ids, problem.anchor_rows, problem.vectors, network, config)
    return _mixed(problem)


def check_options(options: dict[str, Any]) -> None:
    """Refuse settings that no rows can be predicted with.

    Raises:
        InputError: the preset, the network, the loss or the device is unknown, a number is out of range, settings of a network
            are given where none is fitted, or all weights are 0.
    """
    where = "method hyperofa"
    if options["preset"] not in PRESETS:
        raise unknown_name("preset", str(options["preset"]), PRESETS, where=where)
    fits = options["preset"] == "paper" or options["network_weight"]
    unused = [name for name in NETWORK_OPTIONS if options[name] is not None]
    if options["preset"] == "paper":
        changed = [name for name, value in MIXING.items() if options[name] != value]
        if changed:
            what = f"{', '.join(changed)}: of the default, and preset=paper is the network alone"
            raise InputError(what, where=where, todo="leave preset=paper out, or them")
    if unused and not fits:
        what = f"{', '.join(unused)}: of the hypernetwork, which has weight 0 in the default"
        raise InputError(what, where=where, todo="set network_weight=0.5 or preset=paper too")
    if not fits and not any(options[name] for name in WEIGHTS):
        raise InputError("all of the four weights are 0", where=where, todo="leave one of them above 0")
    if not fits:
        return
    from hyperofa.init.hypernet import NETWORKS
    from hyperofa.init.hypernet.losses import loss_named

    network, config = _setting(options, pairs=1, rank=100)
    if network.name not in NETWORKS:
        raise unknown_name("hypernetwork", network.name, NETWORKS, where=where)
    if network.name == "set-transformer" and network.hidden % network.heads:
        what = f"hidden {network.hidden} is no multiple of the set transformer's {network.heads} heads"
        raise InputError(what, where=where)
    loss_named(config.loss)


def _setting(options: dict[str, Any], pairs: int, rank: int) -> tuple[NetworkConfig, FitConfig]:
    """The network and its fitting: the preset's, with the user's settings over them."""
    from hyperofa.init.hypernet import FitConfig, NetworkConfig

    if options["preset"] == "paper":
        network, config = paper_setting(pairs, rank)
    else:
        network = NetworkConfig("deep-sets", layers=1, hidden=512, dropout=0.2)
        config = FitConfig(epochs=15, learning_rate=1e-3, loss="direction", decay_every=2, decay=0.8)
    return _override(network, options), _override(config, options)


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
    """The default: a sum of directions by predictors whose errors differ, at the length of the source's rows."""
    options = problem.options
    parts = Directions(
        problem,
        power=float(options["share_power"]),
        known_words=float(options["known_words"]),
        penalty=float(options["ridge_penalty"]),
    )
    total = np.zeros((len(parts.queries), parts.rows.shape[1]), dtype=np.float32)
    if options["ofa_weight"]:
        total += float(options["ofa_weight"]) * parts.nearest()
    if options["ridge_weight"]:
        total += float(options["ridge_weight"]) * parts.narrow_ridge()
    if options["broad_ridge_weight"]:
        total += float(options["broad_ridge_weight"]) * parts.broad_ridge()
    if options["network_weight"]:
        network, config = _setting(options, len(parts.anchors), parts.rows.shape[1])
        targets = parts.rows - parts.centre
        offsets = _network_rows(problem, parts.anchors, targets, problem.centred_vectors, network, config)
        total += float(options["network_weight"]) * normalise_rows(offsets)
    return parts.at_length(total)


def _network_rows(
    problem: Problem,
    anchors: np.ndarray,
    targets: np.ndarray,
    vectors: VectorTable,
    network: NetworkConfig,
    config: FitConfig,
) -> np.ndarray:
    """Fit the network on ``targets`` (a, r) of the source tokens ``anchors`` (a,) and predict (m, r)."""
    from hyperofa.init import hypernet
    from hyperofa.init.hypernet.launch import fit_in_processes

    limit = 256 if problem.options["preset"] == "paper" else int(problem.options["max_words"])
    model, report = fit_in_processes(
        hypernet.WordSets(problem.source_words, anchors, limit=limit),
        targets,
        problem.source_groups[anchors],
        vectors,
        network,
        config,
        seed=problem.seed,
        checkpoint=Path(problem.options["checkpoint"]) if problem.options["checkpoint"] else None,
    )
    problem.notes["hypernetwork"] = {
        "network": dataclasses.asdict(network),
        "fit": dataclasses.asdict(config),
        # How long it took is in the log: two runs with one seed write the same init.json.
        "report": {name: value for name, value in dataclasses.asdict(report).items() if name != "seconds"},
    }
    log.info("fitted the %s in %.1f s", network.name, report.seconds)
    sets = hypernet.WordSets(problem.target_words, problem.predict_ids, limit=limit)
    return hypernet.predict(model, sets, vectors, config, seed=problem.seed)


def _override(config: Any, options: dict[str, Any]) -> Any:
    """``config`` with the user's options that it has fields for; None means as it is."""
    fields = {field.name for field in dataclasses.fields(config)}
    renamed = {"network": "name"} if "layers" in fields else {}
    given = {renamed.get(name, name): value for name, value in options.items() if value is not None}
    values = dataclasses.asdict(config) | {name: value for name, value in given.items() if name in fields}
    return build_config(type(config), values, "method hyperofa")


register(
    Method(
        "hyperofa",
        "directions of OFA and two ridge regressions summed, at the source's length; preset=paper: the hypernetwork",
        hyperofa,
        {
            "preset": "default",
            **MIXING,
            "checkpoint": None,
            **dict.fromkeys(NETWORK_OPTIONS),
        },
        "HyperOFA (arXiv 2504.21018), §3",
        ranges={
            **dict.fromkeys(WEIGHTS, Range(0)),
            "ridge_penalty": Range(0, above=True),
            "share_power": Range(0, 16),
            "known_words": Range(0),
            "max_words": Range(1),
        },
        check=check_options,
    )
)
