"""The DeepSpeed config of a run, from ``ds_configs/`` and the run's own settings, and what the launcher says."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hyperofa.errors import InputError
from hyperofa.files import read_json
from hyperofa.resources import resource

if TYPE_CHECKING:
    from hyperofa.train.config import TrainConfig


def world_size_of_launch() -> int:
    """How many processes the launcher started (1 without a launcher), known before anything heavy is imported."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank_of_launch() -> int:
    """The rank of this process according to the launcher."""
    return int(os.environ.get("RANK", "0"))


def deepspeed_config(config: TrainConfig, world_size: int, *, cuda: bool) -> dict[str, Any]:
    """The DeepSpeed config of a run: the file named by the config, with its ``auto`` values filled in.

    Raises:
        InputError: the file is not a DeepSpeed config, or contradicts the run's own settings.
    """
    path = config.ds_config or resource(f"ds_configs/zero{config.zero_stage}.json")
    values = read_json(path)
    if not isinstance(values, dict) or not isinstance(values.get("zero_optimization"), dict):
        raise InputError("not a DeepSpeed config with a zero_optimization section", where=path)
    ours: dict[str, Any] = {
        "train_micro_batch_size_per_gpu": config.micro_batch_size,
        "gradient_accumulation_steps": config.accumulation(world_size),
        "gradient_clipping": config.clip,
        "fp16": {"enabled": config.precision == "fp16"},
        "bf16": {"enabled": config.precision == "bf16", "check_grad_overflow": True},
        "zero_optimization": {
            "overlap_comm": cuda,
            "compute_grad_norm": True,
        },  # both find gradients that are not finite
    }
    for part in ("offload_optimizer", "offload_param"):
        if part in values["zero_optimization"]:
            ours["zero_optimization"][part] = {"pin_memory": cuda}
    _fill(values, ours, path)
    for refused in ("optimizer", "scheduler", "train_batch_size"):
        if refused in values:
            raise InputError(f"{refused!r} must not be set here", where=path, todo="the run's config decides it")
    return values


def _fill(values: dict[str, Any], ours: Mapping[str, Any], path: Path, prefix: str = "") -> None:
    for key, mine in ours.items():
        if isinstance(mine, Mapping):
            _fill(values.setdefault(key, {}), mine, path, f"{prefix}{key}.")
        elif values.get(key, "auto") == "auto":
            values[key] = mine
        elif values[key] != mine and key not in {"overlap_comm", "pin_memory"}:
            raise InputError(f"{prefix}{key} is {values[key]!r}, but the run's config makes it {mine!r}", where=path)
    if not prefix and (autos := _auto_keys(values)):
        raise InputError(f"'auto' is not filled in for {', '.join(autos)}", where=path, todo="write a number")


def _auto_keys(values: Mapping[str, Any], prefix: str = "") -> list[str]:
    found: list[str] = []
    for key, value in values.items():
        if isinstance(value, Mapping):
            found += _auto_keys(value, f"{prefix}{key}.")
        elif value == "auto":
            found.append(f"{prefix}{key}")
    return found
