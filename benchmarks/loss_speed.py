"""Speed and memory of head and loss, forward and backward: ours against the dense head and cross-entropy of run_mlm.py.

    python benchmarks/loss_speed.py [--rank 100] [--out benchmarks/results/loss_speed.json]

Three sides, each in processes of its own so that a peak is its own: `plain` scores every position with a dense (V, D) head and
gives all scores to cross_entropy, as transformers does; `reference` is our factorised head on the wanted positions with
all scores stored; `chunked` is what training uses. Rounds alternate between the sides; the best time of each counts.
Exit code 1 where a floor is missed. The last line is one JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

SIDES = ("plain", "reference", "chunked")
FASTER_THAN_PLAIN = 4.0
MEMORY_OF_PLAIN = 0.35
DEFAULT_RANK = 100


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vocabulary", type=int, default=401_145)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--rank", type=int, default=DEFAULT_RANK)
    parser.add_argument("--positions", type=int, default=512, help="tokens of the batch")
    parser.add_argument("--rate", type=float, default=0.15, help="share of them that is predicted")
    parser.add_argument("--chunk-bytes", type=int, help="budget of the chunked side (default: the package's)")
    parser.add_argument("--repeats", type=int, default=3, help="steps timed per process, after one to warm up")
    parser.add_argument("--rounds", type=int, default=2, help="processes per side")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        print(json.dumps(measure(args)))
        return 0
    sides = run_sides(args)
    plain, ours = sides["plain"], sides["chunked"]
    result: dict[str, Any] = {
        "plain_over_chunked": round(plain["seconds"] / ours["seconds"], 2),
        "chunked_memory_over_plain": round(ours["peak_gb"] / plain["peak_gb"], 3),
        "sides": sides,
        "settings": {key: value for key, value in vars(args).items() if key not in {"out", "side"}},
        "machine": machine(),
    }
    floors = {
        "plain_over_chunked": result["plain_over_chunked"] >= FASTER_THAN_PLAIN,
        "chunked_memory_over_plain": result["chunked_memory_over_plain"] <= MEMORY_OF_PLAIN,
    }
    result["floors_met"] = floors
    if args.out is not None:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result))
    return 0 if all(floors.values()) else 1


def run_sides(args: argparse.Namespace) -> dict[str, dict[str, float]]:
    """The best time and the peak of every side over all rounds."""
    words = [f"--{key.replace('_', '-')}={value}" for key, value in vars(args).items() if value and key != "out"]
    runs_by_side: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
    for _ in range(args.rounds):
        for side in SIDES:
            command = [sys.executable, __file__, *words, f"--side={side}"]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            runs_by_side[side].append(json.loads(done.stdout.splitlines()[-1]))
    return {
        side: {
            "seconds": round(min(run["seconds"] for run in runs), 4),
            "peak_gb": round(max(run["peak_gb"] for run in runs), 3),
        }
        for side, runs in runs_by_side.items()
    }


def measure(args: argparse.Namespace) -> dict[str, float]:
    """Seconds of one forward and backward pass of a side, and the process's peak: weights, gradients and scores."""
    import torch
    from torch.nn import functional

    from hyperofa.model.loss import linear_cross_entropy

    torch.manual_seed(0)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    wanted = torch.rand(args.positions) < args.rate
    tokens = torch.randint(0, args.vocabulary, (args.positions,))
    hidden = torch.randn(args.positions, args.width).requires_grad_()
    bias = torch.zeros(args.vocabulary, requires_grad=True)
    if args.side == "plain":
        weight = torch.randn(args.vocabulary, args.width).mul_(0.02).requires_grad_()
        labels = torch.where(wanted, tokens, -100)

        def step() -> torch.Tensor:
            return functional.cross_entropy(functional.linear(hidden, weight, bias), labels)
    else:
        weight = torch.randn(args.vocabulary, args.rank).mul_(0.02).requires_grad_()
        primitives = torch.randn(args.rank, args.width).mul_(args.rank**-0.5).requires_grad_()
        options = {"primitives": primitives, "bias": bias, "impl": args.side, "chunk_bytes": args.chunk_bytes}

        def step() -> torch.Tensor:
            return linear_cross_entropy(hidden[wanted], weight, tokens[wanted], **options).total / wanted.sum()

    times = []
    for _ in range(args.repeats + 1):
        weight.grad = bias.grad = hidden.grad = None
        started = time.perf_counter()
        step().backward()
        times.append(time.perf_counter() - started)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"seconds": min(times[1:]), "peak_gb": (peak - before) / 2**20}


def machine() -> dict[str, Any]:
    import torch

    return {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "load": os.getloadavg()[0],
    }


if __name__ == "__main__":
    sys.exit(main())
