"""Learning in bfloat16 on a CPU: what training does for speed against what torch does by itself; exit 1 under the floor.

    python benchmarks/bf16_speed.py [--steps 3] [--rounds 2]

``encoder`` and ``decoder`` are passes, forward and backward, of bodies with made-up weights: multilingual-e5-small's shape on 32
sentences of 40 tokens and 8 of 128, four blocks of SmolLM2-135M's shape on four sequences of 256. Ours is the plain attention of
``hyperofa.base.attention``. ``head`` is the loss over 57,152 tokens at 1,024 positions of width 576: ours lets float32 sums go
through the units for bfloat16. Both sides run in turn in one process. The last line is one JSON with the least ratio, each
side's median seconds, and the floor; exit code 1 where it is missed.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from unittest import mock

import torch
from transformers import AutoModel, BertConfig, LlamaConfig

from hyperofa.base.attention import attention_to_learn_with
from hyperofa.model import linear_cross_entropy

FLOOR = 1.1
ENCODER = BertConfig(
    vocab_size=1000,
    hidden_size=384,
    num_hidden_layers=12,
    num_attention_heads=12,
    intermediate_size=1536,
    attention_probs_dropout_prob=0.0,  # as in training, which drops none of them; with dropout torch takes the plain kernel
)
DECODER = LlamaConfig(
    vocab_size=1000,
    hidden_size=576,
    num_hidden_layers=4,
    num_attention_heads=9,
    num_key_value_heads=3,
    intermediate_size=1536,
)
SHAPES = {
    "encoder 32 x 40": (ENCODER, 32, 40),
    "encoder 8 x 128": (ENCODER, 8, 128),
    "decoder 4 x 256": (DECODER, 4, 256),
}
Step = Callable[[bool], None]


def main() -> int:
    """Time both sides of everything; see the module's text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=3, help="timed steps of a side in a round, after one that is not")
    parser.add_argument("--rounds", type=int, default=2)
    args = parser.parse_args()
    steps = {name: body_step(*shape) for name, shape in SHAPES.items()} | {"head 1,024 x 57,152": head_step()}
    seconds = {name: timed(step, args.steps, args.rounds) for name, step in steps.items()}
    ratios = {name: round(sides["torch"] / sides["ours"], 2) for name, sides in seconds.items()}
    machine = {"processor": platform.processor() or platform.machine(), "threads": torch.get_num_threads()}
    report = {"benchmark": "bf16_speed", "ratio": min(ratios.values()), "ratios": ratios, "floor": FLOOR}
    print(json.dumps({**report, "seconds": seconds, "machine": machine}))
    return 1 if min(ratios.values()) < FLOOR else 0


def timed(step: Step, steps: int, rounds: int) -> dict[str, float]:
    """Median seconds of a step of each side."""
    sides: dict[str, list[float]] = {"ours": [], "torch": []}
    for _ in range(rounds):
        for side, seconds in sides.items():
            for number in range(steps + 1):
                began = time.perf_counter()
                step(side == "ours")
                if number:
                    seconds.append(time.perf_counter() - began)
    return {side: round(statistics.median(seconds), 4) for side, seconds in sides.items()}


def body_step(config: BertConfig | LlamaConfig, rows: int, length: int) -> Step:
    """A pass of a body over sentences, half of which are padded: without padding transformers leaves the mask out."""
    torch.manual_seed(0)
    model = AutoModel.from_config(config, dtype=torch.bfloat16).train()
    ids = torch.randint(0, config.vocab_size, (rows, length))
    mask = torch.ones_like(ids)
    mask[1::2, -length // 8 :] = 0

    def step(ours: bool) -> None:
        with attention_to_learn_with(torch.device("cpu"), torch.bfloat16) if ours else nullcontext():
            states = model(input_ids=ids, attention_mask=mask).last_hidden_state
            states.float().square().mean().backward()
        model.zero_grad(set_to_none=True)

    return step


def head_step() -> Step:
    """The loss of a head and its gradients."""
    torch.manual_seed(0)
    hidden = torch.randn(1024, 576, dtype=torch.bfloat16).requires_grad_()
    weight = (0.05 * torch.randn(57_152, 576)).to(torch.bfloat16).requires_grad_()
    targets = torch.randint(0, 57_152, (1024,))

    def step(ours: bool) -> None:
        as_torch = mock.patch("hyperofa.model.loss._sums_in_float32", return_value=nullcontext())
        with nullcontext() if ours else as_torch:
            linear_cross_entropy(hidden, weight, targets).total.backward()
        hidden.grad = weight.grad = None

    return step


if __name__ == "__main__":
    sys.exit(main())
