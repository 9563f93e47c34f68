from __future__ import annotations

import os
import signal

import pytest

from hyperofa.train.signals import STOP_SIGNALS, Interrupted, StopRequest


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


@pytest.fixture
def stop():
    before = {item: signal.getsignal(item) for item in STOP_SIGNALS}
    request = StopRequest()
    request.install()
    yield request
    for item, handler in before.items():
        signal.signal(item, handler)


def work(stop: StopRequest, reached: list[str]) -> None:
    with stop.interrupts():
        reached.append("before")
        os.kill(os.getpid(), signal.SIGTERM)
        reached.append("after")


def test_a_signal_ends_work_that_can_be_done_again(stop):
    reached: list[str] = []
    with pytest.raises(Interrupted):
        work(stop, reached)
    assert reached == ["before"]
    os.kill(os.getpid(), signal.SIGUSR1)  # outside the block nothing is cut short
    assert stop.signal == signal.SIGTERM
    with pytest.raises(Interrupted):  # nor is it begun when the signal came before
        work(stop, reached)
    assert reached == ["before"]
