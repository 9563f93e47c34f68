"""word2vec's files, text and binary, fastText's ``.vec``, and plain text of a word and its numbers a line."""

from __future__ import annotations

import itertools
import mmap
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from hyperofa.errors import InputError
from hyperofa.vectors.readers.rows import HEADER, NUMBER, Block, Faults, Rows, blocks_of
from hyperofa_eval.text.textfiles import DAMAGED, PACKED, damaged

_LOOK = 64  # lines from which a file without a header tells the length of its vectors
_MAX_WORD = 4096  # bytes; without a bound, a damaged binary file is one long word


def read_text(path: Path, faults: Faults) -> Rows:
    """A text file: an optional first line ``count dimension``, then a word and its numbers on each line.

    Without such a line, vectors are as long as most of the first ones. A word may hold spaces, but not end in a number of
    its own: that is a number too many.
    """
    lines = _numbered(path)
    number, first = next(lines, (1, b""))
    header = HEADER.fullmatch(first)
    if header is not None:
        dim = int(header[2])
        if dim < 1:
            raise InputError("a header of vectors without numbers", where=f"{path}, line {number}")
        first_lines = list(itertools.islice(lines, _LOOK))
        _check_width([line.split() for _, line in first_lines if line.strip()], dim, f"{path}, line {number}")
        return Rows(dim, _text_blocks(itertools.chain(first_lines, lines), dim, int(header[1]), faults))
    first_lines = [(number, first), *itertools.islice(lines, _LOOK - 1)]
    widths = [len(line.split()) - 1 for _, line in first_lines if line.strip()]
    dim = Counter(widths).most_common(1)[0][0] if widths else 0
    if dim < 1:
        raise InputError("no word with numbers after it", where=f"{path}, line {number}")
    fields = first.split()
    if len(fields) == 2 and dim > 1 and all(map(NUMBER.fullmatch, fields)):
        what = f"{first.decode('ascii').strip()!r} is no header 'count dimension' of two whole numbers"
        raise InputError(what, where=f"{path}, line {number}", todo="repair the first line, or leave it out")
    return Rows(dim, _text_blocks(itertools.chain(first_lines, lines), dim, None, faults))


def _check_width(rows: list[list[bytes]], dim: int, where: str) -> None:
    """Refuse a header whose dimension no row has, where the first rows agree on another."""
    widths = {len(row) - 1 for row in rows}
    if len(widths) != 1 or widths == {dim}:
        return
    (width,) = widths
    if width < dim or all(NUMBER.fullmatch(row[-dim - 1]) for row in rows):  # else words have spaces in them
        what = f"the header promises {dim} numbers a word, the rows have {width}"
        raise InputError(what, where=where, todo="repair the first line, or leave it out")


def read_binary(path: Path, faults: Faults) -> Rows:
    """A word2vec binary file: ``count dimension``, then words, each followed by a space and its float32 values."""
    with path.open("rb") as handle:
        header = HEADER.fullmatch(handle.readline(64))
    if header is None or int(header[2]) < 1:
        raise InputError("no header 'count dimension'", where=path, todo="name the right format")
    return Rows(int(header[2]), _binary_blocks(path, int(header[1]), int(header[2]), faults))


def _text_blocks(lines: Iterator[tuple[int, bytes]], dim: int, declared: int | None, faults: Faults) -> Iterator[Block]:
    seen = 0

    def rows() -> Iterator[tuple[bytes, np.ndarray, str]]:
        nonlocal seen
        for number, line in lines:
            if not line.strip():
                continue
            seen += 1
            parts = line.rstrip().rsplit(None, dim)
            vector = _numbers(parts[1:], dim)
            if vector is None or NUMBER.fullmatch(b"".join(parts[0].split()[1:][-1:])):
                faults.bad(f"not a word and {dim} numbers", f"line {number}")
            elif b"\0" in parts[0]:
                faults.bad("a NUL byte in the word", f"line {number}")
            else:
                yield parts[0], vector, f"line {number}"

    yield from blocks_of(rows(), faults)
    if declared is not None and seen != declared:
        faults.bad(f"{seen} rows where the first line promises {declared}", "last line")


def _numbers(parts: list[bytes], dim: int) -> np.ndarray | None:
    if len(parts) != dim:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)  # how numpy reports a number that it cannot read
        try:
            vector = np.fromstring(b" ".join(parts).decode("ascii"), dtype=np.float32, sep=" ")
        except (ValueError, DeprecationWarning):
            return None
    return vector if len(vector) == dim else None


def _binary_blocks(path: Path, declared: int, dim: int, faults: Faults) -> Iterator[Block]:
    size = 4 * dim

    def rows() -> Iterator[tuple[bytes, np.ndarray, str]]:
        with path.open("rb") as handle, mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as data:
            place = data.find(b"\n") + 1
            for number in range(1, declared + 1):
                end = data.find(b" ", place, place + _MAX_WORD)
                if end < 0 or end + 1 + size > len(data):
                    faults.bad(f"the file ends in row {number} of {declared}", f"byte {place}")
                    return
                word, values = data[place:end].lstrip(b"\n"), data[end + 1 : end + 1 + size]
                place = end + 1 + size
                yield word, np.frombuffer(values, dtype="<f4"), f"row {number}"
            if data[place:].strip(b"\n"):
                faults.bad(f"more bytes after the {declared} rows of the header", f"byte {place}")

    return blocks_of(rows(), faults)


def _numbered(path: Path) -> Iterator[tuple[int, bytes]]:
    number = 0
    with PACKED.get(path.suffix, open)(path, "rb") as handle:
        try:
            for number, line in enumerate(handle, start=1):
                yield number, line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
        except DAMAGED as error:
            raise damaged(path, error, number + 1) from None
