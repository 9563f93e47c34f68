"""The processes that fit one hypernetwork: each works out its share of a batch's rows, and all see all of the rows."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from hyperofa.base.device import device_named
from hyperofa.init.hypernet.sets import SetBatch


class Team:
    """One process, which does everything itself."""

    rank = 0
    size = 1

    def __init__(self, device: str) -> None:
        """Work on ``device``; ``auto`` is a GPU where there is one."""
        self.device = device_named(device, "hypernetwork")

    def wrap(self, network: nn.Module) -> nn.Module:
        """The network on the device, with gradients averaged over the processes."""
        return network.to(self.device)

    def share(self, batch: SetBatch) -> SetBatch:
        """The tokens of ``batch`` that this process works out."""
        return batch

    def join(self, rows: Tensor, count: int) -> Tensor:
        """All ``count`` rows (B, r) of a batch from the processes' shares; gradients reach this process's own rows."""
        return rows

    def backward(self, loss: Tensor) -> None:
        """Gradients of the batch's loss, the same number on every process."""
        loss.backward()

    def agree(self, number: float) -> float:
        """The first process's number, on all of them."""
        return number


class AcceleratedTeam(Team):
    """The processes that ``accelerate launch`` started, one device each.

    A batch is dealt out token by token. The loss needs all rows (every token is every other's negative), so each process
    gathers them and works the whole loss out, through its own rows alone: the sum of the processes' gradients is that of
    one process with the whole batch.
    """

    def __init__(self, device: str) -> None:
        """Join the processes.

        Raises:
            RuntimeError: the process group could not be made.
        """
        from accelerate import Accelerator, DistributedDataParallelKwargs

        # The only buffers are tables that never change.
        plain = DistributedDataParallelKwargs(broadcast_buffers=False)
        self._accelerator = Accelerator(cpu=device == "cpu", kwargs_handlers=[plain])
        self.rank, self.size = self._accelerator.process_index, self._accelerator.num_processes
        self.device = self._accelerator.device

    def wrap(self, network: nn.Module) -> nn.Module:
        """See :class:`Team`."""
        wrapped: nn.Module = self._accelerator.prepare(network.to(self.device))
        return wrapped

    def share(self, batch: SetBatch) -> SetBatch:
        """Every ``size``-th token; the shares are equally long, the first tokens filling up the last round."""
        return batch.dealt(self.rank, self.size)

    def join(self, rows: Tensor, count: int) -> Tensor:
        """See :class:`Team`."""
        gathered: Any = self._accelerator.gather(rows.detach())
        parts = list(gathered.view(self.size, *rows.shape))
        parts[self.rank] = rows
        return torch.stack(parts, dim=1).flatten(0, 1)[:count]

    def backward(self, loss: Tensor) -> None:
        """See :class:`Team`: the processes' gradients are averaged, and their sum is wanted."""
        (loss * self.size).backward()

    def agree(self, number: float) -> float:
        """See :class:`Team`."""
        from accelerate.utils import broadcast

        agreed: Tensor = broadcast(torch.tensor(number, dtype=torch.float64, device=self.device))
        return float(agreed)

    def leave(self) -> None:
        """Leave the process group, so that the launcher sees a clean end."""
        self._accelerator.end_training()
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
