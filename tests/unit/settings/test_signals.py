"""A signal ends a command wherever it comes."""

from __future__ import annotations

import os
import signal
import time

import pytest

from hyperofa_eval.base.guard import Terminated
from hyperofa_eval.settings.commandline import sigterm_raises


class Signalled:
    """Gets a signal while it is destroyed, where Python drops what the handler raises."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __del__(self) -> None:
        os.kill(os.getpid(), self.number)
        time.sleep(0.01)


@pytest.mark.parametrize(("number", "raised"), [(signal.SIGTERM, Terminated), (signal.SIGINT, KeyboardInterrupt)])
def test_a_signal_in_a_destructor_is_not_lost(
    number: int, raised: type[BaseException], request: pytest.FixtureRequest
) -> None:
    interrupt = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, interrupt))
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt) as caught, sigterm_raises():  # noqa: PT012
        victim = Signalled(number)
        del victim
        time.sleep(30)
    assert caught.type is raised
    assert signal.getsignal(signal.SIGTERM) == before
