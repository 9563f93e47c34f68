"""Batches of sentences: the same items on every world size, like lengths together, little padding beyond the longest."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hyperofa.corpus.batches import rank_loader
from hyperofa.corpus.sentence.batches import SentenceBatches
from hyperofa.errors import InputError


@pytest.fixture
def batches(sentences):
    return SentenceBatches(sentences, global_batch=16, seed=3)


def items(batches, step, world_size, micro_batch):
    """Each item of a step by its sample: its tokens, target, language and dropout key."""
    found = {}
    for rank in range(world_size):
        for batch in batches.for_rank(step, rank, world_size, micro_batch):
            columns = [batch.inputs[name] for name in ("input_ids", "attention_mask", "targets", "dropout_keys")]
            for i, sample in enumerate(batch.samples.tolist()):
                ids, mask, target, key = (column[i] for column in columns)
                found[sample] = (ids[mask == 1].tolist(), target.tolist(), int(key), int(batch.languages[i]))
    return found


def test_a_step_is_the_same_on_any_ranks_and_micro_batches(batches, sentences):
    for step in (0, 7, 300):
        one = items(batches, step, 1, 16)
        assert sorted(one) == sorted(set(batches.draws(step)[0].tolist()))
        assert all(items(batches, step, *shape) == one for shape in ((1, 4), (2, 4), (4, 2), (16, 1)))
    for sample, (ids, target, _, language) in one.items():
        rows, segments = sentences.rows(np.array([sample]))
        assert ids == rows[0][segments[0] == 0].tolist()
        assert target == sentences.target_vectors(np.array([sample]))[0].tolist()
        assert language == sentences.languages_of(np.array([sample]))[0]


def test_like_lengths_go_together_and_are_padded_to_a_multiple_of_eight(batches):
    rounds = list(zip(*(batches.for_rank(5, rank, 2, 4) for rank in range(2)), strict=True))
    lengths = [[b.inputs["attention_mask"].sum(1) for b in ranks] for ranks in rounds]
    flat = torch.cat([part for ranks in lengths for part in ranks])
    assert torch.equal(flat, flat.sort().values)
    for ranks, sizes in zip(rounds, lengths, strict=True):
        for batch, size in zip(ranks, sizes, strict=True):
            width = batch.inputs["input_ids"].shape[1]
            assert size.max() <= width < size.max() + 8
            assert width % 8 == 0 or width == batches.corpus.rows(batch.samples.numpy())[0].shape[1]
            assert batch.tokens == size.sum()
            assert batch.n_targets == 4


def test_workers_read_the_same(batches):
    loader = rank_loader(batches, 1, 2, 4, start=2, stop=4, workers=1)
    for step, found in zip((2, 3), loader, strict=True):
        for ours, theirs in zip(batches.for_rank(step, 1, 2, 4), found, strict=True):
            assert all(ours.inputs[name].equal(theirs.inputs[name]) for name in ours.inputs)


def test_packed_text_has_no_target_vectors(corpus):
    with pytest.raises(InputError, match="sentences learn target vectors"):
        SentenceBatches(corpus, global_batch=4, seed=0)
