"""Hypernetworks: the losses by hand, the sampling of word sets, fits that resume, the paper's settings."""

from __future__ import annotations

import dataclasses
import math
import sys

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix
from torch.nn.functional import normalize

from hyperofa.errors import HyperofaError, InputError
from hyperofa.init.hypernet import NETWORKS, FitConfig, NetworkConfig, WordSets, build_network, fit, predict
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


def _task(count=160):
    """Rows that are a linear function of the mean word vector: learnable."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(300, 6)).astype(np.float32)
    dense = np.zeros((count, 300), dtype=np.float32)
    for row in dense:
        row[rng.choice(300, rng.integers(1, 4), replace=False)] = 1
    words = csr_matrix(dense)
    mean = (dense / dense.sum(1, keepdims=True)) @ vectors
    return words, vectors, (mean @ rng.normal(size=(6, 4))).astype(np.float32)


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_a_fit_learns(name):
    words, vectors, rows = _task()
    sets = WordSets(words, np.arange(160))
    config = FitConfig(epochs=25, batch_size=32, learning_rate=5e-3, held_out=0.2, thin=0.0)
    shape = NetworkConfig(name, layers=1, hidden=32, dropout=0.0)
    _, report = fit(sets, rows, np.arange(160), vectors, shape, config, seed=0)
    assert report.train_loss[-1] < 0.8 * report.train_loss[0]
    assert report.held_out_cosine > 0.5
    assert report.held_out == 32


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


def test_an_interrupted_fit_ends_where_an_undisturbed_one_does(tmp_path):
    words, vectors, rows = _task(64)
    sets, groups = WordSets(words, np.arange(64)), np.arange(64)
    config = FitConfig(epochs=6, batch_size=16, learning_rate=1e-3, held_out=0.1)
    straight, report = fit(sets, rows, groups, vectors, SMALL, config, seed=3)
    # An interruption: the same question, stopped from outside after its second epoch.
    room = sys.modules[fit.__module__]

    save, saved = room.Checkpoint.save, []

    def stop_after_two(self, *arguments):
        save(self, *arguments)
        saved.append(1)
        if len(saved) == 2:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(room.Checkpoint, "save", stop_after_two)
        with pytest.raises(KeyboardInterrupt):
            fit(sets, rows, groups, vectors, SMALL, config, seed=3, checkpoint=tmp_path)
    resumed, second = fit(sets, rows, groups, vectors, SMALL, config, seed=3, checkpoint=tmp_path)
    assert second.train_loss == report.train_loss
    for name, value in straight.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    np.testing.assert_array_equal(
        predict(straight, sets, vectors, config, seed=1), predict(resumed, sets, vectors, config, seed=1)
    )


def test_a_checkpoint_holds_no_word_vectors_and_serves_only_its_question(tmp_path):
    words, vectors, rows = _task(64)
    sets = WordSets(words, np.arange(64))
    config = FitConfig(epochs=1, batch_size=16)
    fit(sets, rows, np.arange(64), vectors, SMALL, config, seed=3, checkpoint=tmp_path)
    (file,) = tmp_path.glob("*.safetensors")
    from safetensors import safe_open

    with safe_open(file, "pt") as tensors:
        assert all(tuple(tensors.get_slice(name).get_shape()) != vectors.shape for name in tensors.keys())  # noqa: SIM118
    _, other = fit(
        sets, rows, np.arange(64), vectors, SMALL, dataclasses.replace(config, epochs=2), seed=4, checkpoint=tmp_path
    )
    assert len(other.train_loss) == 2  # nothing was taken over from seed 3


@pytest.mark.parametrize("changed", ["vectors", "shares", "groups", "nothing", "unused vectors"])
def test_a_checkpoint_made_from_other_input_is_not_taken_over(tmp_path, changed):
    words, vectors, rows = _task(64)
    vectors[299] = 1
    words = csr_matrix(words.toarray() * (np.arange(300) != 299))
    groups, config = np.arange(64) // 2, FitConfig(epochs=2, batch_size=16, held_out=0.2)

    def fitted(folder):
        given = WordSets(words, np.arange(64)), rows, groups, vectors, NetworkConfig("deep-sets", 1, 8, 0.0)
        return fit(*given, config, seed=3, checkpoint=folder)[1]

    first = fitted(tmp_path / "a")
    if changed == "vectors":
        vectors = vectors[::-1].copy()
    elif changed == "shares":
        words.data[::2] = 0.25
    elif changed == "groups":
        groups = np.arange(64) // 4
    elif changed == "unused vectors":  # what no token has cannot matter
        vectors[299] = 7
    again = fitted(tmp_path / "a")
    assert again.train_loss == fitted(tmp_path / "b").train_loss
    assert (again.train_loss == first.train_loss) == (changed in {"nothing", "unused vectors"})


class _Seen(WordSets):
    """Word sets that note which tokens an epoch is trained on and which are validated."""

    def __init__(self, *arguments, **settings):
        super().__init__(*arguments, **settings)
        self.trained, self.validated, self._training = set(), [], False

    def epoch(self, items, *arguments, **settings):
        self.trained |= set(items.tolist())
        self._training = True
        yield from super().epoch(items, *arguments, **settings)
        self._training = False

    def batch(self, items, *arguments, **settings):
        if not self._training:
            self.validated += items.tolist()
        return super().batch(items, *arguments, **settings)


def test_a_fit_holds_out_whole_groups_and_validates_every_held_out_token():
    """Traps: a split over tokens leaks ``dog`` through ``Dog``; a loader that drops the last batch may validate nothing."""
    words, vectors, rows = _task(64)
    groups = np.arange(64) // 4
    for batch_size in (5, 64):  # the last batch is short, or the only one
        sets = _Seen(words, np.arange(64))
        config = FitConfig(epochs=1, batch_size=batch_size, held_out=0.2)
        shape = NetworkConfig("deep-sets", 1, 8, 0.0)
        _, report = fit(sets, rows, groups, vectors, shape, config, seed=3)
        assert report.held_out == 12  # 3 of 16 groups
        assert sorted(sets.validated) == sorted(2 * list(set(range(64)) - sets.trained))  # in the epoch, and at the end
        assert not {groups[i] for i in sets.validated} & {groups[i] for i in sets.trained}


def test_prediction_samples_a_tokens_words_by_the_seed():
    """Trap: the first words of a token are always the same arbitrary ones."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(60, 5)).astype(np.float32)
    sets = WordSets(csr_matrix(np.ones((8, 60), dtype=np.float32)), np.arange(8), limit=3)
    config = FitConfig(epochs=0)
    model, _ = fit(
        sets, np.zeros((8, 4), np.float32), np.arange(8), vectors, NetworkConfig("deep-sets", 1, 8, 0.0), config, seed=0
    )
    one, again, two = (predict(model, sets, vectors, config, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert not np.allclose(one, two)
    assert len(np.unique(one.round(5), axis=0)) == 8  # nor the same for all tokens


def test_early_stopping_keeps_the_best_epoch():
    words, vectors, rows = _task(64)
    noise = np.random.default_rng(9).normal(size=rows.shape).astype(np.float32)  # nothing to learn: held-out loss rises
    config = FitConfig(epochs=60, batch_size=16, learning_rate=2e-2, held_out=0.3, patience=3)
    _, report = fit(WordSets(words, np.arange(64)), noise, np.arange(64), vectors, SMALL, config, seed=0)
    assert len(report.validation_loss) < 60
    assert report.best_epoch == int(np.argmin(report.validation_loss)) + 1
    assert len(report.validation_loss) == report.best_epoch + 3


def test_a_diverging_fit_says_so():
    words, vectors, rows = _task(64)
    rows[0, 0] = np.nan
    with pytest.raises(HyperofaError, match="lower learning_rate"):
        fit(WordSets(words, np.arange(64)), rows, np.arange(64), vectors, SMALL, FitConfig(epochs=2), seed=0)


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
    options = resolve_options(method, {"preset": preset, "network_weight": 0.5, "hidden": 8, "layers": 1, "epochs": 2})
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
    settings = {"network_weight": 1, "known_words": 0, "hidden": 8, "layers": 1, "epochs": 1, "held_out": 0.5}
    method = find_method("hyperofa")
    options = resolve_options(method, {"preset": preset} | settings)
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
    with pytest.raises(InputError, match="epochs: of the hypernetwork, which has weight 0"):
        run_method(method, dataclasses.replace(problem, options=resolve_options(method, {"epochs": 1})))
