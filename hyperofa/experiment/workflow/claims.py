"""Claims on stages: one lock file each, so that several orchestrators share the cells of one experiment.

The locks are the kernel's (``flock``): the lock of a process that died is gone with it, wherever it ran, and a stage that
outlived its orchestrator keeps its own until it ends, because it inherits the descriptor.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hyperofa.errors import HyperofaError

_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}


@dataclass(frozen=True)
class Claims:
    """The lock files below ``folder``."""

    folder: Path

    @contextmanager
    def take(self, name: str) -> Iterator[int | None]:
        """Yield the descriptor of a claim that is held until the block ends, or None if another process holds it.

        Raises:
            HyperofaError: the file system has no locks.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.folder / f"{name}.lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            if not lock(descriptor, fcntl.LOCK_EX, self.folder):
                yield None
                return
            holder = {"host": socket.gethostname(), "pid": os.getpid(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(holder).encode(), 0)
            try:
                yield descriptor
            finally:
                os.ftruncate(descriptor, 0)
                fcntl.flock(descriptor, fcntl.LOCK_UN)  # for all who inherited it
        finally:
            os.close(descriptor)

    def taken(self, name: str) -> bool:
        """Whether a process holds the claim right now (it may have ended by the time this is read)."""
        path = self.folder / f"{name}.lock"
        if not path.is_file():
            return False
        descriptor = os.open(path, os.O_RDWR)
        try:
            return not lock(descriptor, fcntl.LOCK_SH, self.folder)
        finally:
            os.close(descriptor)

    def holder(self, name: str) -> str:
        """Who took the claim last and did not give it back, in words."""
        try:
            holder = json.loads((self.folder / f"{name}.lock").read_text(encoding="utf-8"))
            return f"process {holder['pid']} on {holder['host']} since {holder['since']}"
        except (OSError, ValueError, KeyError, TypeError):
            return "another process"


def lock(descriptor: int, kind: int, where: Path) -> bool:
    """Take a lock of ``kind`` (``fcntl.LOCK_EX`` or ``LOCK_SH``) without waiting; False if another process is in the way.

    Raises:
        HyperofaError: the file system has no locks.
    """
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        raise HyperofaError(
            f"the file system has no locks ({os.strerror(error.errno)})", where=where, todo="name an --out on another"
        ) from None
    return True
