"""Asking a run to stop: SIGTERM, SIGINT or SIGUSR1 raise a flag that the loop reads between two steps."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
"""SIGUSR1 is what schedulers are told to send some minutes before a time limit (``sbatch --signal=USR1@300``)."""


class Interrupted(KeyboardInterrupt):
    """Raised by a stop signal inside :meth:`StopRequest.interrupts`; no ``except Exception`` swallows it."""


class StopRequest:
    """Remembers the first stop signal of this process; the loop agrees on it over all ranks before it acts.

    A handler must not save by itself: it may run in the middle of a collective. A second signal changes nothing, since
    launchers tend to repeat themselves; SIGKILL remains for those who cannot wait.
    """

    def __init__(self) -> None:
        """No signal yet, no handler installed."""
        self.signal: signal.Signals | None = None
        self._interrupts = False

    def install(self) -> None:
        """Take over the stop signals of this process (main thread only)."""
        for number in STOP_SIGNALS:
            signal.signal(number, self._remember)

    @property
    def requested(self) -> bool:
        """Whether this process was asked to stop."""
        return self.signal is not None

    @contextmanager
    def interrupts(self) -> Iterator[None]:
        """Let a stop signal end this block by :class:`Interrupted`: long work of one rank alone, that can be done again."""
        self._interrupts = True
        try:
            if self.requested:
                raise Interrupted
            yield
        finally:
            self._interrupts = False

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if self.signal is None:
            self.signal = signal.Signals(number)
        if self._interrupts:
            self._interrupts = False
            raise Interrupted
