"""The processes of a run: one, or those that ``accelerate launch`` started; no result depends on their number."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from hyperofa_eval.base.errors import InputError, first_line

PATIENCE = timedelta(days=7)
"""How long a process waits for the others."""


@dataclass(frozen=True)
class Processes:
    """Rank and number of processes, and the two things they do together."""

    rank: int = 0
    world: int = 1
    device: str = "cpu"

    @property
    def main(self) -> bool:
        """Whether this process prints and writes the summary."""
        return self.rank == 0

    def gather(self, value: Any) -> list[Any]:
        """Every process's ``value``, by rank, on all of them."""
        if self.world == 1:
            return [value]
        import torch.distributed as dist

        out: list[Any] = [None] * self.world
        dist.all_gather_object(out, value)
        return out

    def wait(self) -> None:
        """Go on when all processes are here."""
        if self.world > 1:
            self.gather(None)


def start(device: str = "auto") -> Processes:
    """Join the processes that ``accelerate launch`` started, or be the only one.

    ``device`` is ``auto`` (a GPU where there is one), or a torch device such as ``cpu`` or ``cuda:1``.

    Raises:
        InputError: there is no such device here.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return alone(device)
    import torch
    from accelerate import InitProcessGroupKwargs, PartialState

    # A process waits for the others while one of them fine-tunes, which takes longer than the usual 10 or 30 minutes.
    patience = InitProcessGroupKwargs(timeout=PATIENCE).to_kwargs()
    # Without the word cpu accelerate sees a machine without GPUs as one process, whatever was launched.
    state = PartialState(cpu=device == "cpu" or not torch.cuda.is_available(), **patience)
    name = str(state.device) if device == "auto" else device
    _check(name)
    return Processes(state.process_index, state.num_processes, name)


def alone(device: str = "auto") -> Processes:
    """One process by itself, on a device as :func:`start` takes it; raises as that does."""
    if device == "auto":
        import torch

        device = "cuda" if torch.cuda.is_available() else "cpu"
    _check(device)
    return Processes(device=device)


def _check(device: str) -> None:
    import torch

    try:
        if torch.device(device).type == "meta":
            raise ValueError("it holds no numbers")
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, ValueError, NotImplementedError) as error:
        what = f"cannot be used ({first_line(error)})"
        raise InputError(what, where=f"--device {device}", todo="try auto or cpu") from None


def stop(processes: Processes) -> None:
    """Leave the process group, so that a launcher sees a clean end."""
    if processes.world > 1:
        from accelerate import PartialState

        PartialState().destroy_process_group()
