"""The interpreter whose forks are the warm processes of :mod:`support.warm`; run as a program, it serves them."""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from support import warm

IMPORTS = (
    "torch",
    "transformers",
    "accelerate.commands.accelerate_cli",
    "accelerate.commands.launch",
    "torch.distributed.run",
    "deepspeed",
    "datasets",
    "hyperofa.model",
    "hyperofa.corpus",
    "hyperofa.commands.train",
    "hyperofa.train.loop",
    "hyperofa.cli",
    "hyperofa_eval.cli",
    "hyperofa_eval.commands.run",
    "hyperofa_eval.models.loading",
    "transformers.models.bert.modeling_bert",
    "transformers.models.llama.modeling_llama",
    "torch.optim",
)


class _Worker(warm.Signalled):
    """A fork of the launcher, with what torchrun uses of ``subprocess.Popen``."""

    def __init__(self, words: Sequence[str], env: Mapping[str, str], streams: Sequence[Any]) -> None:
        self.returncode: int | None = None
        self.args = list(words)
        self.pid = os.fork()
        if self.pid == 0:
            for number, stream in zip((1, 2), streams, strict=True):
                if stream is not None:
                    os.dup2(stream.fileno(), number)
            _become(words, env, None, name=f"rank {env.get('RANK', '')}")

    def poll(self) -> int | None:
        return self._wait(os.WNOHANG)

    def wait(self, timeout: float | None = None) -> int:
        end = None if timeout is None else time.monotonic() + timeout
        while (code := self._wait(os.WNOHANG)) is None:
            if end is not None and time.monotonic() > end:
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            time.sleep(0.01)
        return code

    def _wait(self, flags: int) -> int | None:
        if self.returncode is None:
            try:
                pid, status = os.waitpid(self.pid, flags)
            except ChildProcessError:
                self.returncode = 0
            else:
                self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode


def _become(
    words: Sequence[str], env: Mapping[str, str], cwd: str | None, *, name: str = "", keep: Sequence[int] = ()
) -> None:
    """Turn a fork into the process that ``words`` would start, and end with its exit code."""
    code = 1
    try:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP, signal.SIGCHLD):
                signal.signal(number, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
        os.setsid()
        for number in set(range(3, 256)).difference(keep):
            with contextlib.suppress(OSError):
                os.close(number)
        atexit._clear()
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False, buffering=1)  # noqa: SIM115
        sys.excepthook = sys.__excepthook__
        if name:
            Path("/proc/self/comm").write_text(name)
        os.environ.clear()
        os.environ.update(env)
        for starter in warm.STARTERS:
            sys.modules[starter].subprocess = warm.shim()  # type: ignore[attr-defined]
        if cwd is not None:
            os.chdir(cwd)
        found = warm.entry_of(words)
        assert found is not None
        module, sys.argv = found
        sys.path[0] = str(Path.cwd())
        code = _exit_code(module)
    finally:
        with contextlib.suppress(Exception):
            threading._shutdown()  # type: ignore[attr-defined]
            atexit._run_exitfuncs()
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _exit_code(module: str) -> int:
    try:
        if module in {"accelerate.commands.accelerate_cli", "accelerate.commands.launch"}:
            _launch(module)
        elif module.startswith(warm.CODE):
            exec(module.removeprefix(warm.CODE), {"__name__": "__main__"})
        elif module in {"hyperofa.cli", "hyperofa_eval.cli"}:
            return int(sys.modules[module].main() or 0)
        else:
            runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        return _code_of(end)
    except BaseException:  # noqa: BLE001  (as the interpreter does at the end of a program)
        try:
            sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
        except SystemExit as end:
            return _code_of(end)
        return 1
    return 0


def _code_of(end: SystemExit) -> int:
    if end.code is None or isinstance(end.code, int):
        return end.code or 0
    sys.stderr.write(f"{end.code}\n")
    return 1


def _launch(module: str) -> None:
    """``accelerate launch`` whose workers are forks; torchrun has been imported, so its entry point is called here."""
    from torch.distributed.elastic.multiprocessing.subprocess_handler.subprocess_handler import SubprocessHandler

    from hyperofa.train.engine import torchrun

    def fork(handler: Any, words: Sequence[str], env: Mapping[str, str]) -> Any:
        if warm.entry_of(words) is None:
            raise RuntimeError(f"no module to fork: {words}")
        return _Worker(words, env, (handler._stdout, handler._stderr))

    SubprocessHandler._popen = fork
    torchrun.register()
    main = sys.modules[module].main
    main()


def _serve() -> None:
    for name in (*IMPORTS, *warm.STARTERS):
        importlib.import_module(name)
    gc.freeze()
    listener = socket.socket(socket.AF_UNIX)
    warm.ADDRESS.append("\0" + os.environ.pop("HYPEROFA_WARM_ADDRESS"))
    listener.bind(warm.ADDRESS[0])
    listener.listen(64)
    os.write(1, warm.READY)
    running: dict[int, tuple[int, socket.socket]] = {}
    with selectors.DefaultSelector() as selector:
        selector.register(listener, selectors.EVENT_READ)
        selector.register(0, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fd == 0:
                    return
                if key.fileobj is listener:
                    connection, _ = listener.accept()
                    pid = _fork_for(connection)
                    watched = os.pidfd_open(pid)
                    running[watched] = (pid, connection)
                    selector.register(watched, selectors.EVENT_READ)
                else:
                    pid, connection = running.pop(key.fd)
                    selector.unregister(key.fd)
                    os.close(key.fd)
                    _, status = os.waitpid(pid, 0)
                    with contextlib.suppress(OSError):
                        connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
                    connection.close()


def _moved(descriptor: int, above: int) -> int:
    return fcntl.fcntl(descriptor, fcntl.F_DUPFD, above)


def _fork_for(connection: socket.socket) -> int:
    head, given, _, _ = socket.recv_fds(connection, 8, 64)
    size, body = int.from_bytes(head, "big"), b""
    while len(body) < size:
        body += connection.recv(size - len(body))
    request = json.loads(body)
    pid = os.fork()
    if pid == 0:
        above = max(*request["files"], *given) + 1  # out of each other's way first
        for number, descriptor in zip(request["files"], [_moved(one, above) for one in given], strict=True):
            os.dup2(descriptor, number)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        _become(request["words"], request["env"], request["cwd"], keep=request["files"])
    for descriptor in given:
        os.close(descriptor)
    connection.sendall(f"{pid}\n".encode())
    return pid


if __name__ == "__main__":
    _serve()
