"""One process of ``accelerate launch --config_file launch/….yaml -m hyperofa.train CONFIG.yaml [key=value …]``."""

from __future__ import annotations

import atexit
import os
import sys

from hyperofa.cli import LOGGERS
from hyperofa.commands import train as command
from hyperofa.errors import EXIT_OK, EXIT_TERMINATED
from hyperofa_eval.base.console import setup_logging
from hyperofa_eval.base.guard import run_guarded
from hyperofa_eval.settings.commandline import Parser, launched_rank
from hyperofa_eval.settings.commands import Command, fill_parser


def main() -> int:
    """Train; returns the exit code, which ``accelerate launch`` passes on (see :mod:`hyperofa.train.engine.torchrun`)."""
    rank = launched_rank()
    parser = Parser(prog="hyperofa.train", description="continue pre-training, sharded over the launched processes")
    worker = Command(command.ConfigFile, command.run_worker)
    fill_parser(parser, worker)
    namespace = parser.parse_intermixed_args()
    setup_logging(LOGGERS)
    name = "hyperofa train" if rank == 0 else f"hyperofa train, rank {rank}"
    return run_guarded(name, worker.called_with, namespace, rank=rank)


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    if code in {EXIT_OK, EXIT_TERMINATED}:
        atexit._run_exitfuncs()  # what trackers still have to send
    # Ending normally would, after an error, wait for collectives that the other ranks have not joined, and at times abort
    # on one of gloo's threads while torch is unloaded, after all is written.
    os._exit(code)
