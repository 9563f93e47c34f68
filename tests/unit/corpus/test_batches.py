"""Global batches: the same on every world size, and what a batch holds."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hyperofa.corpus.batches import Batches, causal_labels, rank_loader
from hyperofa.corpus.masking import Masking
from hyperofa.errors import InputError


def joined(batches: Batches, step: int, world_size: int, micro_batch: int) -> dict[str, torch.Tensor]:
    """The global batch put together from all ranks."""
    parts = [b for rank in range(world_size) for b in batches.for_rank(step, rank, world_size, micro_batch)]
    names = ("input_ids", "labels", "segments", "dropout_keys")
    return {
        **{name: torch.cat([part.inputs[name] for part in parts]) for name in names},
        "languages": torch.cat([part.languages for part in parts]),
    }


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    seed=st.integers(0, 1000),
    step=st.integers(0, 10**9),
    split=st.sampled_from([(1, 4), (2, 2), (2, 12), (3, 8), (4, 3), (24, 1), (1, 24)]),
    whole_words=st.booleans(),
)
def test_the_global_batch_does_not_depend_on_ranks_or_accumulation(corpus, seed, step, split, whole_words):
    batches = Batches(corpus, global_batch=24, seed=seed, masking=Masking(whole_words=whole_words))
    expected, found = joined(batches, step, 1, 24), joined(batches, step, *split)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    samples, _ = batches.draws(step)
    assert (corpus.languages_of(samples) == expected["languages"].numpy()).all()


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_the_loader_yields_the_same_for_any_number_of_workers(corpus, workers):
    batches = Batches(corpus, global_batch=8, seed=1, masking=Masking())
    loader = rank_loader(batches, 1, 2, 2, start=5, stop=9, workers=workers)
    for step, found in enumerate(loader, start=5):
        expected = batches.for_rank(step, 1, 2, 2)
        assert len(found) == len(expected) == 2
        for one, other in zip(found, expected, strict=True):
            assert one.inputs.keys() == other.inputs.keys()
            assert all(torch.equal(one.inputs[key], other.inputs[key]) for key in one.inputs)
    assert step == 8


def test_a_new_visit_is_masked_anew_and_gets_other_dropout(corpus):
    batches = Batches(corpus, global_batch=corpus.n_sequences, seed=0, masking=Masking())
    first, second = (joined(batches, step, 1, corpus.n_sequences) for step in (0, 1))
    order = [np.argsort(batches.draws(step)[0]) for step in (0, 1)]
    assert not torch.equal(first["labels"][order[0]], second["labels"][order[1]])
    assert not set(first["dropout_keys"].tolist()) & set(second["dropout_keys"].tolist())


def test_padding_is_masked_out(corpus):
    batches = Batches(corpus, global_batch=corpus.n_sequences, seed=0, masking=Masking())
    (batch,) = batches.for_rank(0, 0, 1, corpus.n_sequences)
    padding = batch.inputs["segments"] < 0
    assert padding.any()
    assert torch.equal(batch.inputs["attention_mask"] == 0, padding)
    assert (batch.inputs["input_ids"][padding] == corpus.pad_id).all()
    assert (batch.inputs["labels"][padding] == -100).all()


def test_causal_labels_leave_out_padding_and_first_tokens():
    ids = np.array([[5, 6, 7, 8, 9, 1]])
    segments = np.array([[0, 0, 1, 1, 1, -1]])
    assert causal_labels(ids, segments).tolist() == [[-100, 6, -100, 8, 9, -100]]


def test_what_does_not_divide_is_refused(corpus):
    batches = Batches(corpus, global_batch=24, seed=0, masking=None)
    with pytest.raises(InputError, match="24 is no multiple of 5 ranks x micro-batch 1"):
        batches.for_rank(0, 0, 5, 1)
    with pytest.raises(InputError, match="24 is no multiple"):
        rank_loader(batches, 0, 1, 48, start=0, stop=1)


def test_a_corpus_travels_to_workers_by_its_path(corpus):
    other = pickle.loads(pickle.dumps(corpus))
    samples = np.arange(corpus.n_sequences)
    assert all((a == b).all() for a, b in zip(other.rows(samples), corpus.rows(samples), strict=True))


@pytest.mark.parametrize("masking", [Masking(), None], ids=["masked", "causal"])
def test_a_batch_carries_how_many_positions_enter_the_loss(corpus, masking):
    batches = Batches(corpus, global_batch=8, seed=0, masking=masking)
    for batch in batches.for_rank(0, 0, 1, 4):
        labels = batch.inputs["labels"] if masking else batch.inputs["labels"][:, 1:]  # scored by the position before
        assert batch.n_targets == int((labels >= 0).sum()) > 0
