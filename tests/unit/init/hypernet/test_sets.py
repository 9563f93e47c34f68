"""Batches of word sets: sampled among all words, thinned, and grouped by length."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix

from hyperofa.init.hypernet.sets import WordSets


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
