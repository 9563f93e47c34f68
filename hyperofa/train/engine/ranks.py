"""One process among the ranks of a run: sums and gathers over all of them, waiting, and naming the one that is gone."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch.distributed import distributed_c10d

from hyperofa.errors import HyperofaError
from hyperofa.train.engine.heartbeat import Heartbeat

T = TypeVar("T")


class Ranks:
    """Collectives of torch's default process group, which has been made already.

    Attributes:
        rank: the number of this process among all ranks.
        world_size: how many ranks there are.
        device: where this rank computes.
    """

    def __init__(self, device: torch.device) -> None:
        """Begin to count in the launcher's store, so that the other ranks see this one alive."""
        self.rank = torch.distributed.get_rank()
        self.world_size = torch.distributed.get_world_size()
        self.device = device
        self._store = distributed_c10d._get_default_store()
        self._heartbeat = Heartbeat(self._store, self.rank, self.world_size)

    @property
    def is_main(self) -> bool:
        """Whether this is rank 0, which alone writes what is written once."""
        return self.rank == 0

    def sum(self, values: Sequence[float]) -> list[float]:
        """Sums over all ranks, in float64."""
        tensor = torch.tensor(values, dtype=torch.float64, device=self.device)
        torch.distributed.all_reduce(tensor)
        sums: list[float] = tensor.tolist()
        return sums

    def any(self, condition: bool) -> bool:
        """Whether the condition holds on any rank."""
        return self.sum([float(condition)])[0] > 0

    def gather(self, value: Any) -> list[Any]:
        """A picklable value of every rank, in the order of ranks."""
        values: list[Any] = [None] * self.world_size
        torch.distributed.all_gather_object(values, value)
        return values

    def main_first(self, work: Callable[[], object]) -> None:
        """Do short work on rank 0 alone, before any rank goes on; an error that a user can meet is raised on every rank.

        Raises:
            HyperofaError: ``work`` did.
            OSError: likewise.
        """
        problem: HyperofaError | OSError | None = None
        if self.is_main:
            try:
                work()
            except (HyperofaError, OSError) as error:
                problem = error
        problem = self.gather(problem)[0]
        if problem is not None:
            raise problem

    def on_main(self, name: str, work: Callable[[], T]) -> T | None:
        """Do long work on rank 0 alone; the others wait outside any collective, so that no timeout cuts it short.

        Raises:
            HyperofaError: rank 0 went silent.
        """
        key = f"hyperofa/done/{name}"
        if self.is_main:
            result = work()
            self._store.set(key, "1")
            return result
        while not self._store.check([key]):
            silent = self._heartbeat.silent_ranks(unless=lambda: self._store.check([key]))
            if any(rank.startswith("rank 0 ") for rank in silent):
                raise HyperofaError(f"{silent[0]} went silent during {name}", todo="start the same command again")
        return None

    def explain(self, error: RuntimeError) -> HyperofaError | None:
        """A line for an error of a collective that names the ranks gone silent; None if all ranks are alive."""
        silent = self._heartbeat.silent_ranks()
        if not silent:
            return None
        what = f"{', '.join(silent)} went silent, so rank {self.rank} gave up ({str(error).splitlines()[0][:160]})"
        return HyperofaError(what, todo="the same command resumes from the last checkpoint")

    def memory(self) -> dict[str, int]:
        """Peak memory of this rank in bytes: resident, and on the GPU where there is one."""
        import resource as usage

        peak = {"peak_rss": usage.getrusage(usage.RUSAGE_SELF).ru_maxrss * 1024}
        if self.device.type == "cuda":
            peak["peak_gpu"] = torch.cuda.max_memory_allocated(self.device)
        return peak

    def barrier(self) -> None:
        """Wait until all ranks are here."""
        self.sum([0.0])

    def leave(self) -> None:
        """Stop counting and leave the process group."""
        self._heartbeat.stop()
        if torch.distributed.is_initialized():  # accelerate may have left already
            torch.distributed.destroy_process_group()


def limit_waiting(timeout: timedelta) -> None:
    """Give every process group a timeout: accelerate's reaches the first, DeepSpeed's have their own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for group in list(distributed_c10d._world.pg_map):
            if not distributed_c10d._rank_not_in_group(group):
                distributed_c10d._set_pg_timeout(timeout, group)
