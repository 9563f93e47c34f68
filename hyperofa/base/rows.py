"""Rows of an embedding matrix in the dtype that they are stored in, read a few at a time as float32."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

_ENTRIES = 1 << 22  # of the blocks that are read where the caller does not say how many rows


class RowTable:
    """Rows (n, r) that stay as they are stored, a bfloat16 matrix of gigabytes say; what is read of them is float32.

    ``rows[index]`` works as on an array, for an index that chooses rows; ``numpy.asarray(rows)`` is the whole (of a float32
    matrix a view, else a copy). Means and deviations are the same to the bit as the array's, but for a single column.

    Attributes:
        stored: the matrix (V, r), float32, bfloat16 or any other floating-point dtype; never written to.
        ids: (n,) int64, which of its rows these are, in order; None for all.
    """

    def __init__(self, stored: Tensor | np.ndarray, ids: np.ndarray | None = None) -> None:
        """Look at ``stored``; nothing is copied."""
        import torch

        tensor = torch.from_numpy(np.ascontiguousarray(stored)) if isinstance(stored, np.ndarray) else stored
        self.stored = tensor.detach()
        self.ids = ids
        # numpy has no bfloat16: rows are chosen as integers of the same size.
        whole = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[self.stored.element_size()]
        self._bits = self.stored.view(whole).numpy()

    @property
    def bits(self) -> np.ndarray:
        """(n, r) integers of the stored entries' size: what two tables that are equal to the bit have in common."""
        return self._bits if self.ids is None else self._bits[self.ids]

    @classmethod
    def of(cls, rows: RowTable | Tensor | np.ndarray) -> RowTable:
        """``rows`` themselves, or a view of a matrix."""
        return rows if isinstance(rows, cls) else cls(rows)  # type: ignore[arg-type]

    @property
    def shape(self) -> tuple[int, int]:
        """(n, r)."""
        return len(self), int(self._bits.shape[1])

    def __len__(self) -> int:
        return len(self._bits if self.ids is None else self.ids)

    def _float32(self, bits: np.ndarray) -> np.ndarray:
        import torch

        floats: np.ndarray = torch.from_numpy(bits).view(self.stored.dtype).float().numpy()
        return floats

    def __getitem__(self, index: Any, /) -> np.ndarray:
        """The rows that ``index`` chooses: a number, a slice, a mask (n,), or an array of numbers of any shape; then columns."""
        if isinstance(index, tuple):
            of_rows = () if isinstance(index[0], int | np.integer) else (slice(None),)
            columns: np.ndarray = self[index[0]][(*of_rows, *index[1:])]
            return columns
        return self._float32(self._bits[index if self.ids is None else self.ids[index]])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self[:], dtype=dtype, copy=copy)

    def take(self, ids: np.ndarray) -> RowTable:
        """The rows ``ids`` (m,) int64; nothing is copied."""
        return RowTable(self.stored, ids if self.ids is None else self.ids[ids])

    def replaced(self, ids: np.ndarray, values: RowTable | np.ndarray) -> RowTable:
        """A copy of all rows with ``values`` (m, r) in place of those at ``ids`` (m,); see :func:`write_rows`."""
        copy = RowTable(self.stored.clone() if self.ids is None else self.stored[self.ids])
        write_rows(copy.stored, ids, values)
        return copy

    def columns(self, start: int, stop: int) -> np.ndarray:
        """The columns from ``start`` to before ``stop`` of all rows, (n, stop - start)."""
        part = self._bits[:, start:stop]
        return self._float32(part if self.ids is None else part[self.ids])

    def blocks(self, size: int | None = None) -> Iterator[np.ndarray]:
        """All rows, ``size`` at a time (by default as many as 16 MB hold)."""
        size = size or max(1, _ENTRIES // max(1, self.shape[1]))
        for start in range(0, len(self), size):
            yield self[start : start + size]

    def each(self, figure: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """``figure`` of blocks (b, r), joined: what works on every row for itself, such as norms (n,)."""
        return np.concatenate([figure(block) for block in self.blocks()])

    def mean(self, axis: int = 0, dtype: Any = None) -> np.ndarray:
        """The mean row (r,), float32 unless ``dtype`` says otherwise."""
        return self._mean(lambda block: block, axis, dtype)

    def std(self, axis: int = 0, dtype: Any = None) -> np.ndarray:
        """The standard deviation (r,) of every column, float32 unless ``dtype`` says otherwise."""
        centre = self.mean(axis, dtype)
        deviation: np.ndarray = np.sqrt(self._mean(lambda block: np.square(block - centre), axis, dtype))
        return deviation

    def _mean(self, of: Callable[[np.ndarray], np.ndarray], axis: int, dtype: Any) -> np.ndarray:
        assert axis == 0, "rows have figures per column only"
        total: np.ndarray | None = None
        for block in map(of, self.blocks()):
            # numpy adds row after row, so a sum that goes on from the total is the sum of all rows at once.
            more = block if total is None else np.concatenate([total[None], block])
            total = more.sum(axis=0, dtype=dtype)
        if total is None:
            raise ValueError("no rows to take the mean of")
        return (total / len(self)).astype(total.dtype)


def write_rows(matrix: Tensor, ids: np.ndarray, rows: RowTable | np.ndarray) -> None:
    """Write ``rows`` (m, r) into ``matrix`` (V, r) at ``ids`` (m,), a block at a time.

    They are rounded to the dtype of ``matrix``; rows that are stored in it come out with the same bits.
    """
    table = RowTable.of(rows)
    step = max(1, _ENTRIES // max(1, table.shape[1]))
    for start in range(0, len(ids), step):
        block = np.arange(start, min(start + step, len(ids)))
        matrix[ids[block]] = table.stored[block if table.ids is None else table.ids[block]].to(matrix.dtype)
