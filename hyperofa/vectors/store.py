"""The on-disk store of word vectors, memory-mapped: ``vectors.safetensors``, ``words.txt``, ``meta.json``, ``counts.npy``."""

from __future__ import annotations

import hashlib
import json
import mmap
import shutil
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, overload

import numpy as np

from hyperofa.base import wordkeys
from hyperofa.base.files import existing_file, new_directory
from hyperofa.base.wordkeys import KeyScheme
from hyperofa.errors import DataMissingError, InputError
from hyperofa_eval.base.files import read_json, write_json
from hyperofa_eval.text.filekinds import refuse_lfs_pointer

MARKER = "meta.json"
VECTORS = "vectors.safetensors"
WORDS = "words.txt"
COUNTS = "counts.npy"
"""How often each word was seen; only where that is known."""
FORMAT = "hyperofa-vectors-1"

_DTYPES: dict[str, np.dtype[Any]] = {"F16": np.dtype("<f2"), "F32": np.dtype("<f4")}
_HEADER_BYTES = 248  # fixed, so that the shape can be filled in after the rows were streamed; the data starts at 256
_CHUNK = 1 << 16
_SCAN = 1 << 22


class WordList(Sequence[str]):
    """The words of a store: line ends are looked for at the first access, words decoded when they are asked for.

    ``count`` is their number where it is known; otherwise the lines are counted now.
    """

    def __init__(self, path: Path, scheme: KeyScheme, count: int | None = None) -> None:
        self.path = path
        self.scheme = scheme
        with path.open("rb") as handle:
            empty = handle.seek(0, 2) == 0
            self._bytes: mmap.mmap | bytes = b"" if empty else mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)
        self._recorded = count
        self._count = len(self._starts) - 1 if count is None else count

    @cached_property
    def _starts(self) -> np.ndarray:
        """Where each line starts, and after the last where the next would."""
        ends = _line_ends(self._bytes)
        if len(self._bytes) and (len(ends) == 0 or ends[-1] != len(self._bytes) - 1):
            ends = np.append(ends, len(self._bytes))
        if self._recorded not in (None, len(ends)):
            raise InputError(f"{len(ends)} words, not {self._recorded}", where=self.path, todo="make the store again")
        return np.concatenate(([0], ends + 1)).astype(np.int64)

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            if step == 1:
                return self._block(start, max(start, stop))
            return [self[i] for i in range(start, stop, step)]
        position = range(len(self))[index]
        return self._decode(self._bytes[self._starts[position] : self._starts[position + 1] - 1], position)

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), _CHUNK):
            yield from self._block(start, min(start + _CHUNK, len(self)))

    def sha256(self) -> str:
        """SHA-256 of the file's bytes: the words' identity, for caches."""
        return hashlib.sha256(self._bytes).hexdigest()

    def _block(self, start: int, stop: int) -> list[str]:
        if start == stop:
            return []
        return self._decode(self._bytes[self._starts[start] : self._starts[stop] - 1], start).split("\n")

    def _decode(self, raw: bytes, line: int) -> str:
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            raise InputError(f"not UTF-8 at or after line {line + 1}", where=self.path) from None


