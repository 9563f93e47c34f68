"""Memory, time and disk of a run before it starts, from its config and the model's alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hyperofa.train.config import TrainConfig
    from hyperofa.train.planning.cost import ModelShape

LIBRARY_BYTES = 1 << 30
"""What the CUDA context and the libraries take of every GPU."""
SCORES_BYTES = 3 << 30
"""The chunk of scores and its gradients in the fused loss, of which a chunk is at most 1 GiB on a GPU."""


@dataclass(frozen=True)
class Plan:
    """What a run will take.

    Attributes:
        memory: bytes of one GPU by part: weights, gradients, optimizer, activations, loss, buffers, libraries.
        host: bytes of one machine's memory for offloaded parts, per GPU.
        hours: estimated with the given share of the GPUs' peak.
    """

    parameters: int
    learning: int
    embedding_parameters: int
    zero_stage: int
    offload: bool
    world_size: int
    accumulation: int
    memory: dict[str, int]
    host: int
    tokens_per_step: int
    steps: int
    tokens: int
    flops_per_token: float
    hours: float
    checkpoint_bytes: int

    @property
    def memory_bytes(self) -> int:
        """All parts of one GPU together."""
        return sum(self.memory.values())

    def fits(self, gpu_bytes: float) -> bool:
        """Whether it fits with a tenth of the memory left for what fragmentation takes."""
        return self.memory_bytes <= 0.9 * gpu_bytes


def make_plan(
    config: TrainConfig,
    shape: ModelShape,
    deepspeed: dict,
    *,
    world_size: int,
    length: int,
    flops_per_second: float,
) -> Plan:
    """Work out a :class:`Plan`; ``flops_per_second`` is what one GPU really reaches.

    ZeRO (arXiv 1910.02054): the optimizer's 12 bytes a parameter are always shared out, gradients from stage 2 on,
    weights in stage 3. What never learns has neither gradients nor an optimizer's state.

    Raises:
        InputError: the global batch does not divide over the processes.
    """
    zero = deepspeed["zero_optimization"]
    stage = int(zero["stage"])
    element = 4 if config.precision == "fp32" else 2
    count, learning = shape.parameters, shape.learning
    share, learning_share = (-(-number // world_size) for number in (count, learning))
    weights = element * (share if stage == 3 else count)
    optimizer = 12 * learning_share
    offloaded = {part: zero.get(f"offload_{part}", {}).get("device") == "cpu" for part in ("optimizer", "param")}
    host = (optimizer if offloaded["optimizer"] else 0) + (weights if offloaded["param"] else 0)
    tokens = config.micro_batch_size * length
    summed = 4 if deepspeed.get("data_types", {}).get("grad_accum_dtype") == "fp32" else element
    memory = {
        "weights": 0 if offloaded["param"] else weights,
        "gradients": summed * (learning_share if stage >= 2 else learning),
        "optimizer": 0 if offloaded["optimizer"] else optimizer,
        "activations": shape.activation_bytes(tokens, element, checkpointing=config.gradient_checkpointing),
        "loss": min(SCORES_BYTES, int(3 * 4 * tokens * shape.share_scored * shape.vocabulary)),
        "buffers": element * _bucket_elements(zero, stage, count, learning),
        "libraries": LIBRARY_BYTES,
    }
    tokens_per_step = config.global_batch_size * length
    flops = shape.flops_per_token(length)
    total = tokens_per_step * config.steps
    return Plan(
        parameters=count,
        learning=learning,
        embedding_parameters=shape.embedding_parameters,
        zero_stage=stage,
        offload=any(offloaded.values()),
        world_size=world_size,
        accumulation=config.accumulation(world_size),
        memory=memory,
        host=host,
        tokens_per_step=tokens_per_step,
        steps=config.steps,
        tokens=total,
        flops_per_token=flops,
        hours=total * flops / (flops_per_second * world_size) / 3600,
        checkpoint_bytes=12 * learning + element * (count - learning if stage == 3 else count),
    )


def _bucket_elements(zero: dict, stage: int, count: int, learning: int) -> int:
    """Elements of the buckets: gradients that are reduced, and weights that are gathered."""
    gathered = ("stage3_prefetch_bucket_size", count) if stage == 3 else ("allgather_bucket_size", learning)
    sizes = [("reduce_bucket_size", learning), gathered]
    return sum(min(int(zero.get(key, 5e8)), most) for key, most in sizes)
