"""Global batches and a rank's share of them, as pure functions of (seed, step, rank, world size, micro-batch)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from hyperofa.corpus.masking import IGNORED, Masker, Masking
from hyperofa.corpus.order import stream_key
from hyperofa.corpus.packed import PackedCorpus
from hyperofa.errors import InputError


@dataclass(frozen=True)
class Batch:
    """One micro-batch.

    Attributes:
        inputs: for the training model: ``input_ids``, ``labels``, ``segments`` (B, L) and ``dropout_keys`` (B,), all int64;
            ``attention_mask`` (B, L) only where a sequence has padding.
        languages: (B,) int64, indices into the corpus's languages.
        samples: (B,) int64 sample ids.
        n_targets: positions that enter the loss.
    """

    inputs: dict[str, Tensor]
    languages: Tensor
    samples: Tensor
    n_targets: int

    @property
    def tokens(self) -> int:
        """Positions that are read: all of packed sequences, of sentences those that are no padding."""
        ids = self.inputs["input_ids"]
        return int(self.inputs["attention_mask"].sum()) if "targets" in self.inputs else ids.numel()

    def pin_memory(self) -> Batch:
        """The same batch with the model's inputs in page-locked memory (called by the loader)."""
        return replace(self, inputs={key: value.pin_memory() for key, value in self.inputs.items()})


class Batches:
    """What every step trains on. The global batch of a step is the same on any number of ranks and workers."""

    def __init__(self, corpus: PackedCorpus, *, global_batch: int, seed: int, masking: Masking | None) -> None:
        """Describe the batches; nothing is drawn yet.

        Args:
            corpus: the packed text.
            global_batch: sequences per optimizer step, over all ranks and accumulation steps.
            seed: of order, masks and dropout.
            masking: for a masked language model; None for a causal one.

        Raises:
            InputError: the tokenizer has no mask token.
        """
        self.corpus, self.global_batch, self.seed = corpus, global_batch, seed
        self.order = corpus.order(seed)
        try:
            self.masker = None if masking is None else Masker(masking, corpus.tokens)
        except ValueError as error:
            raise InputError(str(error), where=corpus.directory) from None

    def draws(self, step: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Sample ids and visits (global_batch,) of a step, in the order in which ranks take them."""
        return self._draws(step, 0, self.global_batch)

    def _draws(self, step: int, start: int, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        return self.order.draw(step * self.global_batch + np.arange(start, start + count))

    def accumulation(self, world_size: int, micro_batch: int) -> int:
        """Micro-batches per rank and step.

        Raises:
            InputError: ranks times micro-batch does not divide the global batch.
        """
        steps, rest = divmod(self.global_batch, world_size * micro_batch)
        if rest or not steps:
            ranks = f"{world_size} ranks x micro-batch {micro_batch}"
            raise InputError(f"a global batch of {self.global_batch} is no multiple of {ranks}")
        return steps

    def for_rank(self, step: int, rank: int, world_size: int, micro_batch: int) -> list[Batch]:
        """A rank's micro-batches of a step: a contiguous share of the global batch, cut into ``micro_batch`` rows each."""
        count = self.accumulation(world_size, micro_batch)
        first = rank * count * micro_batch
        return [self._batch(*self._draws(step, first + i * micro_batch, micro_batch)) for i in range(count)]

    def _batch(self, samples: NDArray[np.int64], visits: NDArray[np.int64]) -> Batch:
        ids, segments = self.corpus.rows(samples)
        if self.masker is None:
            input_ids, labels = ids.astype(np.int64), causal_labels(ids, segments)
        else:
            keys = [stream_key(self.seed, "mask", int(v), int(s)) for s, v in zip(samples, visits, strict=True)]
            pairs = [self.masker(*row) for row in zip(ids, segments, keys, strict=True)]
            input_ids, labels = (np.stack(part) for part in zip(*pairs, strict=True))
        dropout = [stream_key(self.seed, "dropout", int(v), int(s)) for s, v in zip(samples, visits, strict=True)]
        inputs = {
            "input_ids": torch.from_numpy(input_ids),
            "labels": torch.from_numpy(labels),
            "segments": torch.from_numpy(segments.astype(np.int64)),
            "dropout_keys": torch.tensor(dropout, dtype=torch.int64),
        }
        if (segments < 0).any():
            inputs["attention_mask"] = torch.from_numpy((segments >= 0).astype(np.int64))
        languages = torch.from_numpy(self.corpus.languages_of(samples))
        # A causal model is never asked for the first token of a row: it begins a document, or what is left of one.
        return Batch(inputs, languages, torch.from_numpy(samples), int((labels != IGNORED).sum()))


def causal_labels(ids: NDArray[np.integer], segments: NDArray[np.integer]) -> NDArray[np.int64]:
    """Labels (n, L) of a causal model: the ids, but -100 at padding and at the first token of a document.

    The model scores position i against label i + 1, and no document's end should predict another's beginning.
    """
    first = np.ones(ids.shape, dtype=bool)
    first[:, 1:] = segments[:, 1:] != segments[:, :-1]
    return np.where(first | (segments < 0), IGNORED, ids).astype(np.int64)


class _Steps(Dataset[list[Batch]]):
    def __init__(self, batches: Batches, rank: int, world_size: int, micro_batch: int) -> None:
        self.batches, self.rank, self.world_size, self.micro_batch = batches, rank, world_size, micro_batch

    def __getitem__(self, step: int) -> list[Batch]:
        return self.batches.for_rank(step, self.rank, self.world_size, self.micro_batch)


def rank_loader(
    batches: Batches,
    rank: int,
    world_size: int,
    micro_batch: int,
    *,
    start: int,
    stop: int,
    workers: int = 0,
    pin_memory: bool = False,
) -> DataLoader[list[Batch]]:
    """A loader that yields a rank's micro-batches (a list) of the steps ``start`` … ``stop - 1``, made ahead by workers."""
    batches.accumulation(world_size, micro_batch)
    return DataLoader(
        _Steps(batches, rank, world_size, micro_batch),
        batch_size=None,
        sampler=range(start, stop),
        num_workers=workers,
        collate_fn=list,
        pin_memory=pin_memory,
    )
