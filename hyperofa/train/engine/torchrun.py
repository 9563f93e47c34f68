"""What ``accelerate launch`` itself must do for us: wait for a clean save, and end with the exit code of its workers.

``accelerate launch`` starts the workers through torchrun's agent in its own process. That agent dies by SIGUSR1, kills
its workers 30 seconds after SIGTERM, and turns every end that is not success into a traceback and exit code 1. torchrun
loads the entry points of the group ``torchrun.handlers`` (meant for rendezvous backends) in the launching process, so
this module is one: when the command line runs ``hyperofa.train`` or ``hyperofa_eval``, it corrects those three things, and
otherwise does nothing. It also refuses a number of processes that the machines do not divide, which accelerate would
round down. It imports nothing heavy, since every torchrun on the machine loads it.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import io
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import yaml

COMMANDS = {"hyperofa.train": "hyperofa train", "hyperofa_eval": "hyperofa-eval"}
"""Our modules that ``accelerate launch -m`` may start, with the command that each is."""

SHUTDOWN_SECONDS = "600"
"""How long workers may take to save after SIGTERM; the scheduler's own grace period is the real limit."""

PASSED_ON = frozenset({2, 3, 143})
"""Exit codes of a worker that has already said what there is to say."""
STOPPED_WELL = frozenset({0, 143, *(-number for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1))})
"""How a worker ends that was asked to: done, saved, or gone before it had anything to save."""


def register() -> Callable[[Any], Any]:
    """Entry point of the group ``torchrun.handlers``; the backend it names is torchrun's own static one."""
    if command := launched_command(sys.argv):
        if problem := uneven_topology(sys.argv):
            sys.stderr.write(f"{command}: error: {problem}\n")
            raise SystemExit(2)
        os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", SHUTDOWN_SECONDS)
        signal.signal(signal.SIGUSR1, lambda number, frame: os.kill(os.getpid(), signal.SIGTERM))
        os.environ.setdefault("LOGLEVEL", "CRITICAL")  # of torchrun's loggers, those made from now on
        for name in [name for name in logging.root.manager.loggerDict if name.startswith("torch.distributed")]:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        sys.excepthook = functools.partial(_end_like_the_workers, command)
    return _static_rendezvous


def launched_command(argv: Sequence[str]) -> str | None:
    """Which command of ours this command line starts workers of; None if it starts others, or is such a worker itself."""
    arguments = _launch_arguments(argv)
    return COMMANDS.get(arguments.training_script) if arguments is not None and arguments.module else None


def uneven_topology(argv: Sequence[str]) -> str | None:
    """What is wrong with the launch's numbers, if anything: accelerate drops the processes that do not divide."""
    arguments = _launch_arguments(argv)
    if arguments is None or not hasattr(arguments, "num_processes"):  # torchrun's numbers are per machine
        return None
    values: dict[str, object] = {}
    if file := arguments.config_file or _default_config():
        try:
            values = yaml.safe_load(Path(file).read_text(encoding="utf-8")) or {}
        except (OSError, yaml.YAMLError, UnicodeDecodeError):
            return None  # accelerate says it better
    try:
        numbers = [getattr(arguments, name) or values.get(name, 1) for name in ("num_processes", "num_machines")]
        processes, machines = (int(str(number)) for number in numbers)
    except (AttributeError, TypeError, ValueError):
        return None
    if machines < 1 or processes % machines == 0:
        return None
    return f"{processes} processes do not divide over {machines} machines; change --num_processes or --num_machines"


def _launch_arguments(argv: Sequence[str]) -> argparse.Namespace | None:
    """The command line as the launcher itself reads it; None if it names no module of ours or the launcher refuses it.

    Its own parser knows every spelling of an option. It is there already in the process of a launch that names us.
    """
    if not any(name in word for word in argv[1:] for name in COMMANDS):
        return None
    words = list(argv[1:])
    try:
        if "accelerate" in Path(argv[0]).name or "/accelerate/" in Path(argv[0]).as_posix():
            from accelerate.commands.launch import launch_command_parser

            parser = launch_command_parser()
            words = words[1:] if words[0] == "launch" else words
        else:
            from torch.distributed.run import get_args_parser

            parser = get_args_parser()
        with contextlib.redirect_stderr(io.StringIO()):
            return parser.parse_args(words)
    except (SystemExit, ImportError):
        return None


def _default_config() -> str | None:
    """The file that ``accelerate config`` writes, which a launch without ``--config_file`` follows."""
    from accelerate.commands.config import default_config_file

    return default_config_file if Path(default_config_file).is_file() else None


def exit_code(error: BaseException, workers: Mapping[int, int | None]) -> tuple[int, str | None]:
    """The launcher's exit code for an exception of the agent, and a line that names the rank where one is needed.

    Args:
        error: what the agent raised: a signal to the launcher, or the failures of workers.
        workers: how the workers ended after a signal, by rank.
    """
    if getattr(error, "sigval", None) in {signal.SIGTERM, signal.SIGUSR1, signal.SIGINT}:
        ends = {rank: code for rank, code in workers.items() if code is not None and code not in STOPPED_WELL}
        if not ends:
            return (0 if workers and not any(workers.values()) else 143), None
        passed = sorted(code for code in ends.values() if code in PASSED_ON)
        rank = min(ends)
        return (passed[0], None) if passed else (1, _line(rank, f"asked to stop, {_end(ends[rank])}"))
    failures = getattr(error, "failures", None)
    if not failures:
        return 1, None
    codes = {failure.exitcode for failure in failures.values()}
    for code in sorted(codes & PASSED_ON):
        return code, None
    _, first = min(failures.items(), key=lambda item: item[1].timestamp)
    rank = min(rank for rank, failure in failures.items() if failure is first)
    return 1, _line(rank, f"(pid {first.pid}) {_end(first.exitcode)}")


def workers_of(traceback: TracebackType | None) -> dict[int, int | None]:
    """Exit codes by rank of the workers of torchrun's agent, which is found in the frames that a signal left by."""
    while traceback is not None:
        agent = traceback.tb_frame.f_locals.get("self")
        handlers = getattr(getattr(agent, "_pcontext", None), "subprocess_handlers", None)
        if agent is not None and handlers:
            ranks = [worker.global_rank for worker in agent.get_worker_group().workers]
            return {ranks[local]: handler.proc.poll() for local, handler in handlers.items()}
        traceback = traceback.tb_next
    return {}


def _end(code: int) -> str:
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"exited {code}"


def _line(rank: int, end: str) -> str:
    return f"rank {rank} on {socket.gethostname()} {end}; the same command goes on from what was last saved"


def _end_like_the_workers(
    command: str, kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    if kind.__name__ not in {"SignalException", "ChildFailedError"}:
        sys.__excepthook__(kind, error, traceback)
        return
    code, line = exit_code(error, workers_of(traceback))
    if line is not None:
        sys.stderr.write(f"{command}: error: {line}\n")
    raise SystemExit(code)


def _static_rendezvous(parameters: Any) -> Any:
    from torch.distributed.elastic.rendezvous import static_tcp_rendezvous

    return static_tcp_rendezvous.create_rdzv_handler(parameters)
