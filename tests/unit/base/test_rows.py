"""A table of rows against the array that it stands for."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hyperofa.base.rows import RowTable, write_rows

KINDS = [torch.float32, torch.bfloat16, torch.float16, torch.float64]


@pytest.fixture(params=KINDS, ids=str)
def stored(request) -> torch.Tensor:
    return torch.randn((53, 6), generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(request.param)


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr("hyperofa.base.rows._ENTRIES", 5 * 6)


INDICES = {
    "one": 7,
    "slice": slice(3, 40, 2),
    "mask": np.arange(53) % 3 == 0,
    "ids": np.array([5, 0, 52, 5]),
    "list": [4, 1],
    "pairs": np.array([[1, 2], [3, 3]]),
    "none": np.array([], dtype=np.int64),
    "entry": (7, 0),
    "entries": (np.array([5, 0]), slice(1, 2)),
}


@pytest.mark.parametrize("index", INDICES.values(), ids=INDICES)
def test_what_is_read_is_the_float32_of_what_is_stored(stored, index):
    whole = stored.float().numpy()
    found = RowTable(stored)[index]
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, whole[index])
    order = np.arange(53)[::-1].copy()
    np.testing.assert_array_equal(RowTable(stored).take(order)[index], whole[order][index])


def test_a_choice_of_rows_and_of_columns(stored, small_blocks):
    ids, whole = np.array([8, 3, 3, 50, 1, 0, 22]), stored.float().numpy()
    for table, wanted in ((RowTable(stored), whole), (RowTable(stored).take(ids), whole[ids])):
        assert (len(table), table.shape) == (len(wanted), wanted.shape)
        np.testing.assert_array_equal(table, wanted)
        np.testing.assert_array_equal(table.columns(1, 4), wanted[:, 1:4])
        np.testing.assert_array_equal(np.concatenate(list(table.blocks())), wanted)
        assert all(len(block) <= 5 for block in table.blocks())
        np.testing.assert_array_equal(table.each(lambda block: block.sum(axis=1)), wanted.sum(axis=1))
    np.testing.assert_array_equal(RowTable(stored).take(ids).take(np.array([2, 6])), whole[[3, 22]])


@pytest.mark.parametrize("dtype", [None, np.float64])
@pytest.mark.parametrize("ids", [None, np.arange(0, 53, 2)], ids=["all", "some"])
def test_means_and_deviations_are_the_arrays_to_the_bit(stored, small_blocks, dtype, ids):
    table, whole = RowTable(stored, ids), stored.float().numpy()[slice(None) if ids is None else ids]
    for mine, theirs in ((table.mean, whole.mean), (table.std, whole.std)):
        found, wanted = mine(axis=0, dtype=dtype), theirs(axis=0, dtype=dtype)
        assert found.dtype == wanted.dtype
        np.testing.assert_array_equal(found, wanted)


def test_no_rows_have_no_mean():
    with pytest.raises(ValueError, match="no rows"):
        RowTable(np.empty((0, 3), dtype=np.float32)).mean()


def test_nothing_is_copied_that_need_not_be():
    array = np.arange(12, dtype=np.float32).reshape(4, 3)
    table = RowTable.of(array)
    assert RowTable.of(table) is table
    assert np.shares_memory(np.asarray(table), array)
    assert np.shares_memory(table[1:3], array)
    parameter = torch.nn.Parameter(torch.zeros(4, 3, dtype=torch.bfloat16))
    assert RowTable(parameter).stored.data_ptr() == parameter.data_ptr()


def every_bfloat16() -> torch.Tensor:
    """All that 16 bits can say, denormals and both zeros among it, as 256 rows."""
    return torch.arange(1 << 16).to(torch.uint16).view(torch.bfloat16).view(256, 256)


def test_written_rows_keep_every_bit_of_their_own_dtype(small_blocks):
    source, order = every_bfloat16(), np.random.default_rng(0).permutation(256)
    matrix = torch.zeros_like(source)
    write_rows(matrix, order, RowTable(source).take(order))
    assert torch.equal(matrix.view(torch.int16), source.view(torch.int16))
    np.testing.assert_array_equal(RowTable(matrix, order).bits, source.view(torch.int16).numpy()[order])


def test_written_rows_are_rounded_to_the_dtype_of_the_matrix(stored, small_blocks):
    values = np.random.default_rng(0).normal(size=(12, 6)).astype(np.float32)
    ids = np.arange(40, 16, -2)
    before = stored.clone()
    changed = RowTable(stored).replaced(ids, values)
    assert torch.equal(stored, before)
    assert changed.stored.dtype == stored.dtype
    wanted = before.clone()
    wanted[ids] = torch.from_numpy(values).to(stored.dtype)
    assert torch.equal(changed.stored, wanted)
    some = RowTable(stored).take(ids).replaced(np.array([1]), values[:1])
    np.testing.assert_array_equal(some[0], before[ids[0]].float().numpy())
    np.testing.assert_array_equal(some[1], wanted[ids[0]].float().numpy())