@dataclass(frozen=True)
class WordVectors:
    """An opened store: ``words`` (n keys ``lang:word``), ``vectors`` (n, d) memory-mapped, ``meta`` (what made it)."""

    path: Path
    words: WordList
    vectors: np.ndarray
    meta: dict[str, Any]
    keep: object = field(default=None, repr=False, compare=False)
    """What must live as long as this does, such as the temporary folder that holds the files."""

    @classmethod
    def open(cls, path: Path | str, keep: object = None) -> WordVectors:
        """Open a store without reading its vectors.

        Raises:
            DataMissingError: the folder or one of its files is not there.
            InputError: a file is damaged, or words and vectors do not fit together.
        """
        path = Path(path)
        if path.is_file():
            todo = f"make one of it: hyperofa vectors import {path}"
            raise InputError("a file, and no word-vector directory", where=path, todo=todo)
        refuse_lfs_pointer(path)
        if not path.is_dir():
            raise DataMissingError("no such word-vector directory", where=path, todo="make one: hyperofa vectors build")
        meta = read_json(existing_file(path / MARKER, "word-vector store"))
        if not isinstance(meta, dict) or meta.get("format") != FORMAT:
            raise InputError("not a word-vector store", where=path / MARKER, todo="make one: hyperofa vectors import")
        vectors = _map_tensor(existing_file(path / VECTORS))
        boundary = meta.get("boundary", wordkeys.STORED.boundary)
        if boundary is not None and (not isinstance(boundary, str) or len(boundary) != 1):
            what = f"the boundary mark {boundary!r} is not one sign"
            raise InputError(what, where=path / MARKER, todo="make the store again")
        scheme = KeyScheme(boundary=boundary)
        file = existing_file(path / WORDS)
        # The writer's own count holds as long as the file is the one it wrote, to the byte.
        count = meta.get("words") if file.stat().st_size == meta.get("words_bytes") else None
        words = WordList(file, scheme, count if isinstance(count, int) and count >= 0 else None)
        if len(words) != len(vectors):
            raise InputError(f"{len(words)} words but {len(vectors)} vectors", where=path, todo="make the store again")
        return cls(path, words, vectors, meta, keep)

    def save(self, out: Path | str) -> None:
        """Write the store as a folder.

        Raises:
            InputError: ``out`` holds something else.
        """
        with new_directory(Path(out), MARKER) as folder:
            for name in (VECTORS, WORDS, COUNTS, MARKER):
                if name != COUNTS or (self.path / name).is_file():
                    shutil.copyfile(self.path / name, folder / name)

    def __len__(self) -> int:
        return len(self.words)

    @property
    def dim(self) -> int:
        """The length d of a vector."""
        return int(self.vectors.shape[1])

    @cached_property
    def counts(self) -> np.ndarray | None:
        """(n,) int64, how often each word was seen where its vector was learnt; None where the store does not say.

        Raises:
            InputError: the file is damaged, or of another number of words.
        """
        path = self.path / COUNTS
        if not path.is_file():
            return None
        try:
            counts: np.ndarray = np.load(path, allow_pickle=False)
            if counts.shape != (len(self),) or counts.dtype.kind not in "iu" or (counts < 1).any():
                raise ValueError(f"not {len(self)} whole numbers above 0")
        except (ValueError, EOFError, OSError) as error:
            raise InputError(f"damaged counts ({error})", where=path, todo="make the store again") from None
        return counts.astype(np.int64)


class StoreWriter:
    """Streams words and rows into a new store, so that a vector file never has to fit into memory."""

    def __init__(self, rows: BinaryIO, words: BinaryIO, dim: int, dtype: str) -> None:
        self.dim, self.dtype, self.count = dim, np.dtype(dtype).newbyteorder("<"), 0
        self._rows, self._words = rows, words
        rows.write(b"\0" * (8 + _HEADER_BYTES))

    def append(self, words: Sequence[str], rows: np.ndarray) -> None:
        """Add ``words`` and their ``rows`` (len(words), d); raises :class:`InputError` where they are not storable."""
        if rows.shape != (len(words), self.dim):
            raise InputError(f"{len(words)} words with vectors of shape {rows.shape}, expected (n, {self.dim})")
        with np.errstate(over="ignore"):
            stored = np.ascontiguousarray(rows, dtype=self.dtype)
        finite = np.isfinite(stored).all(axis=1)
        if not finite.all():
            word = words[int(np.argmin(finite))]
            raise InputError(f"a vector with NaN or infinite values as {self.dtype.name}", where=f"word {word!r}")
        if any("\n" in word for word in words):
            raise InputError("a word with a line break cannot be stored")
        self._words.write("".join(f"{word}\n" for word in words).encode("utf-8"))
        self._rows.write(stored.data if stored.size else b"")
        self.count += len(words)

    def finish(self) -> None:
        """Fill in the header."""
        name = {"float16": "F16", "float32": "F32"}[self.dtype.name]
        size = self.count * self.dim * self.dtype.itemsize
        tensor = {"dtype": name, "shape": [self.count, self.dim], "data_offsets": [0, size]}
        header = json.dumps({"vectors": tensor}).encode().ljust(_HEADER_BYTES)
        self._rows.seek(0)
        self._rows.write(struct.pack("<Q", len(header)) + header)


