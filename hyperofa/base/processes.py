"""Running one command to its end: its log, its time, the memory of its whole process tree, and a way to stop it."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from hyperofa.errors import HyperofaError

POLL_SECONDS = 0.2
GRACE_SECONDS = float(os.environ.get("HYPEROFA_GRACE_SECONDS", "90"))
"""How long a stage may take to save and end after SIGTERM before it is killed."""


@dataclass(frozen=True)
class Finished:
    """How a command ended.

    ``peak_rss`` is in bytes, summed over the processes alive at one time; ``cpu_seconds`` are those of all its processes.
    """

    code: int
    seconds: float
    peak_rss: int
    cpu_seconds: float


def resolve(command: Sequence[str]) -> list[str]:
    """The command with its program as a path: our own and accelerate's stand beside this Python.

    Raises:
        HyperofaError: the program is not installed.
    """
    program = command[0]
    beside = Path(sys.executable).parent / program
    path = str(beside) if beside.is_file() else shutil.which(program)
    if path is None:
        raise HyperofaError("not installed", where=program, todo="install hyperofa with its [train] extra")
    return [path, *command[1:]]


def run_command(
    command: Sequence[str],
    log: Path,
    env: Mapping[str, str],
    tick: Callable[[float], signal.Signals | None],
    keep_open: Sequence[int] = (),
) -> Finished:
    """Run ``command`` in a session of its own, with its output appended to ``log``.

    ``tick(seconds)`` is called a few times a second; a signal that it returns is sent to the command. If the command
    has not ended ``GRACE_SECONDS`` after the first such signal, everything it started is killed. The descriptors in
    ``keep_open`` stay open in the command (a lock held by them outlives this process with it).
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    start, cpu_before = time.monotonic(), _children_cpu()
    with log.open("ab") as handle:
        process = subprocess.Popen(
            resolve(command),
            stdin=subprocess.DEVNULL,
            stdout=handle,
            stderr=subprocess.STDOUT,
            env={**os.environ, **env},
            start_new_session=True,
            pass_fds=tuple(keep_open),
        )
    peak, signalled = 0, None
    try:
        while process.poll() is None:
            time.sleep(POLL_SECONDS)
            elapsed = time.monotonic() - start
            peak = max(peak, tree_rss(process.pid))
            number = tick(elapsed)
            if number is not None and process.poll() is None:
                process.send_signal(number)
                signalled = elapsed if signalled is None else signalled
            if signalled is not None and elapsed - signalled > GRACE_SECONDS:
                kill_session(process.pid)
    finally:
        if process.poll() is None:
            kill_session(process.pid)
            process.wait()
    return Finished(process.returncode, time.monotonic() - start, peak, _children_cpu() - cpu_before)


def _children_cpu() -> float:
    """CPU seconds of all ended and awaited descendants of this process so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _family(pid: int) -> list[psutil.Process]:
    """A process and all its descendants; none where it has ended."""
    try:
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.Error:
        return []


def tree_rss(pid: int) -> int:
    """Resident bytes of a process and all its descendants (pages they share are counted in each)."""
    total = 0
    for member in _family(pid):
        with contextlib.suppress(psutil.Error):
            total += member.memory_info().rss
    return total


def kill_session(pid: int) -> None:
    """Kill the process group that ``pid`` leads, and what of its descendants moved to a group of its own."""
    family = _family(pid)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    for member in family[1:]:
        with contextlib.suppress(psutil.Error):
            member.kill()


def last_error(log: Path) -> str:
    """The last line of a log that names an error, else its last line."""
    try:
        text = log.read_text(encoding="utf-8", errors="replace").splitlines()
        lines = [line.strip() for line in text if line.strip() and not line.startswith(("# ", "$ "))]
    except FileNotFoundError:
        return "no log"
    named = [line for line in lines if " error: " in line or line.startswith(("Error", "ERROR"))]
    line = (named or lines or ["no output"])[-1]
    return line.split(" error: ", 1)[-1]
