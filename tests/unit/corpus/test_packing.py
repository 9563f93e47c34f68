"""Packing: every token is kept, in order, and document boundaries are right."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hyperofa.corpus.packing import pack

PAD = 0
documents = st.lists(st.integers(1, 40), max_size=30)


def arrays(lengths: list[int]) -> list[np.ndarray]:
    """Documents of the given lengths; token ids say which document they are of."""
    return [np.full(length, i + 1, dtype=np.int32) for i, length in enumerate(lengths)]


@given(lengths=documents, length=st.integers(8, 24))
def test_filled_sequences_hold_every_token_in_order(lengths, length):
    packed = list(pack(arrays(lengths), length, PAD))
    kept = np.concatenate([ids[segments >= 0] for ids, segments in packed]) if packed else np.array([])
    assert kept.tolist() == [token for document in arrays(lengths) for token in document]
    for ids, segments in packed[:-1]:
        assert (segments >= 0).all()
        assert ids.dtype == np.int32
        assert segments.dtype == np.int16


@given(lengths=documents, length=st.integers(8, 24))
def test_segments_change_where_documents_do(lengths, length):
    for ids, segments in pack(arrays(lengths), length, PAD):
        used = segments >= 0
        assert (np.diff(ids[used]) != 0).tolist() == (np.diff(segments[used]) != 0).tolist()
        assert segments[used].tolist() == sorted(segments[used].tolist())
        assert not used.any() or segments[0] == 0
        assert (ids[~used] == PAD).all()


@given(lengths=documents, length=st.integers(8, 24))
def test_whole_documents_are_cut_only_if_they_must(lengths, length):
    packed = list(pack(arrays(lengths), length, PAD, keep_whole=True))
    pieces = np.zeros(len(lengths) + 1, dtype=int)
    for ids, segments in packed:
        pieces[np.unique(ids[segments >= 0])] += 1
    for i, size in enumerate(lengths):
        if size <= length:
            assert pieces[i + 1] == 1
    assert sum(int((segments >= 0).sum()) for _, segments in packed) == sum(lengths)
