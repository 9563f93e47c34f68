"""Lets ``accelerate launch -m hyperofa_eval run …`` and ``python -m hyperofa_eval`` start the command."""

import sys

from hyperofa_eval.cli import main

sys.exit(main())
