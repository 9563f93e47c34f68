"""Filling sequences of one length with documents, and remembering where each document begins."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")
Sequence_ = tuple[NDArray[np.int32], NDArray[np.int16]]


def pack(
    documents: Iterable[NDArray[np.int32]], length: int, pad_id: int, *, keep_whole: bool = False
) -> Iterator[Sequence_]:
    """Sequences ``(ids, segments)``, each (L,), that hold the documents in their order.

    Args:
        documents: token ids of each document, special tokens included.
        length: L.
        pad_id: fills what is left of a sequence.
        keep_whole: start a new sequence when a document does not fit into the rest of this one (documents longer than L are
            cut even so); else sequences are filled to the end and a document goes on in the next.

    Yields:
        ``ids`` int32 and ``segments`` int16: the document's index within the sequence, -1 at padding.
    """
    ids, segments = _empty(length, pad_id)
    filled = index = 0
    for document in documents:
        if keep_whole and filled and len(document) > length - filled:
            yield ids, segments
            ids, segments = _empty(length, pad_id)
            filled = index = 0
        start = 0
        while start < len(document):
            piece = document[start : start + length - filled]
            ids[filled : filled + len(piece)] = piece
            segments[filled : filled + len(piece)] = index
            filled, start, index = filled + len(piece), start + len(piece), index + 1
            if filled == length:
                yield ids, segments
                ids, segments = _empty(length, pad_id)
                filled = index = 0
    if filled:
        yield ids, segments


def chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of ``size`` items, the last of which may be shorter."""
    rest = iter(items)
    while chunk := list(islice(rest, size)):
        yield chunk


def _empty(length: int, pad_id: int) -> Sequence_:
    return np.full(length, pad_id, dtype=np.int32), np.full(length, -1, dtype=np.int16)
