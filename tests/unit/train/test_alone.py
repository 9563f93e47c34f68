"""When reducing over one rank is left out: only where nothing else is done on the way."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from hyperofa.train.engine.alone import reduce_nothing_alone


def optimizer(*, ranks: int = 1, compact: bool = False, **more: Any) -> SimpleNamespace:
    groups = [SimpleNamespace(size=lambda: 1), SimpleNamespace(size=lambda: ranks)]
    return SimpleNamespace(
        real_dp_process_group=groups,
        cpu_offload=False,
        reduce_bucket_size=10,
        average_tensor="DeepSpeed's",
        copy_grads_in_partition="DeepSpeed's",
        _use_compact_grad_partition_buffer=lambda group: compact,
        **more,
    )


def test_one_rank_keeps_its_gradients() -> None:
    alone, gradient = optimizer(), torch.randn(5)
    reduce_nothing_alone(alone)
    before = gradient.clone()
    alone.average_tensor(gradient, torch.float32)
    alone.copy_grads_in_partition(torch.nn.Parameter(gradient), 0)
    assert torch.equal(gradient, before)
    assert 0 < alone.reduce_bucket_size < 1, (
        "a gradient of one element would go through the buffer, which is used again"
    )


@pytest.mark.parametrize(
    "other",
    [
        optimizer(ranks=2),
        optimizer(compact=True),
        optimizer(sub_group_to_group_id={}),
        SimpleNamespace(**vars(optimizer()) | {"cpu_offload": True}),
    ],
    ids=["two ranks", "accumulated in float32", "stage 3", "offload"],
)
def test_others_go_deepspeeds_way(other: SimpleNamespace) -> None:
    before = dict(vars(other))
    reduce_nothing_alone(other)
    assert vars(other) == before
