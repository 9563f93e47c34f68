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
from hyperofa.errors import EXIT_FAILED, EXIT_OK, EXIT_TERMINATED, EXIT_USAGE, HyperofaError, unknown_name

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
    except OSError as error:  # a full disk, no permission: not a bug, and nothing half-written is left
        if error.errno not in {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS}:
            raise
        sys.stderr.write(f"{prog}: error: {error.filename or 'writing'}: {os.strerror(error.errno)}\n")
        return EXIT_FAILED
    return EXIT_OK if code is None else int(code)


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
