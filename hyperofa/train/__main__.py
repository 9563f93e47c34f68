"""One process of ``accelerate launch --config_file launch/….yaml -m hyperofa.train CONFIG.yaml [key=value …]``."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import time

from hyperofa.cli import Parser, run_guarded
from hyperofa.console import setup_logging
from hyperofa.errors import EXIT_OK, EXIT_TERMINATED, HyperofaError
from hyperofa.train import command
from hyperofa.train.dsconfig import rank_of_launch

SECONDS_FOR_RANK_0 = 3.0
"""What all ranks find wrong, rank 0 says; the launcher ends the others while they wait for it to do so."""


def main() -> int:
    """Train; returns the exit code, which ``accelerate launch`` passes on (see :mod:`hyperofa.train.torchrun`)."""
    rank = rank_of_launch()
    parser = Parser(prog="hyperofa.train", description="continue pre-training, sharded over the launched processes")
    command.add_arguments(parser)
    args = parser.parse_args()
    setup_logging()

    def run() -> int:
        try:
            return command.run_worker(args)
        except HyperofaError:
            if rank != 0:
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                time.sleep(SECONDS_FOR_RANK_0)
            raise

    return run_guarded("hyperofa train" if rank == 0 else f"hyperofa train, rank {rank}", run)


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    if code in {EXIT_OK, EXIT_TERMINATED}:
        atexit._run_exitfuncs()  # what trackers still have to send
    # Ending normally would, after an error, wait for collectives that the other ranks have not joined, and at times abort
    # on one of gloo's threads while torch is unloaded, after all is written.
    os._exit(code)
