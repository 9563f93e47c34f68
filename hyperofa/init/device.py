"""The device that a setting names, checked before work begins."""

from __future__ import annotations

import torch

from hyperofa.errors import InputError


def device_named(name: str, where: str) -> torch.device:
    """The device ``name``; ``auto`` is a GPU where there is one.

    Raises:
        InputError: there is no such device on this machine; ``where`` says whose setting it is.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InputError(f"unknown device {name!r}", where=where, todo="use auto, cpu, cuda or cuda:N") from None
    gpus = torch.cuda.device_count()
    there = {"cpu": True, "cuda": (device.index or 0) < gpus, "mps": torch.backends.mps.is_available()}
    if not there.get(device.type, False):
        raise InputError(f"no device {name!r} on this machine ({gpus} GPUs)", where=where, todo="use auto or cpu")
    return device
