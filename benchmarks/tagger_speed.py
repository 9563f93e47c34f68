"""Fine-tuning a tagger: training the rows that its text uses against training the whole embedding; exit 1 under the floor.

    python benchmarks/tagger_speed.py [--steps 6] [--rounds 2]

A body of multilingual-e5-small's shape with made-up weights and steps of eight sentences of 32 tokens, of 5,000 different ones
among 250,037 (600 English sentences use about as many): forward, backward, clipping and AdamW, as
``hyperofa_eval.models.tagger`` does them. After the timed steps both sides must have the same weights, up to rounding. They run
in turn in one process. The last line is one JSON with the ratio, each side's median seconds a step, and the floor; exit code 1
where it is missed.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import time
from typing import Any

import torch
from torch import nn
from transformers import AutoModel, BertConfig

from hyperofa_eval.models.tagger import train_used_rows

FLOOR = 1.5
BODY = BertConfig(
    vocab_size=250_037,
    hidden_size=384,
    num_hidden_layers=12,
    num_attention_heads=12,
    intermediate_size=1536,
    attention_probs_dropout_prob=0.0,
    hidden_dropout_prob=0.0,  # so that both sides draw alike
)
USED, SENTENCES, LENGTH = 5_000, 8, 32


class Side:
    """A body that learns, with or without the rows that no sentence uses."""

    def __init__(self, *, ours: bool) -> None:
        torch.manual_seed(0)
        self.body: Any = AutoModel.from_config(BODY).train()
        self.rows = train_used_rows(self.body, range(1000, 1000 + USED)) if ours else None
        self.learning = [parameter for parameter in self.body.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.AdamW(self.learning, lr=1e-4, weight_decay=0.0, fused=True)
        self.seconds: list[float] = []

    def step(self, ids: torch.Tensor) -> None:
        """One step; its time is kept."""
        began = time.perf_counter()
        states = self.body(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
        self.optimizer.zero_grad(set_to_none=True)
        states.square().mean().backward()
        nn.utils.clip_grad_norm_(self.learning, 1.0)
        self.optimizer.step()
        self.seconds.append(time.perf_counter() - began)

    def embedding(self) -> torch.Tensor:
        """The whole matrix."""
        if self.rows is not None:
            self.body.set_input_embeddings(self.rows.written())
        return self.body.get_input_embeddings().weight.detach()


def main() -> int:
    """Time both sides; see the module's text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=6, help="steps of a side in a round; the first is not counted")
    parser.add_argument("--rounds", type=int, default=2)
    args = parser.parse_args()
    sides = {"ours": Side(ours=True), "whole": Side(ours=False)}
    generator = torch.Generator().manual_seed(1)
    timed: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(args.rounds):
        batches = [
            torch.randint(1000, 1000 + USED, (SENTENCES, LENGTH), generator=generator) for _ in range(args.steps)
        ]
        for name, side in sides.items():
            side.seconds.clear()
            for ids in batches:
                side.step(ids)
            timed[name] += side.seconds[1:]
    apart = float((sides["ours"].embedding() - sides["whole"].embedding()).abs().max())
    seconds = {name: round(statistics.median(own), 4) for name, own in timed.items()}
    ratio = round(seconds["whole"] / seconds["ours"], 2)
    machine = {"processor": platform.processor() or platform.machine(), "threads": torch.get_num_threads()}
    report = {
        "benchmark": "tagger_speed",
        "ratio": ratio,
        "floor": FLOOR,
        "seconds": seconds,
        "largest_difference": apart,
    }
    print(json.dumps({**report, "machine": machine}))
    return 1 if ratio < FLOOR or apart > 1e-4 else 0


if __name__ == "__main__":
    sys.exit(main())
