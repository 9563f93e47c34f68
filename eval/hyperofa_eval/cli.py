"""The ``hyperofa-eval`` command: a table of subcommands, each loaded only when it is called."""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from typing import NoReturn

from hyperofa_eval import __version__
from hyperofa_eval.errors import EXIT_DATA_MISSING, EXIT_FAILED, EXIT_OK, EXIT_USAGE, EvalError, unknown

COMMANDS = {
    "list": ("hyperofa_eval.list_command", "the tasks, protocols and languages this harness knows"),
    "run": ("hyperofa_eval.run_command", "score a model on tasks, one JSON per task, language and seed"),
    "compare": ("hyperofa_eval.compare_command", "paired comparison of runs: Markdown, CSV, HTML"),
    "data": ("hyperofa_eval.data_command", "check a data folder, or fetch a named hub data set into one"),
}

SECONDS_FOR_RANK_0 = 3.0


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line and exit code 2."""

    def error(self, message: str) -> NoReturn:
        """Print one line that names the command and where its help is."""
        _tell(f"{self.prog}: error: {message}; see {self.prog} --help")
        raise SystemExit(EXIT_USAGE)


def _tell(line: str) -> None:
    """Write a line to stderr; what all launched processes find wrong, the first says, and the launcher ends the others."""
    if int(os.environ.get("RANK", "0")):
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        time.sleep(SECONDS_FOR_RANK_0)
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``hyperofa-eval``; returns the exit code (0 done, 1 failed, 2 wrong usage or input, 3 data missing)."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in {"-h", "--help"}:
        sys.stdout.write(help_text())
        return EXIT_OK if words else EXIT_USAGE
    if words[0] == "--version":
        sys.stdout.write(f"hyperofa-eval {__version__}\n")
        return EXIT_OK
    name, rest = words[0], words[1:]
    try:
        if name not in COMMANDS:
            raise unknown("command", name, COMMANDS)
        module = importlib.import_module(COMMANDS[name][0])
        parser = Parser(prog=f"hyperofa-eval {name}", description=COMMANDS[name][1])
        module.add_arguments(parser)
        code = module.run(parser.parse_args(rest))
    except EvalError as error:
        if os.environ.get("HYPEROFA_TRACEBACK"):
            traceback.print_exc()
        _tell(f"hyperofa-eval: error: {error}")
        return error.exit_code
    except BrokenPipeError:
        sys.stderr.close()
        return EXIT_FAILED
    except OSError as error:
        if os.environ.get("HYPEROFA_TRACEBACK"):
            traceback.print_exc()
        _tell(f"hyperofa-eval: error: {_os_error(error)}")
        return EXIT_DATA_MISSING if isinstance(error, FileNotFoundError) else EXIT_FAILED
    except KeyboardInterrupt:
        sys.stderr.write("hyperofa-eval: interrupted; the same command continues\n")
        return 130
    return EXIT_OK if code is None else int(code)


def _os_error(error: OSError) -> str:
    """One line for what the system refused: the file, what it said, what to look at."""
    what = error.strerror or " ".join(str(error).split()) or type(error).__name__
    where = f"{error.filename}: " if error.filename is not None else ""
    return f"{where}{what}; check the path, its permissions and the free space"


def help_text() -> str:
    """The text of ``hyperofa-eval --help``."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name.ljust(width)}  {summary}" for name, (_, summary) in COMMANDS.items()]
    return "\n".join(["usage: hyperofa-eval COMMAND …", "", *lines, "", "hyperofa-eval COMMAND --help says more.", ""])
