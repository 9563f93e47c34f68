"""The ``hyperofa-eval`` command: a table of subcommands, each loaded only when it is called."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from hyperofa_eval import __version__
from hyperofa_eval.base.errors import EXIT_OK, EXIT_USAGE, unknown
from hyperofa_eval.base.guard import run_guarded, tell

COMMANDS = {
    "list": ("hyperofa_eval.commands.list", "the tasks, protocols and languages this harness knows"),
    "run": ("hyperofa_eval.commands.run", "score a model on tasks, one JSON per task, language and seed"),
    "compare": ("hyperofa_eval.commands.compare", "paired comparison of runs: Markdown, CSV, HTML"),
    "data": ("hyperofa_eval.commands.data", "check a data folder, or fetch a named hub data set into one"),
}


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line and exit code 2."""

    def error(self, message: str) -> NoReturn:
        """Print one line that names the command and where its help is."""
        tell(f"{self.prog}: error: {message}; see {self.prog} --help", _rank())
        raise SystemExit(EXIT_USAGE)


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``hyperofa-eval``; returns the exit code (0 done, 1 failed, 2 wrong usage or input, 3 data missing)."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in {"-h", "--help"}:
        sys.stdout.write(help_text())
        return EXIT_OK if words else EXIT_USAGE
    if words[0] == "--version":
        sys.stdout.write(f"hyperofa-eval {__version__}\n")
        return EXIT_OK
    return run_guarded(
        "hyperofa-eval", _run, words, rank=_rank(), interrupted="interrupted; the same command continues"
    )


def _run(words: Sequence[str]) -> int | None:
    """Run the command that ``words`` begin with."""
    name, rest = words[0], words[1:]
    if name not in COMMANDS:
        raise unknown("command", name, COMMANDS)
    module = importlib.import_module(COMMANDS[name][0])
    parser = Parser(prog=f"hyperofa-eval {name}", description=COMMANDS[name][1])
    module.add_arguments(parser)
    code: int | None = module.run(parser.parse_args(rest))
    return code


def _rank() -> int:
    """The rank of this process according to the launcher."""
    return int(os.environ.get("RANK", "0"))


def help_text() -> str:
    """The text of ``hyperofa-eval --help``."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name.ljust(width)}  {summary}" for name, (_, summary) in COMMANDS.items()]
    return "\n".join(["usage: hyperofa-eval COMMAND …", "", *lines, "", "hyperofa-eval COMMAND --help says more.", ""])
