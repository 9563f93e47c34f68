"""The first Ctrl-C of a command, and every other."""

from __future__ import annotations

import signal

import pytest

from hyperofa.base.interrupts import first_interrupt, patient_interrupts


@pytest.fixture(autouse=True)
def as_on_a_terminal():
    """A shell starts what runs in its background deaf to Ctrl-C, tests too."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_the_first_is_a_wish_and_the_second_interrupts():
    before = signal.getsignal(signal.SIGINT)
    with patient_interrupts(), first_interrupt() as asked:
        assert not asked()
        signal.raise_signal(signal.SIGINT)
        assert asked()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_work_that_does_not_listen_is_interrupted_at_once():
    with patient_interrupts(), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_outside_of_a_command_nothing_changes():
    with first_interrupt() as asked, pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    assert not asked()


def test_a_command_that_was_started_deaf_to_it_stays_so():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with patient_interrupts(), first_interrupt() as asked:
        signal.raise_signal(signal.SIGINT)
        assert not asked()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
