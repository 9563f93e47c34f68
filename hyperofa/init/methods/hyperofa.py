"""HyperOFA, the published method: a hypernetwork makes a token's row of the word vectors of its words."""

from __future__ import annotations

import dataclasses
import logging
from dataclasses import dataclass
from typing import Any

import numpy as np

from hyperofa.init.hypernet.settings import FitConfig, Fitting, NetworkConfig, NetworkKind, check_heads
from hyperofa.init.method import Method
from hyperofa.init.problem import Problem
from hyperofa_eval.settings.fields import Range, setting

log = logging.getLogger(__name__)

# HyperOFA, table 1 and §4.1: (layers, {rank: (hidden, epochs)}, temperature) by the number of source tokens with words.
_PAPER_MONO = (2, {100: (800, 370), 200: (800, 470), 400: (1600, 400)}, 0.5)
_PAPER_MULTI = (4, {100: (800, 120), 200: (800, 230), 400: (1600, 80)}, 0.25)
_PAPER_BOUNDARY = 48_000  # the geometric mean of the paper's 22 K and 103 K pairs
_BY_TABLE = "(default: the paper's, by the number of source tokens with words and the rank)"


@dataclass(frozen=True, kw_only=True)
class HyperofaSettings(NetworkKind, Fitting):
    """Settings of the published method; what is None comes from the paper's table 1."""

    layers: int | None = setting(None, f"layers of the network {_BY_TABLE}", range=Range(1))
    hidden: int | None = setting(None, f"width of the network {_BY_TABLE}", range=Range(1))
    epochs: int | None = setting(None, f"passes over the source tokens {_BY_TABLE}", range=Range(0))
    temperature: float | None = setting(
        None, f"temperature of the contrastive part of the loss {_BY_TABLE}", range=Range(0, above=True)
    )

    def check(self) -> None:
        """The device's name is one, and the width fits the heads."""
        super().check()
        check_heads(self.network, self.hidden, self.heads)


def paper_setting(pairs: int, rank: int, settings: HyperofaSettings | None = None) -> tuple[NetworkConfig, FitConfig]:
    """The network and its fitting for this many source tokens with words and this rank, or the nearest published one.

    Settings that are given take the place of the paper's (HyperOFA, table 1).
    """
    layers, sizes, temperature = _PAPER_MULTI if pairs > _PAPER_BOUNDARY else _PAPER_MONO
    nearest = min(sizes, key=lambda known: (abs(known - rank), known))
    if nearest != rank:
        log.warning("the paper has no rank %d; taking the network and epochs of rank %d", rank, nearest)
    hidden, epochs = sizes[nearest]
    values: dict[str, Any] = {"layers": layers, "hidden": hidden, "epochs": epochs, "temperature": temperature}
    values |= {name: value for name, value in vars(settings or HyperofaSettings()).items() if value is not None}
    network, fit = ({field.name for field in dataclasses.fields(one)} for one in (NetworkConfig, FitConfig))
    return (
        NetworkConfig(**{name: value for name, value in values.items() if name in network}),
        FitConfig(**{name: value for name, value in values.items() if name in fit}),
    )


def hyperofa(problem: Problem) -> np.ndarray:
    """Rows (m, r) that a hypernetwork predicts for the tokens to predict (HyperOFA, §3.3).

    It is fitted on the source tokens that have words, and its output is the row.

    Raises:
        HyperofaError: the loss became NaN, or one of several processes ended.
    """
    from hyperofa.init.hypernet.fit import FitData, predict
    from hyperofa.init.hypernet.launch import fit_in_processes
    from hyperofa.init.hypernet.sets import WordSets

    anchors = problem.anchor_ids
    network, config = paper_setting(len(anchors), problem.rows.shape[1], problem.settings)
    sets = WordSets(problem.source_words, anchors)
    data = FitData(sets, np.asarray(problem.anchor_rows), problem.source_groups[anchors], problem.vectors)
    model, report = fit_in_processes(data, network, config, seed=problem.seed, checkpoint=problem.work)
    problem.notes["hypernetwork"] = {
        "network": dataclasses.asdict(network),
        "fit": dataclasses.asdict(config),
        # How long it took is in the log: two runs with one seed write the same init.json.
        "report": {name: value for name, value in dataclasses.asdict(report).items() if name != "seconds"},
    }
    log.info("fitted the %s in %.1f s", network.network, report.seconds)
    sets = WordSets(problem.target_words, problem.predict_ids)
    return predict(model, sets, problem.vectors, config, seed=problem.seed)


HYPEROFA = Method(
    "hyperofa",
    "the published method: a hypernetwork makes the row of the token's words",
    hyperofa,
    HyperofaSettings,
    "HyperOFA (arXiv 2504.21018), §3",
    rest="drawn",
    trains=True,
    held_out=0,  # the network would be fitted once more
    scale_split=0.0,  # as in the public code
)
