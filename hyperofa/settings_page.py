"""Writes ``docs/settings.md``: every setting of every command, from the dataclasses that declare them.

python -m hyperofa.settings_page > docs/settings.md
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator

from hyperofa_eval.settings.commands import Command, commands_of
from hyperofa_eval.settings.tables import markdown

HEAD = """# Settings

All settings of all commands. This page is written by `python -m hyperofa.settings_page`; a test compares the two.

`option` is what the command line takes. `key` is the same setting in a recipe, in a training config, and as a keyword in Python.
"""


def page() -> str:
    """The text of the page."""
    return "\n".join([HEAD, *_commands(), *_training(), *_methods()])


def _commands() -> Iterator[str]:
    for program in ("hyperofa", "hyperofa_eval"):
        table = importlib.import_module(f"{program}.cli").COMMANDS
        for name, (module, summary) in table.items():
            of_module = commands_of(importlib.import_module(module))
            actions = {"": of_module} if isinstance(of_module, Command) else of_module
            for action, command in actions.items():
                title = " ".join(filter(None, (program.replace("_", "-"), name, action)))
                text = command.help or summary
                yield from (f"## {title}", "", f"{text[0].upper()}{text[1:]}.", "")
                yield from (*markdown(command.settings), "")


def _training() -> Iterator[str]:
    from hyperofa.train.config import Adapter, Evaluation, TrainConfig

    yield from ("## A training config", "", "The YAML file of `hyperofa train`, and its `key=value` words.", "")
    yield from (*markdown(TrainConfig, options=False), "")
    yield from ("## adapter in a training config", "", *markdown(Adapter, options=False), "")
    yield from ("## evaluation in a training config", "", *markdown(Evaluation, options=False), "")


def _methods() -> Iterator[str]:
    from hyperofa.init.refine.settings import RefineConfig
    from hyperofa.init.registry import METHODS

    yield from ("## Options of rows that learn", "", *markdown(RefineConfig, options=False), "")

    for name, method in METHODS.items():
        rows = markdown(method.settings, options=False)
        if len(rows) > 2:
            yield from (f"## Options of method {name}", "", *rows, "")


if __name__ == "__main__":
    sys.stdout.write(page())
