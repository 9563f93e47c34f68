"""The published method: the paper's settings, and rows that a hypernetwork predicts."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from hyperofa.init.hypernet.networks import NETWORKS
from hyperofa.init.hypernet.settings import NetworkConfig
from hyperofa.init.method import make_settings, run_method
from hyperofa.init.methods.hyperofa import HYPEROFA, HyperofaSettings, paper_setting


@pytest.mark.parametrize(
    ("pairs", "rank", "layers", "hidden", "epochs", "temperature"),
    [
        (22_000, 100, 2, 800, 370, 0.5),
        (22_000, 200, 2, 800, 470, 0.5),
        (22_000, 400, 2, 1600, 400, 0.5),
        (103_000, 100, 4, 800, 120, 0.25),
        (103_000, 200, 4, 800, 230, 0.25),
        (103_000, 400, 4, 1600, 80, 0.25),
    ],
)
def test_the_papers_settings(pairs, rank, layers, hidden, epochs, temperature):
    network, config = paper_setting(pairs, rank)
    assert network == NetworkConfig(layers=layers, hidden=hidden)
    assert (config.epochs, config.temperature) == (epochs, temperature)
    assert (config.learning_rate, config.decay, config.decay_every, config.batch_size) == (1e-4, 0.95, 10, 256)
    assert (config.contrastive_weight, config.thin, config.loss) == (0.1, 0.5, "paper")


def test_the_papers_networks_have_the_papers_sizes():
    """22 M and 52 M parameters at rank 100 with 200-dimensional word vectors (HyperOFA, table 1)."""
    for pairs, millions in ((22_000, 22), (103_000, 52)):
        with torch.device("meta"):
            network = NETWORKS["bilstm"](paper_setting(pairs, 100)[0], 200, 100)
        assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(millions, abs=1)


def test_a_given_setting_takes_the_place_of_the_papers():
    network, config = paper_setting(22_000, 200, HyperofaSettings(hidden=8, epochs=0, network="deep-sets"))
    assert (network.network, network.layers, network.hidden) == ("deep-sets", 2, 8)
    assert (config.epochs, config.temperature) == (0, 0.5)


def solve(problem, **options):
    return run_method(HYPEROFA, dataclasses.replace(problem, settings=make_settings(HYPEROFA, options)))


def test_it_predicts_and_reports(problem):
    rows = solve(problem, hidden=8, layers=1, epochs=2, learning_rate="1e-3")
    assert rows.shape == (22, 6)
    fit = problem.notes["hypernetwork"]["fit"]
    assert (fit["epochs"], fit["learning_rate"]) == (2, 1e-3)


def test_it_holds_out_by_the_tokens_surface(problem):
    groups = (np.arange(40) >= 10).astype(int)  # of the 35 tokens with words, 5 in one group and 30 in the other
    solve(dataclasses.replace(problem, source_groups=groups), hidden=8, layers=1, epochs=1, held_out=0.5)
    assert problem.notes["hypernetwork"]["report"]["held_out"] in {5, 30}
