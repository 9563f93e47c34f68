"""Memory of one GPU under ZeRO."""

from __future__ import annotations

import pytest

from hyperofa.train.engine.dsconfig import deepspeed_config
from hyperofa.train.planning.cost import peak_flops, shape_of
from hyperofa.train.planning.plan import make_plan
from tests.unit.train.planning.conftest import encoder


def test_sharding_divides_what_zero_divides(settings):
    shape = shape_of(encoder(), 0.15)

    def plan(stage: int, world_size: int, **changes):
        config = settings(zero_stage=stage, precision="bf16", micro_batch_size=2, **changes)
        deepspeed = deepspeed_config(config, world_size, cuda=True)
        return make_plan(
            config,
            shape,
            deepspeed,
            world_size=world_size,
            length=512,
            flops_per_second=peak_flops("NVIDIA H100 80GB", "bf16"),
        )

    count = shape.parameters
    parts = ("weights", "gradients", "optimizer")
    assert [plan(1, 4).memory[part] for part in parts] == [2 * count, 2 * count, 12 * -(-count // 4)]
    share = -(-count // 4)  # gradients that are added up over micro-batches are float32 from stage 2 on
    assert [plan(2, 4).memory[part] for part in parts] == [2 * count, 4 * share, 12 * share]
    assert [plan(3, 4).memory[part] for part in parts] == [2 * share, 4 * share, 12 * share]
    assert plan(2, 4, global_batch_size=8).memory["gradients"] == 2 * share
    one, four = plan(2, 1), plan(2, 4)
    assert one.hours == pytest.approx(4 * four.hours)
    assert (one.accumulation, four.accumulation) == (16, 4)
    assert one.tokens == 100 * 32 * 512
    assert plan(2, 4, gradient_checkpointing=True).memory["activations"] < four.memory["activations"]
