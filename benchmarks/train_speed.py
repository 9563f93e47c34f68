"""Training speed and memory beside transformers' own dense model, and what the engine's step costs over a bare one.

    python benchmarks/train_speed.py            # XLM-R-base shape, 401,145 tokens, length 512: needs some 12 GB
    python benchmarks/train_speed.py --small    # a minute, to see that it runs; the floors are not checked

Every side is a process of its own, so that its peak memory is its own; the sides take turns, and the best speed and largest
peak of each count. A batch is 512 tokens, one packed sequence: with more, the dense side's scores (V floats a token, several
times over) would only make its share of the memory larger. The dense side does what ``run_mlm.py`` does: scores at every
position, cross-entropy over them. Ours scores the masked positions only, through the fused loss. ``engine`` is the time of
its step over that of ``bare``, a plain loop with torch's defaults; ``engine_alike`` is over ``alike``, the same loop with the
engine's optimizer and allocator settings. The last line is one JSON with both sides, the ratios and the floors; exit code 1
if a floor is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

FULL = {
    "vocab_size": 401_145,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
}
SMALL = {
    "vocab_size": 20_000,
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 128,
}
LENGTH, BATCH, MASKED = 512, 1, 0.15
FLOORS = {
    "speed_rank100": 4.0,
    "memory_rank100": 0.35,
    "speed_rank400": 2.5,
    "memory_rank400": 0.55,
    "engine": 1.08,
    "engine_alike": 1.08,
}
SIDES = ("dense", "rank100", "rank400", "bare", "alike", "engine")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="tiny shapes, no floors")
    parser.add_argument("--steps", type=int, default=5, help="timed steps of each side, after one that is not timed")
    parser.add_argument("--rounds", type=int, default=2, help="processes of each side, in turn with the other sides'")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    shape = SMALL if args.small else FULL
    if args.side:
        print(json.dumps(measure(args.side, shape, args.steps)))
        return 0
    best_runs: dict[str, dict[str, float]] = {}
    for _ in range(args.rounds):
        for side in SIDES:
            seen = run_side(side, args)
            best = best_runs.setdefault(side, seen)
            best_runs[side] = {name: max(best[name], seen[name]) for name in seen}
            print(f"{side:8} {seen['tokens_per_second']:10.1f} tokens/s {seen['peak_gb']:8.2f} GB", flush=True)
    ratios = {
        "speed_rank100": best_runs["rank100"]["tokens_per_second"] / best_runs["dense"]["tokens_per_second"],
        "memory_rank100": best_runs["rank100"]["peak_gb"] / best_runs["dense"]["peak_gb"],
        "speed_rank400": best_runs["rank400"]["tokens_per_second"] / best_runs["dense"]["tokens_per_second"],
        "memory_rank400": best_runs["rank400"]["peak_gb"] / best_runs["dense"]["peak_gb"],
        "engine": best_runs["bare"]["tokens_per_second"] / best_runs["engine"]["tokens_per_second"],
        "engine_alike": best_runs["alike"]["tokens_per_second"] / best_runs["engine"]["tokens_per_second"],
    }
    missed = [name for name, floor in FLOORS.items() if (ratios[name] < floor) == name.startswith("speed")]
    machine = {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()}
    result = {
        "ratio": ratios,
        "floors": FLOORS,
        "missed": missed,
        "sides": best_runs,
        "machine": machine,
        "small": args.small,
    }
    print(json.dumps(result))
    return 1 if missed and not args.small else 0


def run_side(side: str, args: argparse.Namespace) -> dict[str, float]:
    command = [
        sys.executable,
        __file__,
        "--side",
        side,
        "--steps",
        str(args.steps),
        *(["--small"] if args.small else []),
    ]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def measure(side: str, shape: dict[str, int], steps: int) -> dict[str, float]:
    """Seconds of one side's steps and its process's peak memory."""
    import torch

    torch.manual_seed(0)
    known = {"dense": dense_step, "bare": bare_step, "alike": alike_step, "engine": engine_step}
    step = known.get(side, factorised_step)(side, shape)
    step()
    seconds = timed_steps(step, steps)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    if torch.cuda.is_available():
        peak = torch.cuda.max_memory_allocated() / 1e9
    return {"tokens_per_second": BATCH * LENGTH / statistics.median(seconds), "peak_gb": peak}


def timed_steps(step: Callable[[], None], steps: int) -> list[float]:
    """Seconds of each of so many steps."""
    seconds = []
    for _ in range(steps):
        began = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - began)
    return seconds


def inputs_of(shape: dict[str, int]) -> tuple[Any, Any]:
    """Token ids (B, L) and labels with 15 % of the positions wanted, on the device."""
    import torch

    ids = torch.randint(5, shape["vocab_size"], (BATCH, LENGTH))
    labels = torch.where(torch.rand(BATCH, LENGTH) < MASKED, ids, torch.full_like(ids, -100))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return ids.to(device), labels.to(device)


def settings_of(shape: dict[str, int]) -> dict[str, Any]:
    return {**shape, "max_position_embeddings": LENGTH + 2, "type_vocab_size": 1, "pad_token_id": 1}


def dense_step(side: str, shape: dict[str, int]) -> Any:
    """Forward and backward of transformers' XLM-R as it is."""
    from transformers import XLMRobertaConfig, XLMRobertaForMaskedLM

    ids, labels = inputs_of(shape)
    model = XLMRobertaForMaskedLM(XLMRobertaConfig(**settings_of(shape))).to(ids.device).train()

    def step() -> None:
        model(input_ids=ids, labels=labels).loss.backward()
        model.zero_grad(set_to_none=True)

    return step


