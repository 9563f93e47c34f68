"""Locks held by real processes, live, killed, stopped, and (by a note that says so) on another host."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import threading

import pytest

from hyperofa.errors import InputError
from hyperofa.train.checkpoint import lock
from hyperofa.train.checkpoint.lock import LOCK_FILE, Note, RunLock, read_note

HOLD = """
import os, sys, time
from pathlib import Path
from hyperofa.train.checkpoint.lock import RunLock
with RunLock(Path(sys.argv[1])):
    if len(sys.argv) < 3 or os.fork() == 0:
        print(os.getpid(), flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(lock, "INTERVAL", 0.05)
    monkeypatch.setattr(lock, "SILENCE", 0.6)


@pytest.fixture
def hold(tmp_path):
    """Start a process that holds the lock; with ``fork``, one that has a child as a data loader does."""
    started = []

    def start(*words: str) -> tuple[subprocess.Popen[str], int]:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(tmp_path), *words], stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        assert process.stdout is not None
        return process, int(process.stdout.readline())

    yield start
    for process in started:
        process.kill()
        process.communicate()


def other_host(run, beat: int = 0) -> Note:
    note = Note("another-host", 77, "theirs", beat)
    (run / LOCK_FILE).write_text(json.dumps(note.__dict__))
    return note


def test_the_second_is_refused_in_one_line_and_a_killed_one_does_not_block(tmp_path, hold):
    process, _ = hold()
    with pytest.raises(InputError) as caught, RunLock(tmp_path):
        pass
    assert f"process {process.pid} on {socket.gethostname()} is working in this run directory" in str(caught.value)
    assert caught.value.exit_code == 2
    process.send_signal(signal.SIGSTOP)  # a stopped one has it still
    with pytest.raises(InputError), RunLock(tmp_path):
        pass
    process.kill()
    process.wait()
    with RunLock(tmp_path):
        assert read_note(tmp_path / LOCK_FILE).pid == os.getpid()


def test_a_child_that_outlives_the_holder_does_not_keep_the_lock(tmp_path, hold):
    process, child = hold("fork")
    process.kill()
    process.wait()
    try:
        os.kill(child, 0)
        with RunLock(tmp_path):
            pass
    finally:
        os.kill(child, signal.SIGKILL)


def test_the_holder_counts_and_leaves_an_empty_note(tmp_path):
    with RunLock(tmp_path):
        first = read_note(tmp_path / LOCK_FILE)
        end = threading.Event()
        while read_note(tmp_path / LOCK_FILE).beat <= first.beat:
            assert not end.wait(0.02)
    assert read_note(tmp_path / LOCK_FILE) is None
    assert (tmp_path / LOCK_FILE).stat().st_size == 0
    with RunLock(tmp_path):
        pass


def test_a_dead_host_does_not_block(tmp_path):
    other_host(tmp_path)
    with RunLock(tmp_path):
        assert read_note(tmp_path / LOCK_FILE).host == socket.gethostname()


def test_a_living_host_does_where_locks_do_not_reach_it(tmp_path):
    beats = iter(range(1, 1000))
    ended = threading.Event()

    def count() -> None:
        while not ended.wait(0.05):
            other_host(tmp_path, next(beats))

    other_host(tmp_path)
    thread = threading.Thread(target=count)
    thread.start()
    try:
        with pytest.raises(InputError, match="process 77 on another-host is working"), RunLock(tmp_path):
            pass
    finally:
        ended.set()
        thread.join()


def test_a_server_that_keeps_a_dead_hosts_lock_does_not_block(tmp_path):
    """The lock is held by an open file of no living holder, as NFS version 3 keeps it; the note names another host."""
    other_host(tmp_path)
    with (tmp_path / LOCK_FILE).open("r+") as kept:
        fcntl.flock(kept, fcntl.LOCK_EX)
        with RunLock(tmp_path):
            fcntl.flock(kept, fcntl.LOCK_UN)
            refused = False
            while not refused:  # the holder takes the lock as soon as the server lets go of it
                try:
                    fcntl.flock(kept, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    fcntl.flock(kept, fcntl.LOCK_UN)
                except BlockingIOError:
                    refused = True


def test_without_locks_the_last_to_write_has_it(tmp_path, monkeypatch):
    """Two launches on a file system that knows no locks find the file free at the same moment."""
    monkeypatch.setattr(RunLock, "_lock", lambda self: "unknown")
    monkeypatch.setattr(lock, "INTERVAL", 0.2)
    outcomes: list[str] = []
    start = threading.Barrier(2)

    def launch() -> None:
        mine = RunLock(tmp_path)
        start.wait()
        try:
            with mine:
                outcomes.append("works")
                threading.Event().wait(1.0)
        except InputError as error:
            outcomes.append(str(error))

    threads = [threading.Thread(target=launch) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcome == "works" for outcome in outcomes) == [False, True], outcomes
