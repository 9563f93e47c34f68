"""The gradient's norm as the ranks take it together, beside torch's in float64."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import distributed

from hyperofa.train.engine.clipping import _BLOCK, _norm_over_ranks, clip_by_what_learns


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


def optimizer_with(*, clip: float, loss_scale: float = 1.0, offload: bool = False) -> SimpleNamespace:
    """What of a ZeRO optimizer clipping reads and replaces."""
    return SimpleNamespace(
        cpu_offload=offload, loss_scale=loss_scale, clip_grad=clip, unscale_and_clip_grads="DeepSpeed's"
    )


@pytest.mark.parametrize("clip", [0.0, 0.5, 100.0])
@pytest.mark.parametrize("loss_scale", [1.0, 1024.0])
def test_gradients_are_divided_by_scale_and_clipping_factor(clip: float, loss_scale: float) -> None:
    gradient = torch.randn(1000, generator=torch.Generator().manual_seed(0))
    norm = gradient.norm()
    optimizer = optimizer_with(clip=clip, loss_scale=loss_scale)
    clip_by_what_learns(optimizer, stage=2)
    found = gradient * loss_scale
    optimizer.unscale_and_clip_grads([found], norm * loss_scale)
    factor = ((norm + 1e-6) / clip).clamp(min=1.0) if clip else torch.tensor(1.0)
    assert torch.equal(found, gradient / factor)
    assert clip != 0.5 or factor > 10


@pytest.mark.parametrize(("offload", "stage"), [(True, 2), (False, 3)])
def test_offload_and_stage_3_scale_as_deepspeed_does(offload: bool, stage: int) -> None:
    optimizer = optimizer_with(clip=1.0, offload=offload)
    optimizer._get_norm_groups = list
    clip_by_what_learns(optimizer, stage=stage)
    assert optimizer.unscale_and_clip_grads == "DeepSpeed's"
