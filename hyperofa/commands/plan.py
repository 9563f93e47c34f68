"""``hyperofa plan CONFIG.yaml --gpus N --gpu-memory GB``: does it fit, how long will it take; nothing is loaded."""

from __future__ import annotations

import argparse
import dataclasses
import math
from pathlib import Path
from typing import TYPE_CHECKING

from hyperofa.errors import EXIT_FAILED, EXIT_OK, InputError, unknown_name
from hyperofa.train.config import TrainConfig
from hyperofa.train.engine.dsconfig import deepspeed_config
from hyperofa_eval.base.console import output, print_json, table
from hyperofa_eval.base.files import read_json
from hyperofa_eval.settings.config import load_config

if TYPE_CHECKING:
    from hyperofa.train.planning.plan import Plan


LONGEST = 1 << 24
"""Tokens of a sequence that can be meant."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``hyperofa plan``."""
    parser.add_argument("config", type=Path, help="the run's YAML file")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="settings that replace the file's")
    parser.add_argument("--gpus", type=int, required=True, help="processes over all machines")
    parser.add_argument("--gpu-memory", type=float, required=True, metavar="GB", help="memory of one GPU in 10^9 bytes")
    parser.add_argument("--gpu", default="H100", help="kind of GPU, for the hours (default: H100)")
    parser.add_argument("--mfu", type=float, default=0.35, help="share of its peak that is reached (default: 0.35)")
    parser.add_argument("--length", type=int, help="tokens per sequence (default: the corpus's, or 512 without one)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Print the plan; exit code 1 if it does not fit."""
    config = load_config(TrainConfig, args.config, args.overrides)
    if args.gpus < 1 or not 0 < args.gpu_memory < math.inf or not 0 < args.mfu <= 1:
        raise InputError("--gpus and --gpu-memory must be above 0, --mfu between 0 and 1", where="command line")
    if args.length is not None and not 1 <= args.length <= LONGEST:
        raise InputError(f"--length must lie between 1 and {LONGEST:,}, not {args.length:,}", where="command line")
    from hyperofa.train.planning.cost import PEAK_FLOPS, peak_flops, shape_of_directory
    from hyperofa.train.planning.plan import make_plan

    peak = peak_flops(args.gpu, config.precision)
    if peak is None:
        raise unknown_name("GPU", args.gpu, PEAK_FLOPS)
    plan = make_plan(
        config,
        shape_of_directory(config.model, config.mask_rate),
        deepspeed_config(config, args.gpus, cuda=True),
        world_size=args.gpus,
        length=args.length or _length_of(config.corpus),
        flops_per_second=peak * args.mfu,
    )
    fits = plan.fits(args.gpu_memory * 1e9)
    if args.json:
        print_json({**dataclasses.asdict(plan), "memory_bytes": plan.memory_bytes, "fits": fits})
    else:
        _print(plan, args, fits)
    return EXIT_OK if fits else EXIT_FAILED


def _length_of(corpus: Path) -> int:
    path = corpus / "corpus.json"
    if not path.is_file():
        return 512
    meta = read_json(path)
    length = meta.get("length") if isinstance(meta, dict) else None
    if type(length) is not int or not 1 <= length <= LONGEST:
        raise InputError(f"no length of its sequences ({length!r})", where=path, todo="prepare the corpus again")
    return length


def _print(plan: Plan, args: argparse.Namespace, fits: bool) -> None:
    title = f"one of {plan.world_size} GPUs, ZeRO-{plan.zero_stage}{' with offload' if plan.offload else ''}"
    rows = [[part, size / 1e9] for part, size in plan.memory.items()]
    table(title, ["part", "GB"], [*rows, ["together", plan.memory_bytes / 1e9]])
    if plan.host:
        output.print(f"host memory      {plan.host / 1e9:,.2f} GB per GPU")
    output.print(f"parameters       {plan.parameters:,} ({plan.embedding_parameters:,} in the embeddings)")
    output.print(f"tokens           {plan.tokens_per_step:,} a step, {plan.tokens:,} in {plan.steps:,} steps")
    output.print(f"accumulation     {plan.accumulation} micro-batches per GPU and step")
    output.print(
        f"time             {plan.hours:,.2f} h on {plan.world_size} x {args.gpu} at {args.mfu:.0%} of its peak"
    )
    output.print(f"checkpoint       {plan.checkpoint_bytes / 1e9:,.2f} GB each")
    verdict = (
        "fits" if fits else "does not fit; raise zero_stage, lower micro_batch_size, or use gradient_checkpointing"
    )
    output.print(f"{args.gpu_memory:g} GB           {verdict}")
