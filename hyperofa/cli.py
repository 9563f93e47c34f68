"""The ``hyperofa`` command: the table of its subcommands."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence

from hyperofa import __version__
from hyperofa_eval.settings.commandline import CommandLine

COMMANDS = {
    "data": (
        "hyperofa.commands.data",
        "model files and parallel text from pinned wheels; hold out a test set",
    ),
    "vectors": ("hyperofa.commands.vectors", "build or import multilingual word vectors"),
    "tokenizer": ("hyperofa.commands.tokenizer", "extend a tokenizer for new languages, train a new one, or trim one"),
    "init": ("hyperofa.commands.init", "write the embeddings of a larger vocabulary into a model"),
    "corpus": ("hyperofa.commands.corpus", "tokenise and pack text for pre-training"),
    "train": (
        "hyperofa.commands.train",
        "continue pre-training, one process (several: accelerate launch -m hyperofa.train)",
    ),
    "plan": ("hyperofa.commands.plan", "memory, hours and checkpoint size of a run, from its config alone"),
    "steps": (
        "hyperofa.commands.steps",
        "how many steps read as much text, or cost as much, as a run with another tokenizer",
    ),
    "checkpoint": ("hyperofa.commands.checkpoint", "list, verify, reshard or export sharded checkpoints"),
    "experiment": (
        "hyperofa.commands.experiment",
        "a recipe's matrix of models, sources x ranks x methods x seeds, from inputs to the report",
    ),
    "quickstart": ("hyperofa.commands.quickstart", "the whole path on small real data"),
}
LOGGERS = {"hyperofa": logging.INFO, "hyperofa_eval": logging.WARNING}
"""What our processes show, from which level up."""
COMMAND_LINE = CommandLine(
    "hyperofa",
    __version__,
    COMMANDS,
    LOGGERS,
    footer="hyperofa COMMAND --help says more; hyperofa-eval is the separate evaluation harness.",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``hyperofa``; returns the exit code (0 done, 1 failed, 2 wrong usage, 3 data missing, 143 terminated)."""
    return COMMAND_LINE(argv)


if __name__ == "__main__":
    sys.exit(main())
