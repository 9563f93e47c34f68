"""The ``hyperofa-eval`` command: the table of its subcommands."""

import logging

from hyperofa_eval import __version__
from hyperofa_eval.settings.commandline import CommandLine

COMMANDS = {
    "list": ("hyperofa_eval.commands.list", "the tasks, protocols and languages this harness knows"),
    "run": ("hyperofa_eval.commands.run", "score a model on tasks, one JSON per task, language and seed"),
    "compare": ("hyperofa_eval.commands.compare", "paired comparison of runs: Markdown, CSV, HTML"),
    "data": ("hyperofa_eval.commands.data", "check a data folder, fetch a hub data set, make a task of text"),
}
main = CommandLine(
    "hyperofa-eval",
    __version__,
    COMMANDS,
    loggers={"hyperofa_eval": logging.INFO},
    footer="hyperofa-eval COMMAND --help says more.",
    interrupted="interrupted; the same command continues",
    names_subcommand=False,
    tidies_up=False,  # processes that wait for each other in a collective could not answer the signal
)
