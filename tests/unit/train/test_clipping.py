"""The gradient's norm as the ranks take it together, beside torch's in float64."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import distributed

from hyperofa.train.engine.clipping import _BLOCK, _norm_over_ranks, scale_in_the_step


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


@pytest.mark.parametrize("clip", [0.0, 0.5, 100.0])
@pytest.mark.parametrize("loss_scale", [1.0, 1024.0])
def test_scaling_in_the_step_is_scaling_before_it(clip: float, loss_scale: float) -> None:
    generator = torch.Generator().manual_seed(0)
    start, gradient = torch.randn(1000, generator=generator), torch.randn(1000, generator=generator)
    norm = gradient.norm()
    plain, ours = (torch.nn.Parameter(start.clone()) for _ in range(2))
    factor = min(1.0, clip / (float(norm) + 1e-6)) if clip else 1.0
    reference = torch.optim.AdamW([plain], lr=0.1, fused=True)
    for _ in range(3):
        plain.grad = gradient * factor
        reference.step()
    optimizer = SimpleNamespace(
        cpu_offload=False,
        loss_scale=loss_scale,
        clip_grad=clip,
        optimizer=torch.optim.AdamW([ours], lr=0.1, fused=True),
    )
    scale_in_the_step(optimizer)
    for _ in range(3):
        ours.grad = gradient * loss_scale
        optimizer.unscale_and_clip_grads([ours.grad], norm * loss_scale)
        optimizer.optimizer.step()
    torch.testing.assert_close(ours, plain, rtol=1e-6, atol=1e-7)
    assert clip != 0.5 or factor < 0.1


@pytest.mark.parametrize("left", [{"cpu_offload": True}, {"cpu_offload": False, "sub_group_to_group_id": {}}])
def test_offload_and_stage_3_scale_as_deepspeed_does(left: dict[str, object]) -> None:
    optimizer = SimpleNamespace(**left, unscale_and_clip_grads="DeepSpeed's")
    scale_in_the_step(optimizer)
    assert optimizer.unscale_and_clip_grads == "DeepSpeed's"
