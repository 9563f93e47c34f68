"""A packed corpus on disk: one Arrow file of fixed-length sequences per language, memory-mapped."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from hyperofa.base.files import existing_file, inside
from hyperofa.corpus.masking import TokenTable
from hyperofa.corpus.meta import AGAIN, MARKER, TARGETS, TOKENS, read_meta
from hyperofa.corpus.order import Order, ReplayOrder, order_of
from hyperofa.corpus.packing import chunks
from hyperofa.errors import DataMissingError, InputError
from hyperofa_eval.base.files import sha256_file

ROWS_PER_BATCH = 1024
"""Sequences in every Arrow record batch but a file's last, so that a row is found by division."""


class PackedCorpus:
    """Read access to a corpus directory; sample ids number the sequences language by language.

    Attributes:
        directory: where it lies.
        meta: the contents of ``corpus.json``.
        length: tokens per sequence, L.
        languages: in the order of their sample ids.
        fingerprint: SHA-256 over the contents, the length, the tokenizer and the sampling.
        vocab_size: the tokenizer's size; a model must have at least as many rows.
        targets: of a corpus of sentences, what is said of their target vectors; None of packed text.
    """

    def __init__(self, directory: Path) -> None:
        """Use :meth:`open`."""
        self.directory = directory
        self.meta, meta = read_meta(directory)
        self.length, self.languages, self.fingerprint = meta.length, list(meta.languages), meta.fingerprint
        self.vocab_size, self.pad_id = meta.tokenizer.size, meta.tokenizer.pad_id
        self._tokenizer, self.targets = meta.tokenizer, meta.targets
        width = self.targets.dim if self.targets else 0
        self._starts = np.concatenate([[0], np.cumsum([language.sequences for language in self.languages])])
        self._batches = [
            _record_batches(inside(directory, language.file), self.length, width) for language in self.languages
        ]
        for language, batches in zip(self.languages, self._batches, strict=True):
            sequences = sum(batch.num_rows for batch in batches)
            if sequences != language.sequences:
                what = f"the file has {sequences:,} sequences, {MARKER} says {language.sequences:,}"
                raise InputError(what, where=directory / language.file, todo=AGAIN)

    @classmethod
    def open(cls, directory: str | Path) -> PackedCorpus:
        """Open a corpus directory; nothing is read into memory.

        Raises:
            DataMissingError: there is none, or a file of it is missing.
            InputError: a file is damaged or does not fit ``corpus.json``.
        """
        return cls(Path(directory))

    def __reduce__(self) -> tuple[Any, ...]:
        """Workers open the files anew."""
        return (PackedCorpus, (self.directory,))

    @property
    def n_sequences(self) -> int:
        """All sequences of all languages."""
        return int(self._starts[-1])

    @property
    def replayed(self) -> list[str]:
        """The languages that are replayed: those that the source model knows already."""
        shares = self.meta["sampling"].get("replay", ())
        return [language.name for language, share in zip(self.languages, shares, strict=False) if share]

    def order(self, seed: int) -> Order | ReplayOrder:
        """Which sequence comes when, and what share each language makes up."""
        counts = [language.sequences for language in self.languages]
        return order_of(counts, [language.tokens for language in self.languages], self.meta["sampling"], seed)

    @cached_property
    def tokens(self) -> TokenTable:
        """What masking must know of the tokenizer."""
        path = self.directory / TOKENS
        try:
            arrays = load_file(path)
            special, continuation = (arrays[name].astype(bool) for name in ("special", "continuation"))
        except FileNotFoundError:
            raise DataMissingError("no such table of the tokens", where=path, todo=AGAIN) from None
        except (SafetensorError, KeyError) as error:
            raise InputError(f"not a table of the tokens ({error})", where=path, todo=AGAIN) from None
        if not special.shape == continuation.shape == (self.vocab_size,):
            what = f"a table of {special.shape[0]:,} tokens, {MARKER} says {self.vocab_size:,}"
            raise InputError(what, where=path, todo=AGAIN)
        return TokenTable(special, continuation, self._tokenizer.mask_id)

    def languages_of(self, samples: NDArray[np.int64]) -> NDArray[np.int64]:
        """Index into :attr:`languages` of each sample id (n,)."""
        return np.searchsorted(self._starts, samples, side="right") - 1

    def rows(self, samples: NDArray[np.int64]) -> tuple[NDArray[np.int32], NDArray[np.int16]]:
        """Token ids and document indices (-1 at padding) of samples (n,), each (n, L)."""
        ids = np.empty((len(samples), self.length), dtype=np.int32)
        segments = np.empty((len(samples), self.length), dtype=np.int16)
        languages = self.languages_of(samples)
        for i, (sample, language) in enumerate(zip(samples, languages, strict=True)):
            record, row = self._record(sample, language)
            ids[i] = _row(record, "input_ids", row, self.length)
            segments[i] = _row(record, "segments", row, self.length)
        return ids, segments

    def target_vectors(self, samples: NDArray[np.int64]) -> NDArray[np.float32]:
        """Target vectors of samples (n,) of a corpus of sentences, (n, D)."""
        assert self.targets is not None
        vectors = np.empty((len(samples), self.targets.dim), dtype=np.float32)
        for i, (sample, language) in enumerate(zip(samples, self.languages_of(samples), strict=True)):
            record, row = self._record(sample, language)
            vectors[i] = _row(record, "target", row, self.targets.dim)
        return vectors

    @cached_property
    def target_moments(self) -> tuple[NDArray[np.float32], float]:
        """The mean (D,) of all target vectors, and their mean squared distance from it."""
        path = self.directory / TARGETS
        try:
            arrays = load_file(path)
            mean, variance = arrays["mean"], float(arrays["variance"])
        except FileNotFoundError:
            raise DataMissingError("no mean of the targets", where=path, todo=AGAIN) from None
        except (SafetensorError, KeyError, TypeError) as error:
            raise InputError(f"not a mean of target vectors ({error})", where=path, todo=AGAIN) from None
        if self.targets is None or mean.shape != (self.targets.dim,) or not variance > 0:
            raise InputError(f"it does not fit {MARKER}", where=path, todo=AGAIN)
        return mean, variance

    def _record(self, sample: np.int64, language: np.int64) -> tuple[Any, int]:
        """The record batch that holds a sample, and its row there."""
        batch, row = divmod(int(sample - self._starts[language]), ROWS_PER_BATCH)
        return self._batches[language][batch], row

    def verify(self) -> None:
        """Compare every file's hash with ``corpus.json``; raises :class:`InputError` at the first that differs."""
        hashes = {language.file: language.sha256 for language in self.languages}
        hashes |= {TARGETS: self.targets.sha256} if self.targets else {}
        for name, sha256 in {**hashes, TOKENS: self._tokenizer.table_sha256}.items():
            path = existing_file(inside(self.directory, name), "file of the corpus")
            if sha256_file(path) != sha256:
                raise InputError("the checksum does not match", where=path, todo=AGAIN)


