"""Which rank went silent: every rank counts up a number in the launcher's store, and a stuck one's stops changing."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch.distributed import Store

INTERVAL = 0.5
"""Seconds between two counts."""
SILENCE = 4.0
"""Seconds without a count after which a rank is called silent. No clocks of two machines are compared."""


class Heartbeat:
    """A thread that counts in the store, from the start, while this process lives and is not stopped."""

    def __init__(self, store: Store, rank: int, world_size: int) -> None:
        """Announce this rank and begin to count."""
        self._store, self._rank, self._world_size = store, rank, world_size
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        store.set(f"hyperofa/where/{rank}", f"{socket.gethostname()} (pid {os.getpid()})")
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        self._thread.join()

    def silent_ranks(self, unless: Callable[[], bool] = lambda: False) -> list[str]:
        """The ranks that do not count, with host and process id; takes :data:`SILENCE` seconds.

        ``unless`` is asked again and again; as soon as it is true, the answer is that nobody is silent.
        """
        before = [self._count(rank) for rank in range(self._world_size)]
        end = time.monotonic() + SILENCE
        while time.monotonic() < end:
            if unless():
                return []
            time.sleep(min(0.1, SILENCE / 10))
        silent = [rank for rank in range(self._world_size) if self._count(rank) == before[rank]]
        return [] if unless() else [f"rank {rank} on {self._read(f'hyperofa/where/{rank}')}" for rank in silent]

    def _beat(self) -> None:
        number = 0
        while not self._stop.wait(INTERVAL):
            number += 1
            try:
                self._store.set(f"hyperofa/alive/{self._rank}", str(number))
            except RuntimeError:  # the launcher is gone, and with it whoever would ask
                return

    def _count(self, rank: int) -> str:
        return self._read(f"hyperofa/alive/{rank}")

    def _read(self, key: str) -> str:
        return self._store.get(key).decode() if self._store.check([key]) else "?"
