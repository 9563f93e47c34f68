"""The device that a setting names: its name is checked where settings are, that it is there on the machine that will use it."""

from __future__ import annotations

from pathlib import Path

import torch

from hyperofa.errors import InputError


def check_device(name: str, where: str) -> None:
    """Refuse, as :class:`InputError`, what is no device's name on any machine."""
    try:
        torch.device("cpu" if name == "auto" else name)
    except RuntimeError:
        raise InputError(f"unknown device {name!r}", where=where, todo="use auto, cpu, cuda or cuda:N") from None


def device_named(name: str, where: str) -> torch.device:
    """The device ``name``; ``auto`` is a GPU where there is one.

    Raises:
        InputError: there is no such device on this machine; ``where`` says whose setting it is.
    """
    check_device(name, where)
    device = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)
    gpus = torch.cuda.device_count()
    there = {"cpu": True, "cuda": (device.index or 0) < gpus, "mps": torch.backends.mps.is_available()}
    if not there.get(device.type, False):
        raise InputError(f"no device {name!r} on this machine ({gpus} GPUs)", where=where, todo="use auto or cpu")
    return device


def multiplies_bfloat16(device: torch.device, cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether the device has instructions for products of bfloat16; elsewhere they are emulated, and slower than float32's."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu":
        return False
    try:
        flags = cpuinfo.read_text()
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags
