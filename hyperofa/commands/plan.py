"""``hyperofa plan CONFIG.yaml --gpus N --gpu-memory GB``: does it fit, how long will it take; nothing is loaded."""

from __future__ import annotations

import dataclasses
import logging
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from hyperofa.commands.train import ConfigFile
from hyperofa.errors import EXIT_FAILED, EXIT_OK, InputError, unknown_name
from hyperofa_eval.settings.commands import Command
from hyperofa_eval.settings.fields import Range, setting, shown

if TYPE_CHECKING:
    from hyperofa.train.planning.plan import Plan


log = logging.getLogger(__name__)

LONGEST = 1 << 24
"""Tokens of a sequence that can be meant."""


@dataclass(frozen=True, kw_only=True)
class PlanOptions(ConfigFile):
    """The options of ``hyperofa plan``."""

    gpus: int = setting(help="processes over all machines", range=Range(1))
    gpu_memory: float = setting(help="memory of one GPU in 10^9 bytes", metavar="GB", range=Range(0, above=True))
    gpu: str = setting("H100", "kind of GPU, for the hours")
    mfu: float = setting(0.35, "share of its peak that is reached", range=Range(0, 1, above=True))
    length: int | None = setting(
        None, "tokens per sequence (default: the corpus's, or 512 without one)", range=Range(1, LONGEST)
    )
    json: bool = shown(False, "print JSON")


def planned(options: PlanOptions) -> Plan:
    """The plan of a run; nothing of the model is loaded or made but its shape.

    Raises:
        InputError: a setting cannot be. DataMissingError: the model has no config.
    """
    config = options.load()
    from hyperofa.train.engine.dsconfig import deepspeed_config
    from hyperofa.train.loading import choose_what_learns
    from hyperofa.train.planning.cost import PEAK_FLOPS, peak_flops, shape_of_directory
    from hyperofa.train.planning.plan import make_plan

    peak = peak_flops(options.gpu, config.precision)
    if peak is None:
        raise unknown_name("GPU", options.gpu, PEAK_FLOPS)
    return make_plan(
        config,
        shape_of_directory(config.model, config.share_scored, partial(choose_what_learns, config)),
        deepspeed_config(config, options.gpus, cuda=True),
        world_size=options.gpus,
        length=options.length or _length_of(config.corpus),
        flops_per_second=peak * options.mfu,
    )


def run(options: PlanOptions) -> int:
    """Print the plan; exit code 1 if it does not fit."""
    from hyperofa_eval.base.console import print_json

    plan = planned(options)
    fits = plan.fits(options.gpu_memory * 1e9)
    if options.json:
        print_json({**dataclasses.asdict(plan), "memory_bytes": plan.memory_bytes, "fits": fits})
    else:
        _print(plan, options, fits)
    return EXIT_OK if fits else EXIT_FAILED


def _length_of(corpus: Path) -> int:
    from hyperofa_eval.base.files import read_json

    path = corpus / "corpus.json"
    if not path.is_file():
        log.warning("%s: not there yet, so 512 tokens a sequence are assumed (--length)", path)
        return 512
    meta = read_json(path)
    length = meta.get("length") if isinstance(meta, dict) else None
    if type(length) is not int or not 1 <= length <= LONGEST:
        raise InputError(f"no length of its sequences ({length!r})", where=path, todo="prepare the corpus again")
    return length


def _print(plan: Plan, options: PlanOptions, fits: bool) -> None:
    from hyperofa_eval.base.console import output, table

    title = f"one of {plan.world_size} GPUs, ZeRO-{plan.zero_stage}{' with offload' if plan.offload else ''}"
    rows = [[part, size / 1e9] for part, size in plan.memory.items()]
    table(title, ["part", "GB"], [*rows, ["together", plan.memory_bytes / 1e9]])
    if plan.host:
        output.print(f"host memory      {plan.host / 1e9:,.2f} GB per GPU")
    parts = f"{plan.embedding_parameters:,} in the embeddings"
    parts += f"; {plan.learning:,} are trained" if plan.learning < plan.parameters else ""
    output.print(f"parameters       {plan.parameters:,} ({parts})")
    output.print(f"tokens           {plan.tokens_per_step:,} a step, {plan.tokens:,} in {plan.steps:,} steps")
    output.print(f"accumulation     {plan.accumulation} micro-batches per GPU and step")
    output.print(
        f"time             {plan.hours:,.2f} h on {plan.world_size} x {options.gpu} at {options.mfu:.0%} of its peak"
    )
    output.print(f"checkpoint       {plan.checkpoint_bytes / 1e9:,.2f} GB each")
    verdict = (
        "fits" if fits else "does not fit; raise zero_stage, lower micro_batch_size, or use gradient_checkpointing"
    )
    output.print(f"{options.gpu_memory:g} GB           {verdict}")


COMMAND = Command(PlanOptions, run)