def write_sequences(
    path: Path,
    sequences: Iterable[tuple[NDArray[np.int32], NDArray[np.int16]]],
    length: int,
    language: int,
    targets: NDArray[np.float16] | None = None,
) -> int:
    """Write ``(ids, segments)`` pairs, each (L,), as an Arrow stream that ``datasets`` can read too; returns their number.

    ``targets`` (n, D) go with them, of a corpus of sentences.
    """
    schema = _schema(length, 0 if targets is None else targets.shape[1])
    written = 0
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, schema) as writer:
        for block in chunks(sequences, ROWS_PER_BATCH):
            ids = np.stack([ids for ids, _ in block]).astype(np.int32, copy=False)
            segments = np.stack([segments for _, segments in block]).astype(np.int16, copy=False)
            columns = [
                pa.FixedSizeListArray.from_arrays(pa.array(ids.reshape(-1)), length),
                pa.FixedSizeListArray.from_arrays(pa.array(segments.reshape(-1)), length),
                pa.array(np.full(len(block), language, dtype=np.int16)),
            ]
            if targets is not None:
                part = targets[written : written + len(block)]
                columns.append(pa.FixedSizeListArray.from_arrays(pa.array(part.reshape(-1)), part.shape[1]))
            writer.write_batch(pa.record_batch(columns, schema=schema))
            written += len(block)
    return written


def _schema(length: int, width: int) -> Any:
    columns = {"input_ids": pa.list_(pa.int32(), length), "segments": pa.list_(pa.int16(), length), "lang": pa.int16()}
    return pa.schema(columns | ({"target": pa.list_(pa.float16(), width)} if width else {}))


def _record_batches(path: Path, length: int, width: int = 0) -> list[Any]:
    if not path.is_file():
        raise DataMissingError("no such data file of the corpus", where=path)
    try:
        batches = list(stream := pa.ipc.open_stream(pa.memory_map(str(path))))
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"not a readable Arrow file ({error})", where=path, todo=AGAIN) from None
    sizes = [batch.num_rows for batch in batches]
    if not stream.schema.equals(_schema(length, width)) or any(size != ROWS_PER_BATCH for size in sizes[:-1]):
        raise InputError(f"not sequences of {length} tokens", where=path, todo=AGAIN)
    return batches


def _row(record: Any, column: str, row: int, length: int) -> NDArray[Any]:
    values = record.column(column).values.to_numpy(zero_copy_only=True)
    return values[row * length : (row + 1) * length]
