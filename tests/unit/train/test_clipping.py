"""The gradient's norm as the ranks take it together, beside torch's in float64."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import distributed

from hyperofa.train.clipping import _BLOCK, _norm_over_ranks


@pytest.fixture(scope="module", autouse=True)
def one_rank(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    store: Path = tmp_path_factory.mktemp("group") / "store"
    distributed.init_process_group("gloo", init_method=f"file://{store}", rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


@pytest.mark.parametrize("sizes", [[1], [_BLOCK], [_BLOCK - 1, 3 * _BLOCK + 7, 5], [20 * _BLOCK]])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_norm_is_that_of_all_parts_in_float64(sizes: list[int], dtype: torch.dtype) -> None:
    parts = [torch.randn(size, generator=torch.Generator().manual_seed(size)).to(dtype) for size in sizes]
    want = torch.linalg.vector_norm(torch.cat(parts).double()).item()
    assert _norm_over_ranks(parts, None).item() == pytest.approx(want, rel=1e-6)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_norm_that_is_not_finite_is_minus_one(bad: float) -> None:
    parts = [torch.ones(3), torch.ones(_BLOCK + 2)]
    parts[1][-1] = bad
    assert _norm_over_ranks(parts, None).item() == -1.0
