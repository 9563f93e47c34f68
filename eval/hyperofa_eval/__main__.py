"""Lets ``accelerate launch -m hyperofa_eval run …`` and ``python -m hyperofa_eval`` start the command."""

import os
import sys

from hyperofa_eval.cli import main

code = main()
if "RANK" in os.environ:
    # The process group is left by now. Unloading torch would at times still abort on one of gloo's threads, and a process
    # that failed would wait here for collectives that the others have not joined.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
sys.exit(code)
