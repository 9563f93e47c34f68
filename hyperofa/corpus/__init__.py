"""Text for pre-training: reading, sampling, tokenising, packing, order, masking.

What training uses::

    corpus = PackedCorpus.open(DIR)           # memory-mapped; .fingerprint, .length, .languages, .n_sequences
    batches = Batches(corpus, global_batch=512, seed=0, masking=Masking(rate=0.15))  # masking=None: causal, no masks
    batches.steps_per_epoch                   # float: sequences of one epoch / global_batch
    batches.draws(step)                       # the global batch: sample ids (N,) and visits (N,), on any world size
    batches.for_rank(step, rank, world_size, micro_batch)  # list[Batch], one per accumulation step; a pure function
    batch.inputs                              # for TrainingModel: input_ids, labels, segments, dropout_keys (tensors)
    batch.languages                           # (B,) int64 indices into corpus.languages
    loader = rank_loader(batches, rank, world_size, micro_batch, start=a, stop=b, workers=2)  # list[Batch] per step
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hyperofa.corpus.batches import Batch, Batches, rank_loader
    from hyperofa.corpus.masking import Masking
    from hyperofa.corpus.packed import PackedCorpus

__all__ = ["Batch", "Batches", "Masking", "PackedCorpus", "rank_loader"]

_HOMES = {
    "Batch": "batches",
    "Batches": "batches",
    "rank_loader": "batches",
    "Masking": "masking",
    "PackedCorpus": "packed",
}


def __getattr__(name: str) -> Any:
    """Load a public name from its module when it is first used, so that ``hyperofa corpus --help`` stays instant."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
