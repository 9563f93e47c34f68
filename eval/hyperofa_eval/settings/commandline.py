"""A command of subcommands, each loaded only when it is called: its help, its errors, and how SIGTERM ends it."""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import NoReturn

from hyperofa_eval.base.errors import EXIT_OK, EXIT_USAGE, unknown
from hyperofa_eval.base.guard import Terminated, print_error, run_guarded
from hyperofa_eval.settings.commands import Command, commands_of, fill_parser


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line and exit code 2."""

    def error(self, message: str) -> NoReturn:
        """Print one line that names the command and where its help is."""
        print_error(f"{self.prog}: error: {message}; see {self.prog} --help", launched_rank())
        raise SystemExit(EXIT_USAGE)


@dataclass(frozen=True)
class CommandLine:
    """A command and its subcommands; calling it runs one and returns the exit code.

    A subcommand's module imports nothing heavy at its top. It offers one :class:`~hyperofa_eval.settings.commands.Command`, or
    several by name.
    """

    prog: str
    version: str
    subcommands: Mapping[str, tuple[str, str]]
    """By name: the module, and what it does."""
    loggers: Mapping[str, int]
    """What goes to the console, from which level up."""
    footer: str
    """The last line of the help."""
    interrupted: str = "interrupted"
    """What is said after Ctrl-C."""
    names_subcommand: bool = True
    """Whether the line of an error begins with the subcommand too."""
    tidies_up: bool = True
    """Whether SIGTERM is an exception, so that nothing half-written stays behind."""

    def __call__(self, argv: Sequence[str] | None = None) -> int:
        """Run the command line (0 done, 1 failed, 2 wrong usage or input, 3 data missing, 143 terminated)."""
        words = list(sys.argv[1:] if argv is None else argv)
        if not words or words[0] in {"-h", "--help"}:
            sys.stdout.write(self.help_text())
            return EXIT_OK if words else EXIT_USAGE
        if words[0] == "--version":
            sys.stdout.write(f"{self.prog} {self.version}\n")
            return EXIT_OK
        known = self.names_subcommand and words[0] in self.subcommands
        prog = f"{self.prog} {words[0]}" if known else self.prog
        with sigterm_raises() if self.tidies_up else nullcontext():
            return run_guarded(prog, self._run, words, rank=launched_rank(), interrupted=self.interrupted)

    def _run(self, words: Sequence[str]) -> int | None:
        name = words[0]
        if name not in self.subcommands:
            raise unknown("command", name, self.subcommands)
        module, summary = self.subcommands[name]
        commands = commands_of(importlib.import_module(module))
        parser = Parser(prog=f"{self.prog} {name}", description=summary)
        fill_parser(parser, commands)
        # A command's words may stand between options, which argparse does not allow where there are subcommands.
        parse = parser.parse_intermixed_args if isinstance(commands, Command) else parser.parse_args
        namespace = parse(words[1:])
        from hyperofa_eval.base.console import setup_logging  # after the help, which needs no console

        setup_logging(self.loggers)
        command = commands if isinstance(commands, Command) else commands[namespace.action]
        return command.called_with(namespace)

    def help_text(self) -> str:
        """The text of ``--help``."""
        width = max(map(len, self.subcommands))
        lines = [f"  {name.ljust(width)}  {summary}" for name, (_, summary) in self.subcommands.items()]
        return "\n".join([f"usage: {self.prog} COMMAND …", "", *lines, "", self.footer, ""])


def launched_rank() -> int:
    """The rank of this process according to its launcher."""
    return int(os.environ.get("RANK", "0"))


@contextmanager
def sigterm_raises() -> Iterator[None]:
    """Let SIGTERM end the block by :class:`Terminated`, so that what is half-written goes; training has ways of its own.

    Python drops what is raised in a destructor or a callback. A signal that came then, SIGINT too, is sent once more.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    process = os.getpid()

    def stop(number: int, frame: object) -> None:
        signal.signal(number, signal.SIG_DFL)
        if os.getpid() != process:  # a forked worker has nothing to tidy up
            os.kill(os.getpid(), number)
        raise Terminated

    hook = sys.unraisablehook

    def send_again(dropped: sys.UnraisableHookArgs) -> None:
        if not issubclass(dropped.exc_type, KeyboardInterrupt) or os.getpid() != process:
            hook(dropped)
            return
        number = signal.SIGTERM if issubclass(dropped.exc_type, Terminated) else signal.SIGINT
        if number == signal.SIGTERM:
            signal.signal(number, stop)
        again = threading.Timer(0.1, os.kill, (process, number))
        again.daemon = True
        again.start()

    before = signal.signal(signal.SIGTERM, stop)
    sys.unraisablehook = send_again
    try:
        yield
    finally:
        sys.unraisablehook = hook
        signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)
