"""fastText's ``.bin`` models: a word's vector is the mean of its own row and the rows of its character n-grams."""

from __future__ import annotations

import itertools
import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hyperofa.errors import InputError
from hyperofa.vectors.readers.rows import Faults, Rows, blocks_of

MAGIC = struct.pack("<i", 793712314)
_VERSIONS = (11, 12)
_ARGUMENTS = struct.Struct("<12id")  # dim, ws, epoch, minCount, neg, wordNgrams, loss, model, bucket, minn, maxn, …
_COUNTS = struct.Struct("<iiiqq")  # entries, words, labels, tokens, pruned
_END_OF_SENTENCE = b"</s>"
_SUPERVISED = 3
_ENTRY_TAIL = 9  # bytes from a word's terminating zero to its type: the zero, then the count (int64)
_MAX_WORD = 4096
CHUNK = 2048
"""Words at once: each gathers some thirty rows."""


@dataclass(frozen=True)
class _Model:
    words: list[bytes]
    matrix: np.ndarray  # (words + buckets, d), memory-mapped
    bucket: int
    shortest: int
    longest: int


def read_fasttext(path: Path, faults: Faults) -> Rows:
    """The words of a fastText model with their vectors, as its ``print-word-vectors`` gives them.

    Raises:
        InputError: the file is truncated, quantised, or of another version.
    """
    try:
        model = _parse(path)
    except (struct.error, ValueError, IndexError) as error:  # the last: a file that ends where a byte is looked at
        raise InputError(f"a damaged fastText model ({error})", where=path) from None
    return Rows(int(model.matrix.shape[1]), blocks_of(_rows(model), faults))


def _parse(path: Path) -> _Model:
    with path.open("rb") as handle, mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as data:
        magic, version = data[:4], struct.unpack_from("<i", data, 4)[0]
        if magic != MAGIC or version not in _VERSIONS:
            raise ValueError(f"version {version}")
        place = 8
        dim, _, _, _, _, _, _, kind, bucket, shortest, longest, _, _ = _ARGUMENTS.unpack_from(data, place)
        place += _ARGUMENTS.size
        entries, n_words, n_labels, _, pruned = _COUNTS.unpack_from(data, place)
        place += _COUNTS.size
        if min(dim, n_words, n_labels, bucket) < 0 or dim == 0 or entries != n_words + n_labels or pruned > 0:
            raise ValueError("counts that do not fit together, or a pruned model")
        words: list[bytes] = []
        for _ in range(entries):
            end = data.find(b"\0", place, place + _MAX_WORD)
            if end < 0 or end + _ENTRY_TAIL >= len(data):
                raise ValueError("the file ends within its dictionary")
            if data[end + _ENTRY_TAIL] == 0:  # 1: a label
                words.append(data[place:end])
            place = end + _ENTRY_TAIL + 1
        if data[place] != 0:
            raise ValueError("a quantised model; use the .bin or .vec it was made from")
        rows, columns = struct.unpack_from("<qq", data, place + 1)
        place += 17
        if kind == _SUPERVISED and version == min(_VERSIONS):
            longest = 0
        buckets = bucket if longest > 0 else 0
        if len(words) != n_words or columns != dim or not words or rows < n_words + buckets:
            raise ValueError("a matrix that does not fit the dictionary")
        if place + 4 * rows * columns > len(data):
            raise ValueError("the file ends within its matrix")
    matrix = np.memmap(path, dtype="<f4", mode="r", offset=place, shape=(rows, columns))
    return _Model(words, matrix, buckets, max(shortest, 1), longest)


def _rows(model: _Model) -> Iterator[tuple[bytes, np.ndarray, str]]:
    grams = model.matrix[len(model.words) :]
    for start in range(0, len(model.words), CHUNK):
        raw = model.words[start : start + CHUNK]
        own = model.matrix[start : start + len(raw)]
        vectors = means(own, grams, raw, model.bucket, model.shortest, model.longest)
        places = (f"word {number}" for number in itertools.count(start + 1))
        yield from zip(raw, vectors, places, strict=False)


def means(
    own: np.ndarray, grams: np.ndarray, words: list[bytes], bucket: int, shortest: int, longest: int
) -> np.ndarray:
    """The vectors (n, d) of n words: the mean of a word's own row, of ``own`` (n, d), and those of its n-grams in ``grams``."""
    owner, row = subwords(words, bucket, shortest, longest)
    order = np.argsort(owner, kind="stable")
    counts = np.bincount(owner, minlength=len(words))
    with np.errstate(over="ignore", invalid="ignore"):  # rows that are not finite are the caller's to report
        sums = np.array(own, dtype=np.float32)
        with_ngrams = np.flatnonzero(counts)
        if len(with_ngrams):
            firsts = np.concatenate([[0], np.cumsum(counts[with_ngrams])[:-1]])
            sums[with_ngrams] += np.add.reduceat(grams[row[order]], firsts, axis=0)
        vectors: np.ndarray = sums / (counts[:, None] + 1).astype(np.float32)
    return vectors


def subwords(words: list[bytes], bucket: int, shortest: int, longest: int) -> tuple[np.ndarray, np.ndarray]:
    """The character n-grams of ``<word>`` for many words at once, as fastText hashes them (FNV-1a on signed bytes).

    Returns the index of the word and the bucket of each n-gram, both (m,) int64. Lone ``<`` and ``>`` are no n-grams,
    and the end of sentence ``</s>`` has none.
    """
    none = np.zeros(0, dtype=np.int64)
    if not bucket or longest < 1:
        return none, none
    marked = [b"" if word == _END_OF_SENTENCE else b"<" + word + b">" for word in words]
    data = np.frombuffer(b"".join(marked), dtype=np.uint8)
    sizes = np.array([len(word) for word in marked], dtype=np.int64)
    ends = np.cumsum(sizes)
    owner = np.repeat(np.arange(len(words)), sizes)
    begins = (data & 0xC0) != 0x80  # the first byte of a character
    start = np.flatnonzero(begins)
    position, count = start.copy(), np.zeros(len(start), dtype=np.int64)
    state = np.full(len(start), 2166136261, dtype=np.uint32)
    signed = data.astype(np.int8).astype(np.uint32)  # fastText widens signed bytes; for ASCII it is plain FNV-1a
    owners, buckets = [none], [none]
    while len(start):
        state = (state ^ signed[position]) * np.uint32(16777619)
        count = count + begins[position]
        position = position + 1
        last = position == ends[owner[start]]
        whole = last | begins[np.minimum(position, len(data) - 1)]
        edge = (count == 1) & ((start == ends[owner[start]] - sizes[owner[start]]) | last)
        emit = whole & (count >= shortest) & (count <= longest) & ~edge
        owners.append(owner[start[emit]])
        buckets.append((state[emit] % np.uint32(bucket)).astype(np.int64))
        alive = ~last & ~(whole & (count >= longest))
        start, position, count, state = start[alive], position[alive], count[alive], state[alive]
    return np.concatenate(owners), np.concatenate(buckets)