def our_model(shape: dict[str, int], rank: int) -> Any:
    from hyperofa.model.families import FAMILIES
    from hyperofa.model.training import TrainingModel

    family = FAMILIES["xlm-roberta"]
    config = family.factorized_config(**settings_of(shape), embedding_rank=rank, head_rank=rank)
    return TrainingModel(family.factorized_class(family.lm_kind)(config)).train()


def factorised_step(side: str, shape: dict[str, int]) -> Any:
    """Forward and backward of the factorised model with the loss on the masked positions."""
    import torch

    ids, labels = inputs_of(shape)
    keys = torch.arange(BATCH, device=ids.device)
    model = our_model(shape, int(side.removeprefix("rank"))).to(ids.device)

    def step() -> None:
        out = model(ids, labels, dropout_keys=keys)
        (out.loss_sum / out.n_targets).backward()
        model.zero_grad(set_to_none=True)

    return step


def alike_step(side: str, shape: dict[str, int]) -> Any:
    """The bare step with the engine's own choices, so that only the engine is left: fused AdamW, hyperofa_eval.base.cpu."""
    from hyperofa_eval.base.cpu import speed_up_cpu

    speed_up_cpu()
    return bare_step(side, shape, fused=True)


def bare_step(side: str, shape: dict[str, int], *, fused: bool | None = None) -> Any:
    """What the engine's step is compared with: forward, backward, clipping and AdamW of plain torch."""
    import torch

    from hyperofa.model import parameter_groups

    ids, labels = inputs_of(shape)
    keys = torch.arange(BATCH, device=ids.device)
    model = our_model(shape, 100).to(ids.device)
    optimizer = torch.optim.AdamW(parameter_groups(model, weight_decay=0.01), lr=5e-5, fused=fused)

    def step() -> None:
        out = model(ids, labels, dropout_keys=keys)
        (out.loss_sum / out.n_targets).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def engine_step(side: str, shape: dict[str, int]) -> Any:
    """The same step through accelerate and DeepSpeed (one process), with the reductions of the training loop."""
    import torch

    from hyperofa.model import parameter_groups
    from hyperofa.train.config import TrainConfig
    from hyperofa.train.engine.engine import Engine

    config = TrainConfig(
        model="none",
        corpus=Path("none"),
        run=Path(tempfile.gettempdir()),
        steps=100,
        global_batch_size=BATCH,
        micro_batch_size=BATCH,
    )
    engine = Engine(config)
    ids, labels = inputs_of(shape)
    keys = torch.arange(BATCH, device=ids.device)
    model = our_model(shape, 100)
    engine.prepare(model, parameter_groups(model, weight_decay=0.01))
    engine.train_mode()

    def step() -> None:
        targets = int(engine.sum([int((labels >= 0).sum())])[0])
        out = engine.forward({"input_ids": ids, "labels": labels, "dropout_keys": keys})
        engine.backward(out.loss_sum, targets)
        engine.end_micro_batch()
        engine.sum([0.0, float(out.loss_sum.detach())])

    return step


if __name__ == "__main__":
    sys.exit(main())
