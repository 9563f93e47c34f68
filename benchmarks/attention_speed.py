"""A pass in bfloat16 on the CPU, both ways, by the attention that training uses and by torch's choice; exit 1 under the floor.

    python benchmarks/attention_speed.py [--steps 3] [--rounds 2]

Two bodies with made-up weights: an encoder of multilingual-e5-small's shape on 32 sentences of 40 tokens and 8 of 128, and four
blocks of a decoder of SmolLM2-135M's shape on four sequences of 256. Longer ones are left to torch. Both sides run in turn in one process. The
last line is one JSON with the least ratio, each shape's median seconds, and the floor; exit code 1 where it is missed.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import time
from contextlib import nullcontext

import torch
from transformers import AutoModel, BertConfig, LlamaConfig

from hyperofa.base.attention import attention_to_learn_with

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


def main() -> int:
    """Time both sides on all shapes; see the module's text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=3, help="timed steps of a side in a round, after one that is not")
    parser.add_argument("--rounds", type=int, default=2)
    asked = parser.parse_args()
    device, found = torch.device("cpu"), {}
    for name, (config, rows, length) in SHAPES.items():
        torch.manual_seed(0)
        model = AutoModel.from_config(config, dtype=torch.bfloat16).train()
        ids = torch.randint(0, config.vocab_size, (rows, length))
        mask = torch.ones_like(ids)
        mask[1::2, -length // 8 :] = 0  # padding, without which transformers leaves the mask out
        sides: dict[str, list[float]] = {"ours": [], "torch": []}
        for _ in range(asked.rounds):
            for side, seconds in sides.items():
                for step in range(asked.steps + 1):
                    began = time.perf_counter()
                    with attention_to_learn_with(device) if side == "ours" else nullcontext():
                        states = model(input_ids=ids, attention_mask=mask).last_hidden_state
                        states.float().square().mean().backward()
                    model.zero_grad(set_to_none=True)
                    if step:
                        seconds.append(time.perf_counter() - began)
        found[name] = {side: round(statistics.median(seconds), 4) for side, seconds in sides.items()}
        print(name, found[name], flush=True)
    ratios = {name: round(one["torch"] / one["ours"], 2) for name, one in found.items()}
    machine = {"processor": platform.processor() or platform.machine(), "threads": torch.get_num_threads()}
    report = {"benchmark": "attention_speed", "ratio": min(ratios.values()), "ratios": ratios, "floor": FLOOR}
    print(json.dumps({**report, "seconds": found, "machine": machine}))
    return 1 if min(ratios.values()) < FLOOR else 0


if __name__ == "__main__":
    sys.exit(main())
