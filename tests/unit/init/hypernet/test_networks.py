"""The hypernetworks: padding, attention over source tokens, and names."""

from __future__ import annotations

from typing import get_args, get_type_hints

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from hyperofa.init.hypernet.attention import SourceTable
from hyperofa.init.hypernet.losses import LOSSES
from hyperofa.init.hypernet.networks import NETWORKS, build_network
from hyperofa.init.hypernet.settings import FitConfig, NetworkConfig
from hyperofa.init.methods.ofa import combine_nearest


def test_settings_name_what_there_is():
    assert set(get_args(get_type_hints(NetworkConfig)["network"])) == set(NETWORKS)
    assert set(get_args(get_type_hints(FitConfig)["loss"])) == set(LOSSES)


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_a_network_does_not_see_the_padding(name):
    source = SourceTable(normalize(torch.randn(9, 5), dim=-1), torch.randn(9, 3), torch.arange(9))
    network = build_network(
        NetworkConfig(network=name, layers=2, hidden=8, dropout=0.0), 5, 3, seed=0, source=source
    ).eval()
    words = torch.randn(2, 7, 5)
    shares = torch.rand(2, 7)
    lengths = torch.tensor([7, 3])
    shares[1, 3:] = 0
    noisy = words.clone()
    noisy[1, 3:] = 100.0
    torch.testing.assert_close(network(words, shares, lengths), network(noisy, shares, lengths))
    alone = network(words[1:, :3], shares[1:, :3], lengths[1:])
    torch.testing.assert_close(network(words, shares, lengths)[1:], alone)


def test_attention_starts_as_ofa_and_does_not_look_at_the_token_itself(problem):
    """Before it is fitted, attention is OFA's weighted mean; a token's own group has no part in its row."""
    keys = torch.from_numpy(problem.anchor_subwords)
    groups = torch.from_numpy(problem.source_groups[problem.anchor_ids])
    table = SourceTable(keys, torch.from_numpy(problem.anchor_rows[:]), groups)
    shape = NetworkConfig(network="attention", hidden=64, neighbours=10)
    network = build_network(shape, 7, 6, seed=0, source=table).eval()
    words = torch.from_numpy(problem.predict_subwords)[:, None]
    rows = network(words, torch.ones(words.shape[:2]), torch.ones(len(words), dtype=torch.long))
    wanted = combine_nearest(
        problem.predict_subwords, keys.numpy(), problem.anchor_rows, neighbours=10, temperature=0.1
    )
    np.testing.assert_allclose(rows.detach().numpy(), wanted, atol=1e-3)
    own = network(keys[:, None], torch.ones(len(keys), 1), torch.ones(len(keys), dtype=torch.long), groups)
    for token in range(len(keys)):
        others = (groups != groups[token]).numpy()
        expected = combine_nearest(
            keys[token : token + 1].numpy(),
            keys.numpy()[others],
            problem.anchor_rows[others],
            neighbours=10,
            temperature=0.1,
        )
        np.testing.assert_allclose(own[token].detach().numpy(), expected[0], atol=1e-3)
    assert not any(name in network.state_dict() for name in ("keys", "rows", "groups"))
    with pytest.raises(ValueError, match="needs the table"):
        build_network(shape, 7, 6, seed=0)
