"""The DeepSpeed config of a run, from ``ds_configs/`` and the run's own settings, and what the launcher says."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hyperofa.base.resources import resource
from hyperofa.errors import InputError
from hyperofa_eval.base.files import read_json

if TYPE_CHECKING:
    from hyperofa.train.config import TrainConfig


def world_size_of_launch() -> int:
    """How many processes the launcher started (1 without a launcher), known before anything heavy is imported."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def deepspeed_config(config: TrainConfig, world_size: int, *, cuda: bool) -> dict[str, Any]:
    """The DeepSpeed config of a run: the file named by the config, with its ``auto`` values filled in.

    Raises:
        InputError: the file is not a DeepSpeed config, or contradicts the run's own settings.
    """
    path = config.ds_config or resource(f"ds_configs/zero{config.zero_stage}.json")
    values = read_json(path)
    if not isinstance(values, dict) or not isinstance(values.get("zero_optimization"), dict):
        raise InputError("not a DeepSpeed config with a zero_optimization section", where=path)
    zero = values["zero_optimization"]
    stage, offloaded = _check_zero(zero, path)
    run_values: dict[str, Any] = {
        "train_micro_batch_size_per_gpu": config.micro_batch_size,
        "gradient_accumulation_steps": config.accumulation(world_size),
        "gradient_clipping": config.clip,
        "fp16": {"enabled": config.precision == "fp16"},
        # check_grad_overflow and compute_grad_norm find gradients that are not finite
        "bf16": {"enabled": config.precision == "bf16", "check_grad_overflow": True},
        "zero_optimization": {"overlap_comm": cuda, "compute_grad_norm": True},
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,  # DeepSpeed's own is compiled at run time
    }
    run_values["zero_optimization"] |= {part: {"pin_memory": cuda} for part in offloaded}
    accumulates = config.precision == "bf16" and config.accumulation(world_size) > 1
    if accumulates and (stage > 1 or "offload_optimizer" in offloaded):
        # With stage 1 on the device itself DeepSpeed would take another optimizer, whose shards are laid out otherwise.
        run_values["data_types"] = {"grad_accum_dtype": "fp32"}
    elif stage == 1 and isinstance(values.get("data_types"), dict) and values["data_types"].get("grad_accum_dtype"):
        todo = "use stage 2, or leave it out"
        raise InputError("data_types.grad_accum_dtype cannot be set with stage 1", where=path, todo=todo)
    _fill(values, run_values, path)
    for refused in ("optimizer", "scheduler", "train_batch_size"):
        if refused in values:
            raise InputError(f"{refused!r} must not be set here", where=path, todo="the run's config decides it")
    return values


def _check_zero(zero: dict[str, Any], path: Path) -> tuple[int, list[str]]:
    """The stage and what is offloaded; an offload of nothing (null) is taken out.

    Raises:
        InputError: there is no stage from 1 to 3, or something is offloaded to where its shards cannot be saved from.
    """
    stage = zero.get("stage")
    if isinstance(stage, bool) or stage not in (1, 2, 3):
        problem = "is missing" if stage is None else f"is {stage!r}"
        raise InputError(f"zero_optimization.stage {problem}", where=path, todo="write 1, 2 or 3")
    offloaded = []
    for part in ("offload_optimizer", "offload_param"):
        target = zero.get(part)
        device = target.get("device", "none") if isinstance(target, dict) else target
        if device in (None, "none"):
            zero.pop(part, None)
        elif device != "cpu":
            what = f"zero_optimization.{part} goes to {device!r}"
            raise InputError(what, where=path, todo='write {"device": "cpu"}, or leave it out')
        elif part == "offload_param" and stage != 3:
            raise InputError(f"zero_optimization.{part} needs stage 3, not {stage}", where=path)
        else:
            offloaded.append(part)
    for key, value in zero.items():
        if key.endswith(("_size", "_threshold")) and not (type(value) in (int, float) and value >= 0):
            raise InputError(f"zero_optimization.{key} is {value!r}", where=path, todo="write a number")
    return int(stage), offloaded


def _fill(values: dict[str, Any], run_values: Mapping[str, Any], path: Path, prefix: str = "") -> None:
    for key, value in run_values.items():
        if isinstance(value, Mapping):
            group = values.setdefault(key, {})
            if not isinstance(group, dict):
                raise InputError(f"{prefix}{key} is {group!r}, not a group of settings", where=path)
            _fill(group, value, path, f"{prefix}{key}.")
        elif values.get(key, "auto") == "auto":
            values[key] = value
        elif values[key] != value and key not in {"overlap_comm", "pin_memory"}:
            raise InputError(f"{prefix}{key} is {values[key]!r}, but the run's config makes it {value!r}", where=path)
    if not prefix and (autos := _auto_keys(values)):
        raise InputError(f"'auto' is not filled in for {', '.join(autos)}", where=path, todo="write a number")


def _auto_keys(values: Mapping[str, Any], prefix: str = "") -> list[str]:
    keys: list[str] = []
    for key, value in values.items():
        if isinstance(value, Mapping):
            keys += _auto_keys(value, f"{prefix}{key}.")
        elif value == "auto":
            keys.append(f"{prefix}{key}")
    return keys
