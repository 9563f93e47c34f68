"""Batches of sentences with their target vectors: each is an item of its own, and like lengths go together."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from hyperofa.corpus.batches import Batch, Batches
from hyperofa.corpus.order import stream_key
from hyperofa.corpus.packed import PackedCorpus
from hyperofa.errors import InputError


def padded_length(tokens: int) -> int:
    """The next multiple of eight: few shapes, whose kernels are prepared once and suit tensor cores."""
    return max(8, -(-tokens // 8) * 8)


class SentenceBatches(Batches):
    """What every step trains on: the draws of :class:`Batches`, dealt to micro-batches by length.

    A step's sentences are sorted by length and cut into micro-batches, which go to the ranks in turn: in one round all ranks work
    on like lengths, and little padding is read.
    """

    def __init__(self, corpus: PackedCorpus, *, global_batch: int, seed: int) -> None:
        """Describe the batches; nothing is drawn yet.

        Raises:
            InputError: the corpus has no target vectors.
        """
        if corpus.targets is None:
            todo = "prepare one with --source MODEL and --parallel DIR"
            raise InputError(
                "a corpus of packed text, and sentences learn target vectors", where=corpus.directory, todo=todo
            )
        super().__init__(corpus, global_batch=global_batch, seed=seed, masking=None)

    def for_rank(self, step: int, rank: int, world_size: int, micro_batch: int) -> list[Batch]:
        """A rank's micro-batches of a step; ``inputs`` are those of :class:`hyperofa.model.SentenceModel`."""
        count = self.accumulation(world_size, micro_batch)
        samples, visits = self.draws(step)
        ids, segments = self.corpus.rows(samples)
        lengths = (segments >= 0).sum(axis=1)
        order = np.argsort(lengths, kind="stable")
        parts = [order[start : start + micro_batch] for start in range(0, len(order), micro_batch)]
        mine = [parts[turn * world_size + rank] for turn in range(count)]
        return [self._sentences(samples[part], visits[part], ids[part], lengths[part]) for part in mine]

    def _sentences(
        self,
        samples: NDArray[np.int64],
        visits: NDArray[np.int64],
        ids: NDArray[np.int32],
        lengths: NDArray[np.int64],
    ) -> Batch:
        longest = min(ids.shape[1], padded_length(int(lengths.max())))
        dropout = [stream_key(self.seed, "dropout", int(v), int(s)) for s, v in zip(samples, visits, strict=True)]
        inputs = {
            "input_ids": torch.from_numpy(ids[:, :longest].astype(np.int64)),
            "attention_mask": torch.from_numpy((np.arange(longest) < lengths[:, None]).astype(np.int64)),
            "targets": torch.from_numpy(self.corpus.target_vectors(samples)),
            "dropout_keys": torch.tensor(dropout, dtype=torch.int64),
        }
        languages = torch.from_numpy(self.corpus.languages_of(samples))
        return Batch(inputs, languages, torch.from_numpy(samples), len(samples))
