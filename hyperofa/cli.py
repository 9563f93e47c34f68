"""The ``hyperofa`` command: a table of subcommands, each loaded only when it is called."""

from __future__ import annotations

import argparse
import errno
import importlib
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn

from hyperofa import __version__
from hyperofa.errors import (
    EXIT_DATA_MISSING,
    EXIT_FAILED,
    EXIT_OK,
    EXIT_TERMINATED,
    EXIT_USAGE,
    HyperofaError,
    unknown_name,
)

COMMANDS = {
    "data": (
        "hyperofa.experiment.data_command",
        "model files and parallel text from pinned wheels; hold out a test set",
    ),
    "vectors": ("hyperofa.vectors.command", "build or import multilingual word vectors"),
    "tokenizer": ("hyperofa.vocab.command", "extend a tokenizer, or train a new one, for new languages"),
    "init": ("hyperofa.init.command", "write the embeddings of a larger vocabulary into a model"),
    "corpus": ("hyperofa.corpus.command", "tokenise and pack text for pre-training"),
    "train": (
        "hyperofa.train.command",
        "continue pre-training, one process (several: accelerate launch -m hyperofa.train)",
    ),
    "plan": ("hyperofa.train.plan_command", "memory, hours and checkpoint size of a run, from its config alone"),
    "checkpoint": ("hyperofa.train.checkpoint_command", "list, verify, reshard or export sharded checkpoints"),
    "experiment": (
        "hyperofa.experiment.experiment_command",
        "a recipe's matrix of models, sources x ranks x methods x seeds, from inputs to the report",
    ),
    "quickstart": ("hyperofa.experiment.quickstart_command", "the whole path on small real data"),
}


_OS_CODES = {
    errno.ENOENT: EXIT_DATA_MISSING,
    **dict.fromkeys(
        (errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL), EXIT_USAGE
    ),
}
"""Exit codes of the operating system's errors: a path that is not there, one that cannot be; others are failures."""
_PLAIN = {errno.ENOSPC, errno.EDQUOT}
"""Errors that say enough without a path."""


class Terminated(KeyboardInterrupt):
    """SIGTERM; no ``except Exception`` swallows it."""


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line and exit code 2."""

    def error(self, message: str) -> NoReturn:
        """Print one line that names the command and where its help is."""
        sys.stderr.write(f"{self.prog}: error: {message}; see {self.prog} --help\n")
        raise SystemExit(EXIT_USAGE)


def run_guarded(prog: str, run: object, *arguments: object) -> int:
    """Call ``run(*arguments)`` and turn the errors a user can meet into one line and an exit code.

    With ``HYPEROFA_TRACEBACK=1`` the traceback is printed too.
    """
    try:
        code = run(*arguments)  # type: ignore[operator]
    except HyperofaError as error:
        if os.environ.get("HYPEROFA_TRACEBACK"):
            traceback.print_exc()
        sys.stderr.write(f"{prog}: error: {error}\n")
        return error.exit_code
    except Terminated:
        sys.stderr.write(f"{prog}: terminated\n")
        return EXIT_TERMINATED
    except KeyboardInterrupt:
        sys.stderr.write(f"{prog}: interrupted\n")
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return EXIT_FAILED
    except OSError as error:  # a full disk, no permission, a file in a folder's place: nothing half-written is left
        if os.environ.get("HYPEROFA_TRACEBACK"):
            traceback.print_exc()
        sys.stderr.write(f"{prog}: error: {_told(error)}\n")
        return _OS_CODES.get(error.errno or 0, EXIT_FAILED)
    return EXIT_OK if code is None else int(code)


def _told(error: OSError) -> str:
    """An error of the operating system in one line: what, where and, where that is not enough, how to see more."""
    if error.errno is None:  # a library's own, such as one of a connection
        return f"{' '.join(str(error).split()) or type(error).__name__}; HYPEROFA_TRACEBACK=1 shows where"
    line = f"{error.filename or 'reading or writing'}: {os.strerror(error.errno)}"
    return line if error.filename or error.errno in _PLAIN else f"{line}; HYPEROFA_TRACEBACK=1 shows where"


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``hyperofa``; returns the exit code (0 done, 1 failed, 2 wrong usage, 3 data missing, 143 terminated)."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in {"-h", "--help"}:
        sys.stdout.write(help_text())
        return EXIT_OK if words else EXIT_USAGE
    if words[0] == "--version":
        sys.stdout.write(f"hyperofa {__version__}\n")
        return EXIT_OK
    name, rest = words[0], words[1:]
    if name not in COMMANDS:
        error = unknown_name("command", name, COMMANDS)
        sys.stderr.write(f"hyperofa: error: {error}\n")
        return EXIT_USAGE
    module = importlib.import_module(COMMANDS[name][0])
    parser = Parser(prog=f"hyperofa {name}", description=COMMANDS[name][1])
    module.add_arguments(parser)
    from hyperofa.console import setup_logging

    setup_logging()
    arguments = parser.parse_args(rest)
    with _sigterm_raises():
        return run_guarded(f"hyperofa {name}", module.run, arguments)


@contextmanager
def _sigterm_raises() -> Iterator[None]:
    """Let SIGTERM end the block by :class:`Terminated`, so that what is half-written goes; training has ways of its own."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    process = os.getpid()

    def stop(number: int, frame: object) -> None:
        signal.signal(number, signal.SIG_DFL)
        if os.getpid() != process:  # a forked worker has nothing to tidy up
            os.kill(os.getpid(), number)
        raise Terminated

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)


def help_text() -> str:
    """The text of ``hyperofa --help``."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name.ljust(width)}  {summary}" for name, (_, summary) in COMMANDS.items()]
    more = "hyperofa COMMAND --help says more; hyperofa-eval is the separate evaluation harness."
    return "\n".join(["usage: hyperofa COMMAND …", "", *lines, "", more, ""])


if __name__ == "__main__":
    sys.exit(main())
