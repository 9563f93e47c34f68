"""A training step on the CPU as torch does it, with freed memory kept, and with oneDNN's products too; exit 1 under the floor.

    python benchmarks/cpu_speed.py [--small] [--steps 5] [--rounds 2]

All sides do the same step (forward, backward, clipping, AdamW of XLM-R-base with 401,145 tokens at rank 100, 512
positions), each in processes of its own and in turn. How much it is depends on what the kernel takes for a fresh page, and on
the processor (MKL is slow on AMD's), so on the machine; the side ``onednn`` is left out where hyperofa leaves products to MKL.
The last line is one JSON with the ratio of the default's median step to that of all settings, the figures in seconds, and the
peaks in GB.
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

from train_speed import FULL, SMALL, bare_step, timed_steps

FLOOR = 1.05
SIDES = ("default", "kept", "onednn")


def main() -> int:
    """Run all sides; see the module's text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="tiny shapes, no floor")
    parser.add_argument(
        "--steps", type=int, default=5, help="timed steps of each process, after two that are not timed"
    )
    parser.add_argument("--rounds", type=int, default=2, help="processes of each side")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        print(json.dumps(measure(args.side, args.steps, small=args.small)))
        return 0
    from hyperofa_eval.base.cpu import multiply_with_onednn

    sides = SIDES if multiply_with_onednn() else SIDES[:2]
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    peaks = dict.fromkeys(sides, 0.0)
    for _ in range(args.rounds):
        for side in sides:
            command = [sys.executable, __file__, "--side", side, "--steps", str(args.steps)]
            command += ["--small"] if args.small else []
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            measures = json.loads(done.stdout.splitlines()[-1])
            seconds[side] += measures["seconds"]
            peaks[side] = max(peaks[side], measures["peak_gb"])
            print(
                f"{side:8} {statistics.median(measures['seconds']):8.3f} s a step {measures['peak_gb']:8.2f} GB",
                flush=True,
            )
    medians = {side: statistics.median(values) for side, values in seconds.items()}
    ratio = medians["default"] / medians[sides[-1]]
    machine = {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()}
    print(
        json.dumps(
            {
                "benchmark": "cpu_speed",
                "ratio": round(ratio, 3),
                "floor": FLOOR,
                "seconds": {side: round(value, 4) for side, value in medians.items()},
                "peak_gb": {side: round(value, 2) for side, value in peaks.items()},
                "machine": machine,
                "small": args.small,
            }
        )
    )
    return 1 if ratio < FLOOR and not args.small else 0


def measure(side: str, steps: int, *, small: bool) -> dict[str, object]:
    """Seconds of every timed step and the process's peak memory."""
    import torch

    from hyperofa_eval.base.cpu import keep_freed_memory, multiply_with_onednn

    if side != "default" and not keep_freed_memory():
        raise SystemExit("this C library cannot be told to keep freed memory")
    if side == "onednn":
        multiply_with_onednn()
    torch.manual_seed(0)
    step = bare_step("bare", SMALL if small else FULL)
    step()
    step()
    seconds = timed_steps(step, steps)
    return {"seconds": seconds, "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9}


if __name__ == "__main__":
    sys.exit(main())