@contextmanager
def new_store(
    out: Path, dim: int, meta: dict[str, Any], *, dtype: str = "float16", counts: np.ndarray | None = None
) -> Iterator[StoreWriter]:
    """Yield a writer for a store that appears at ``out``, whole, when the block ends (``meta`` may grow until then)."""
    with new_directory(out, MARKER) as folder:
        with (folder / VECTORS).open("wb") as rows, (folder / WORDS).open("wb") as words:
            writer = StoreWriter(rows, words, dim, dtype)
            yield writer
            writer.finish()
        if counts is not None:
            np.save(folder / COUNTS, counts.astype(np.int64))
        facts = {"format": FORMAT, "words": writer.count, "words_bytes": (folder / WORDS).stat().st_size}
        facts |= {"dim": dim, "dtype": dtype, "boundary": wordkeys.STORED.boundary}
        write_json(folder / MARKER, facts | meta)


def write_store(
    out: Path,
    words: Iterable[str],
    vectors: np.ndarray,
    meta: Mapping[str, Any],
    *,
    dtype: str = "float16",
    counts: np.ndarray | None = None,
) -> None:
    """Write ``words`` (n keys ``lang:word``) and ``vectors`` (n, d) as a store at ``out``, atomically.

    ``meta`` says what made it; its key ``boundary`` names the boundary mark of the words (``$`` unless given).
    ``counts`` (n,) say how often each word was seen, where that is known.

    Raises:
        InputError: the counts differ, a value is not finite in ``dtype``, a word is not storable, or ``out`` holds
            something else.
    """
    keys = list(words)
    if vectors.ndim != 2 or len(keys) != len(vectors):
        raise InputError(f"{len(keys)} words but vectors of shape {vectors.shape}", where=out)
    if counts is not None and counts.shape != (len(keys),):
        raise InputError(f"{len(keys)} words but counts of shape {counts.shape}", where=out)
    with new_store(out, int(vectors.shape[1]), dict(meta), dtype=dtype, counts=counts) as writer:
        for start in range(0, len(keys), _CHUNK):
            writer.append(keys[start : start + _CHUNK], vectors[start : start + _CHUNK])


def _line_ends(data: mmap.mmap | bytes) -> np.ndarray:
    """The places of all line feeds, found a few megabytes at a time: what fits into the cache is four times as fast."""
    places = [np.zeros(0, dtype=np.int64)]
    for first in range(0, len(data), _SCAN):
        part = np.frombuffer(data, dtype=np.uint8, offset=first, count=min(_SCAN, len(data) - first))
        places.append(np.flatnonzero(part == ord("\n")) + first)
    return np.concatenate(places)


def _map_tensor(path: Path) -> np.ndarray:
    """The tensor ``vectors`` of a safetensors file as a read-only memory map (n, d)."""
    size = path.stat().st_size
    try:
        with path.open("rb") as handle:
            (length,) = struct.unpack("<Q", handle.read(8))
            if length > size - 8:
                raise ValueError("the header is longer than the file")
            entry = json.loads(handle.read(length))["vectors"]
        dtype, shape = _DTYPES[str(entry["dtype"])], tuple(int(n) for n in entry["shape"])
        start, stop = (8 + length + int(offset) for offset in entry["data_offsets"])
        if len(shape) != 2 or min(shape) < 0 or stop - start != shape[0] * shape[1] * dtype.itemsize or stop > size:
            raise ValueError("its size does not fit its header")
    except (struct.error, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise InputError(f"damaged vectors ({error})", where=path, todo="make the store again") from None
    if shape[0] * shape[1] == 0:
        return np.zeros(shape, dtype)
    return np.memmap(path, dtype=dtype, mode="r", offset=start, shape=shape)
