"""Hypernetworks: the losses by hand, the sampling of word sets, the networks, the paper's settings."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix
from torch.nn.functional import normalize

from hyperofa.errors import InputError
from hyperofa.init.hypernet import NETWORKS, NetworkConfig, WordSets, build_network
from hyperofa.init.hypernet.attention import SourceTable
from hyperofa.init.hypernet.fit import split_groups
from hyperofa.init.hypernet.losses import contrastive, direction_loss, normalised_l1, paper_loss
from hyperofa.init.methods.hyperofa import paper_setting
from hyperofa.init.methods.ofa import combine_nearest
from hyperofa.init.registry import find_method, resolve_options, run_method

SMALL = NetworkConfig("bilstm", layers=2, hidden=8, dropout=0.3)


def test_contrastive_loss_by_hand():
    rng = np.random.default_rng(0)
    p, t = rng.normal(size=(4, 3)), rng.normal(size=(4, 3))
    expected = 0.0
    for i in range(4):
        cosines = [p[i] @ t[j] / np.linalg.norm(p[i]) / np.linalg.norm(t[j]) / 0.25 for j in range(4)]
        expected -= (cosines[i] - math.log(sum(math.exp(c) for c in cosines))) / 4
    assert float(contrastive(torch.tensor(p), torch.tensor(t), 0.25)) == pytest.approx(expected)


def test_normalised_l1_and_their_sum_by_hand():
    p, t = torch.tensor([[1.0, 2.0], [0.0, -1.0]]), torch.tensor([[2.0, 2.0], [-2.0, -2.0]])
    assert float(normalised_l1(p, t)) == pytest.approx((1 + 0 + 2 + 1) / 8)
    both = 0.1 * float(contrastive(p, t, 0.5)) + 0.9 * 0.5
    assert float(paper_loss(p, t, weight=0.1, temperature=0.5)) == pytest.approx(both)


def test_direction_loss_is_blind_to_length():
    p, t = torch.randn(6, 4), torch.randn(6, 4)
    one, ten = (float(direction_loss(scale * p, t, weight=0.3, temperature=0.2)) for scale in (1, 10))
    assert one == pytest.approx(ten, rel=1e-5)


def test_a_batch_samples_among_all_words_and_only_the_tokens_own(problem):
    dense = np.zeros((2, 1000), dtype=np.float32)
    dense[0, :900] = np.linspace(0.1, 1, 900)
    dense[1, 5] = 0.25
    sets = WordSets(csr_matrix(dense), np.array([0, 1]), limit=64)
    rng = np.random.default_rng(0)
    seen: set[int] = set()
    for _ in range(60):
        batch = sets.batch(np.array([1, 0]), rng)
        assert batch.lengths.tolist() == [1, 64]
        assert batch.words[0, 0] == 5
        assert batch.shares[0].tolist()[:2] == [0.25, 0]
        assert len(set(batch.words[1])) == 64
        np.testing.assert_allclose(batch.shares[1], dense[0, batch.words[1]])
        seen |= set(batch.words[1].tolist())
    assert len(seen) > 850  # not always the same first 64


def test_thinning_keeps_half_to_all_words():
    sets = WordSets(csr_matrix(np.ones((1, 100), dtype=np.float32)), np.array([0]))
    rng = np.random.default_rng(0)
    sizes = [int(sets.batch(np.array([0]), rng, thin=1.0).lengths[0]) for _ in range(200)]
    assert min(sizes) >= 50
    assert max(sizes) <= 100
    assert len(set(sizes)) > 20
    assert {int(sets.batch(np.array([0]), rng).lengths[0]) for _ in range(20)} == {100}


def test_an_epoch_holds_every_item_once_with_little_padding():
    rng = np.random.default_rng(0)
    dense = (rng.random((500, 200)) < rng.uniform(0.02, 0.6, (500, 1))).astype(np.float32)
    dense[:, 0] = 1
    sets = WordSets(csr_matrix(dense), np.arange(500))
    batches = list(sets.epoch(np.arange(500), 32, np.random.default_rng(1)))
    assert sorted(np.concatenate([b.items for b in batches]).tolist()) == list(range(500))
    cells = sum(b.words.size for b in batches)
    assert cells < 1.35 * sum(int(b.lengths.sum()) for b in batches)
    again = [b.words.tolist() for b in sets.epoch(np.arange(500), 32, np.random.default_rng(1))]
    assert again == [b.words.tolist() for b in batches]


def test_groups_never_lie_on_both_sides():
    groups = np.random.default_rng(0).integers(0, 100, 500)
    train, held = split_groups(groups, 0.2, np.random.default_rng(1))
    assert len(train) + len(held) == 500
    assert not set(groups[train]) & set(groups[held])
    assert len(set(groups[held])) == 20


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_a_network_does_not_see_the_padding(name):
    source = SourceTable(normalize(torch.randn(9, 5), dim=-1), torch.randn(9, 3), torch.arange(9))
    network = build_network(NetworkConfig(name, layers=2, hidden=8, dropout=0.0), 5, 3, seed=0, source=source).eval()
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
    table = SourceTable(keys, torch.from_numpy(problem.anchor_rows), groups)
    shape = NetworkConfig("attention", hidden=64, extra={"neighbours": 10})
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
    assert network == NetworkConfig("bilstm", layers, hidden, 0.4)
    assert (config.epochs, config.temperature) == (epochs, temperature)
    assert (config.learning_rate, config.decay, config.decay_every, config.batch_size) == (1e-4, 0.95, 10, 256)
    assert (config.contrastive_weight, config.thin, config.loss) == (0.1, 0.5, "paper")


def test_the_papers_networks_have_the_papers_sizes():
    """22 M and 52 M parameters at rank 100 with 200-dimensional word vectors (HyperOFA, table 1)."""
    for pairs, millions in ((22_000, 22), (103_000, 52)):
        with torch.device("meta"):
            network = NETWORKS["bilstm"](paper_setting(pairs, 100)[0], 200, 100)
        assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(millions, abs=1)


@pytest.mark.parametrize("preset", ["default", "paper"])
def test_hyperofa_predicts_and_reports(problem, preset):
    method = find_method("hyperofa")
    asked = {"preset": preset, "hidden": 8, "layers": 1, "epochs": 2}
    options = resolve_options(method, asked | ({"network_weight": 0.5} if preset == "default" else {}))
    given = dataclasses.replace(problem, options=options)
    rows = run_method(method, given)
    assert rows.shape == (22, 6)
    assert given.notes["hypernetwork"]["fit"]["epochs"] == 2
    if preset == "default":  # every row as long as a source row, measured from the mean
        centre = problem.anchor_rows.mean(0)
        wanted = np.linalg.norm(problem.anchor_rows - centre, axis=1).mean()
        np.testing.assert_allclose(np.linalg.norm(rows - centre, axis=1), wanted, rtol=1e-4)


@pytest.mark.parametrize("preset", ["default", "paper"])
def test_hyperofa_holds_out_by_the_tokens_surface(problem, preset):
    groups = (np.arange(40) >= 10).astype(int)  # of the 35 tokens with words, 5 in one group and 30 in the other
    settings = {"preset": preset, "hidden": 8, "layers": 1, "epochs": 1, "held_out": 0.5}
    if preset == "default":
        settings |= {"network_weight": 1, "known_words": 0}
    method = find_method("hyperofa")
    options = resolve_options(method, settings)
    given = dataclasses.replace(problem, options=options, source_groups=groups)
    run_method(method, given)
    assert given.notes["hypernetwork"]["report"]["held_out"] in {5, 30}


def test_unknown_names_in_hyperofa(problem):
    method = find_method("hyperofa")
    for options, message in (
        ({"preset": "papr"}, "unknown preset 'papr'; did you mean 'paper'"),
        ({"network": "bilstmm", "network_weight": 1}, "unknown hypernetwork 'bilstmm'; did you mean 'bilstm'"),
        ({"loss": "papre", "network_weight": 1}, "unknown loss 'papre'; did you mean 'paper'"),
    ):
        with pytest.raises(InputError, match=message.split(";")[0]):
            run_method(method, dataclasses.replace(problem, options=resolve_options(method, options)))
    asked = {"preset": "paper", "ofa_weight": 0.5, "max_words": 9, "ridge_weight": 0.5}
    with pytest.raises(
        InputError, match="ofa_weight, max_words: of the default, and preset=paper is the network alone"
    ):
        resolve_options(method, asked)
    with pytest.raises(InputError, match="epochs: of the hypernetwork, which has weight 0"):
        run_method(method, dataclasses.replace(problem, options=resolve_options(method, {"epochs": 1})))
