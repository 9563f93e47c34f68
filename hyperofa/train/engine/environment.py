"""What must hold in a process before accelerate and DeepSpeed are set up in it."""

from __future__ import annotations

import contextlib
import os
import socket

from hyperofa.errors import InputError
from hyperofa.train.engine.internals import OPERATORS, is_usable


def set_launch_environment() -> None:
    """Let one process without a launcher be a launch of one; let the run's config alone decide about DeepSpeed.

    Raises:
        InputError: the launcher was given a DeepSpeed config, which would be read by nobody.
    """
    foreign = os.environ.get("ACCELERATE_DEEPSPEED_CONFIG_FILE", "none")
    if foreign != "none":
        what = "the accelerate config names a DeepSpeed config"
        raise InputError(what, where=foreign, todo="set ds_config in the run's")
    os.environ.pop("ACCELERATE_CONFIG_DS_FIELDS", None)
    os.environ["ACCELERATE_USE_DEEPSPEED"] = "true"
    if "RANK" not in os.environ:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        alone = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "LOCAL_WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1"}
        os.environ.update(alone, MASTER_PORT=str(port))


def check_precision(precision: str) -> None:
    """Refuse a precision that this device has not.

    Raises:
        InputError: DeepSpeed would say so in a traceback.
    """
    import torch
    from deepspeed.accelerator import get_accelerator

    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    device = get_accelerator()
    if dtype not in device.supported_dtypes():
        raise InputError(f"this {device.device_name()} device has no {precision}", todo="set precision to fp32 or bf16")


def compile_nothing() -> None:
    """Mark DeepSpeed's optional operators unavailable: building one at run time needs a compiler."""
    with contextlib.redirect_stdout(None):
        import deepspeed
        import deepspeed.ops
    if is_usable(OPERATORS, deepspeed.ops):
        deepspeed.ops.__compatible_ops__.update(dict.fromkeys(deepspeed.ops.__compatible_ops__, False))
