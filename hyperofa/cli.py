"""The ``hyperofa`` command: a table of subcommands, each loaded only when it is called."""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn

from hyperofa import __version__
from hyperofa.errors import EXIT_OK, EXIT_TERMINATED, EXIT_USAGE, unknown_name
from hyperofa_eval.base import guard

COMMANDS = {
    "data": (
        "hyperofa.commands.data",
        "model files and parallel text from pinned wheels; hold out a test set",
    ),
    "vectors": ("hyperofa.commands.vectors", "build or import multilingual word vectors"),
    "tokenizer": ("hyperofa.commands.tokenizer", "extend a tokenizer, or train a new one, for new languages"),
    "init": ("hyperofa.commands.init", "write the embeddings of a larger vocabulary into a model"),
    "corpus": ("hyperofa.commands.corpus", "tokenise and pack text for pre-training"),
    "train": (
        "hyperofa.commands.train",
        "continue pre-training, one process (several: accelerate launch -m hyperofa.train)",
    ),
    "plan": ("hyperofa.commands.plan", "memory, hours and checkpoint size of a run, from its config alone"),
    "checkpoint": ("hyperofa.commands.checkpoint", "list, verify, reshard or export sharded checkpoints"),
    "experiment": (
        "hyperofa.commands.experiment",
        "a recipe's matrix of models, sources x ranks x methods x seeds, from inputs to the report",
    ),
    "quickstart": ("hyperofa.commands.quickstart", "the whole path on small real data"),
}


class Terminated(KeyboardInterrupt):
    """SIGTERM; no ``except Exception`` swallows it."""


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line and exit code 2."""

    def error(self, message: str) -> NoReturn:
        """Print one line that names the command and where its help is."""
        sys.stderr.write(f"{self.prog}: error: {message}; see {self.prog} --help\n")
        raise SystemExit(EXIT_USAGE)


def run_guarded(prog: str, run: Callable[..., object], *arguments: object, rank: int = 0) -> int:
    """Call ``run(*arguments)`` and turn the errors a user can meet into one line and an exit code (the harness's guard)."""
    try:
        return guard.run_guarded(prog, run, *arguments, rank=rank)
    except Terminated:
        sys.stderr.write(f"{prog}: terminated\n")
        return EXIT_TERMINATED


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
    if not hasattr(module, "add_arguments"):
        from hyperofa.base.console import setup_logging
        from hyperofa_eval.settings.commands import run_words

        setup_logging()
        with _sigterm_raises():
            return run_guarded(f"hyperofa {name}", run_words, COMMANDS[name][0], parser, rest)
    module.add_arguments(parser)
    from hyperofa.base.console import setup_logging

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
