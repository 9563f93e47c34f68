"""The first Ctrl-C of a command: work that can end early takes it as a wish to end, all other work ends at once, as ever."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass
class _Patience:
    listening: bool = False
    asked: bool = False


_command: list[_Patience] = []
"""Of the command that this process runs; empty in a user's own program, whose Ctrl-C is not ours."""


@contextmanager
def patient_interrupts() -> Iterator[None]:
    """For a command: inside the block, :func:`first_interrupt` hears the first Ctrl-C; a second one interrupts as ever.

    A command that was started deaf to it, in the background of a shell, stays so.
    """
    ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    if ignored or threading.current_thread() is not threading.main_thread():
        yield
        return
    patience = _Patience()

    def heard(number: int, frame: Any) -> None:
        if not patience.listening or patience.asked:
            raise KeyboardInterrupt
        patience.asked = True

    before = signal.signal(signal.SIGINT, heard)
    _command.append(patience)
    try:
        yield
    finally:
        _command.pop()
        signal.signal(signal.SIGINT, before)


@contextmanager
def first_interrupt() -> Iterator[Callable[[], bool]]:
    """Yield what says whether the command was interrupted while the block lasts; always False outside of a command."""
    patience = _command[-1] if _command else _Patience()
    patience.listening = True
    try:
        yield lambda: patience.asked
    finally:
        patience.listening = False
