"""Processes that start warm: forks of one interpreter that has imported torch, transformers, accelerate and DeepSpeed.

Importing them takes some seven seconds of processor time, in the launcher and in each worker; most tests that start a
process are about what it does afterwards. Everything else is as in a cold start: a process of its own with its own
arguments, environment, folder, standard streams and signals, and workers that are children of ``accelerate launch``.
``HYPEROFA_COLD_STARTS=1`` starts every process cold; without it, the tests that ask for it and all that use ``subprocess``.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

READY = b"the warm interpreter is ready\n"

STARTERS = ("hyperofa.base.processes",)
"""Modules of the package that start its own commands."""

CODE = "code: "


class Signalled:
    """What a process with ``pid`` and ``poll`` has besides, as ``subprocess.Popen`` has it."""

    pid: int
    poll: Any

    def send_signal(self, number: int) -> None:
        """Send a signal to it, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)


class Started(Signalled):
    """A warm process, with what the tests use of ``subprocess.Popen``; its output is text."""

    def __init__(self, connection: socket.socket, pipes: Sequence[int]) -> None:
        self._connection = connection
        self._reads = pipes
        self.returncode: int | None = None
        self.pid = int(self._line(None) or 0)
        self._output: dict[int, bytes] = dict.fromkeys(pipes, b"")

    def poll(self) -> int | None:
        """The exit code, or None while it runs."""
        return self._ended(0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end."""
        code = self._ended(timeout)
        if code is None:
            raise subprocess.TimeoutExpired("warm process", timeout or 0)
        return code

    def communicate(self, timeout: float | None = None) -> tuple[str, str | None]:
        """Read all of its output, and wait for its end."""
        end = None if timeout is None else time.monotonic() + timeout
        with selectors.DefaultSelector() as selector:
            for pipe in self._reads:
                with contextlib.suppress(OSError):
                    os.fstat(pipe)
                    selector.register(pipe, selectors.EVENT_READ)
            while selector.get_map():
                rest = None if end is None else end - time.monotonic()
                ready = selector.select(rest)
                if not ready:
                    raise subprocess.TimeoutExpired("warm process", timeout or 0)
                for key, _ in ready:
                    data = os.read(key.fd, 1 << 16)
                    self._output[key.fd] += data
                    if not data:
                        selector.unregister(key.fd)
                        os.close(key.fd)
        self.wait(None if end is None else max(end - time.monotonic(), 0.1))
        texts = [self._output[pipe].decode(errors="replace").replace("\r\n", "\n") for pipe in self._reads]
        return texts[0], texts[1] if len(texts) > 1 else None

    def _ended(self, timeout: float | None) -> int | None:
        if self.returncode is None and (line := self._line(timeout)):
            self.returncode = int(line)
            self._connection.close()
        return self.returncode

    def _line(self, timeout: float | None) -> str:
        self._connection.settimeout(timeout)
        try:
            return self._connection.recv(64).decode().strip()
        except (TimeoutError, BlockingIOError):
            return ""


class Interpreter:
    """The interpreter that the warm processes are forks of; it ends with this process."""

    def __init__(self) -> None:
        self.address = f"\0hyperofa-tests-{os.getpid()}"
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "HYPEROFA_WARM_ADDRESS": self.address[1:]}
        environment["PYTHONPATH"] = os.pathsep.join(map(os.path.abspath, filter(None, sys.path)))
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("forks.py"))],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        if READY not in iter(self._process.stdout.readline, b""):  # what libraries print while they load comes before
            raise RuntimeError("the warm interpreter did not start")


def _ask(
    address: str, words: Sequence[str], env: Mapping[str, str], cwd: Path | str | None, files: Mapping[int, int]
) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(address)
    body = json.dumps(
        {"words": list(words), "env": dict(env), "cwd": str(cwd or Path.cwd()), "files": list(files)}
    ).encode()
    socket.send_fds(connection, [len(body).to_bytes(8, "big")], list(files.values()))
    connection.sendall(body)
    return connection


ADDRESS: list[str] = []
"""Where the interpreter listens, once there is one; its forks have it from the start."""
_KEPT: list[Interpreter] = []


def _address() -> str:
    if not ADDRESS:
        _KEPT.append(Interpreter())
        ADDRESS.append(_KEPT[0].address)
    return ADDRESS[0]


class Popen:
    """As ``subprocess.Popen``, of this Python's ``-m MODULE`` or a script beside it; anything else starts cold.

    A warm process reads nothing, leads a session of its own, and its output is text.
    """

    def __new__(cls, words: Sequence[Any], **options: Any) -> Any:
        """Start it; the options are those of ``subprocess.Popen`` that the tests and the package use."""
        words = [str(word) for word in words]
        if os.environ.get("HYPEROFA_COLD_STARTS") or entry_of(words) is None:
            return subprocess.Popen(words, **{"text": True, **options})
        return _start(words, **options)


def _start(
    words: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | str | None = None,
    stdout: Any = None,
    stderr: Any = None,
    pass_fds: Sequence[int] = (),
    stdin: int = subprocess.DEVNULL,
    start_new_session: bool = True,
    text: bool = True,
) -> Started:
    opened: list[int] = []
    reads: list[int] = []

    def end_of(stream: Any, own: int) -> int:
        if stream == subprocess.PIPE:
            read, write = os.pipe()
            reads.append(read)
            opened.append(write)
            return write
        if stream == subprocess.DEVNULL:
            opened.append(os.open(os.devnull, os.O_WRONLY))
            return opened[-1]
        return own if stream is None else stream if isinstance(stream, int) else stream.fileno()

    out = end_of(stdout, 1)
    err = out if stderr == subprocess.STDOUT else end_of(stderr, 2)
    files = {1: out, 2: err, **{number: number for number in pass_fds}}
    started = Started(_ask(_address(), words, os.environ if env is None else env, cwd, files), reads)
    for number in opened:
        os.close(number)
    return started


def run(
    words: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | str | None = None,
    timeout: float | None = None,
    check: bool = False,
) -> subprocess.CompletedProcess[str]:
    """As ``subprocess.run(words, capture_output=True, text=True, …)``."""
    process = Popen(words, env=env, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        out, err = process.communicate(timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    done = subprocess.CompletedProcess(list(words), process.returncode, out, err)
    if check:
        done.check_returncode()
    return done


def shim() -> Any:
    """What ``hyperofa.base.processes`` calls ``subprocess``, where the commands that it runs start warm too."""
    return SimpleNamespace(Popen=Popen, run=_run, DEVNULL=subprocess.DEVNULL, STDOUT=subprocess.STDOUT)


def _run(words: Sequence[str], *, capture_output: bool, text: bool, check: bool, **options: Any) -> Any:
    assert capture_output
    assert text
    return run(words, check=check, **options)


def stages_start_warm(monkeypatch: Any) -> None:
    """Let commands that the package itself starts in this process (stages, ranks of a fit) start warm."""
    for name in STARTERS:
        monkeypatch.setattr(importlib.import_module(name), "subprocess", shim())


def entry_of(words: Sequence[str]) -> tuple[str, list[str]] | None:
    """Which module (or code, after ``-c``) a command line runs, and its ``sys.argv``.

    None for anything that is not this environment's Python.
    """
    program = Path(words[0])
    if program == Path(sys.executable):
        rest = [word for word in words[1:] if word != "-u"]
        if rest[:1] == ["-c"]:
            return f"{CODE}{rest[1]}", ["-c", *rest[2:]]
        return (rest[1], [rest[1], *rest[2:]]) if rest[:1] == ["-m"] else None
    scripts = {"accelerate": "accelerate.commands.accelerate_cli", "hyperofa": "hyperofa.cli"}
    scripts["hyperofa-eval"] = "hyperofa_eval.cli"
    if program.parent == Path(sys.executable).parent and program.name in scripts:
        return scripts[program.name], list(words)
    return None
