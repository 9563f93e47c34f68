from __future__ import annotations

import os
import signal

import pytest

from hyperofa.train.signals import STOP_SIGNALS, StopRequest


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_a_signal_raises_the_flag_and_nothing_else(number):
    before = {item: signal.getsignal(item) for item in STOP_SIGNALS}
    try:
        stop = StopRequest()
        stop.install()
        assert not stop.requested
        os.kill(os.getpid(), number)
        assert stop.requested
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.signal == number
    finally:
        for item, handler in before.items():
            signal.signal(item, handler)
