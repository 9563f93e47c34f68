"""One launch at a time in a run directory: a lock that a killed process or a dead host cannot leave behind.

``RUN/.lock`` is locked by the operating system (``flock``, which ends with the process). On some network file systems such
a lock is not known or does not reach other hosts, so the holder also writes its host, process id and a number that it
counts up into the file: whoever finds the note of another host watches whether the number moves. So does whoever finds the
file locked from another host, since a server may keep the lock of a dead one. No clocks of two hosts are compared.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import logging
import os
import socket
import threading
import time
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal

from hyperofa.errors import InputError

log = logging.getLogger(__name__)

LOCK_FILE = ".lock"
INTERVAL = 2.0
"""Seconds between two counts of the holder."""
SILENCE = 20.0
"""Seconds without a count after which a holder on another host is taken for dead."""
_UNKNOWN = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL})


@dataclass(frozen=True)
class Note:
    """Who holds the lock, and how far it has counted."""

    host: str
    pid: int
    nonce: str
    beat: int = 0


class RunLock:
    """A context in which this process alone works in a run directory.

    Raises:
        InputError: on entering, another process does; the line names it.
    """

    def __init__(self, run: Path) -> None:
        """Nothing is touched before the context is entered; ``run`` must be there then."""
        self.run, self.path = run, run / LOCK_FILE
        self._note = Note(socket.gethostname(), os.getpid(), uuid.uuid4().hex)
        self._descriptor = -1
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._count, name="run lock", daemon=True)
        os.register_at_fork(after_in_child=self._close)  # a data-loader worker that outlives us must not hold it on

    def __enter__(self) -> RunLock:
        """Take the lock or raise."""
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            state, note = self._lock(), read_note(self.path)
            same_host = note is not None and note.host == self._note.host
            if state == "theirs" and (note is None or same_host):
                raise self._held_by(note)
            if note is not None and not (state == "ours" and same_host) and _is_alive(self.path, note):
                raise self._held_by(note)
            self._write(self._note)
            if state != "ours":  # two may have come to this at once: the last to write has it
                time.sleep(INTERVAL)
                last = read_note(self.path)
                if last is not None and last.nonce != self._note.nonce:
                    raise self._held_by(last)
        except BaseException:
            self._close()
            raise
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Empty the note and let go. The file stays: who had it open already must not lock a file that is gone."""
        self._ended.set()
        self._thread.join()
        with contextlib.suppress(OSError):
            os.ftruncate(self._descriptor, 0)
        self._close()

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _lock(self) -> Literal["ours", "theirs", "unknown"]:
        """Ask the operating system for the lock; it is unknown on some file systems."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return "theirs"
        except OSError as error:
            if error.errno in _UNKNOWN:
                return "unknown"
            raise
        return "ours"

    def _held_by(self, note: Note | None) -> InputError:
        holder = "another process" if note is None else f"process {note.pid} on {note.host}"
        what = f"{holder} is working in this run directory"
        return InputError(what, where=self.run, todo="wait for it or end it, or name another run directory")

    def _write(self, note: Note) -> None:
        text = json.dumps(asdict(note)).encode()
        os.pwrite(self._descriptor, text, 0)  # in place: a new file would not be the locked one
        os.ftruncate(self._descriptor, len(text))
        os.fsync(self._descriptor)

    def _count(self) -> None:
        beat = 0
        while not self._ended.wait(INTERVAL):
            beat += 1
            try:
                self._lock()  # changes nothing if we have it; takes it when a server lets go of a dead host's
                self._write(Note(self._note.host, self._note.pid, self._note.nonce, beat))
            except OSError as error:  # a full disk; the operating system's lock holds on
                log.debug("%s: %s", self.path, error)


def read_note(path: Path) -> Note | None:
    """What the lock file says; None if it is empty or caught half-written.

    It is opened anew, since network file systems ask the server for a fresh copy only then.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return Note(str(values["host"]), int(values["pid"]), str(values["nonce"]), int(values["beat"]))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _is_alive(path: Path, note: Note) -> bool:
    """Watch for :data:`SILENCE` seconds whether the holder counts on."""
    log.warning("%s names process %d on %s: waiting whether it is alive", path, note.pid, note.host)
    end = time.monotonic() + SILENCE
    while time.monotonic() < end:
        time.sleep(INTERVAL / 4)
        now = read_note(path)
        if now is not None and now != note:
            return True
    return False
