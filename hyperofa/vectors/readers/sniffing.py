"""Files that are no word vectors, told by their first bytes before a reader tries them."""

from __future__ import annotations

import re
from pathlib import Path

from hyperofa.errors import InputError
from hyperofa_eval.text.filekinds import HEAD_BYTES, seems_to_be, what_to_do
from hyperofa_eval.text.textfiles import DAMAGED, PACKED

HEADER = re.compile(rb"\s*(\d{1,12}) (\d{1,6})\s*")
"""The first line ``count dimension`` of word2vec's formats."""
NUMBER = re.compile(rb"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")


def refuse_other_kinds(path: Path, head: bytes, reader: str) -> None:
    """Refuse a file that is plainly something else than the format of ``reader``.

    Raises:
        InputError: with what the file seems to be.
    """
    if reader == "text":
        head = _unpacked(path, head)
    if _fits(head, reader):
        return
    kind = seems_to_be(head)
    if kind is not None:
        raise InputError(f"no word vectors: it seems to be {kind}", where=path, todo=what_to_do(kind))


def _fits(head: bytes, reader: str) -> bool:
    """Whether the first bytes are the format's own, whatever else they look like."""
    first, end, _ = head.partition(b"\n")
    if reader == "binary":
        return HEADER.fullmatch(first) is not None
    if reader == "gensim":  # the oldest pickles have no mark
        return head[:1] == b"\x80" or seems_to_be(head) == "binary data"
    if reader == "fasttext":
        return "fastText" in (seems_to_be(head) or "")
    if b"\0" in first:
        return False
    fields = first.split() if end else first.split()[:-1]  # the last number may be cut off
    return len(fields) > 1 and all(
        NUMBER.fullmatch(field) for field in (fields[-2:] if len(fields) > 2 else fields[1:])
    )


def _unpacked(path: Path, head: bytes) -> bytes:
    """The first bytes of what a packed file holds; those of the file where it is not packed, or damaged."""
    if path.suffix not in PACKED:
        return head
    try:
        with PACKED[path.suffix](path, "rb") as handle:
            inside: bytes = handle.read(HEAD_BYTES)
    except DAMAGED:
        return b""  # the reader says what is wrong, and where
    return inside
