"""A command: its settings, what runs with them, and how its words are read."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from hyperofa_eval.settings.arguments import add_arguments, from_arguments, option_of
from hyperofa_eval.settings.fields import SettingError, about


@dataclass(frozen=True)
class Command:
    """A command, or one action of a command.

    Attributes:
        settings: the dataclass that its options come from.
        run: what is called with an instance of it; it returns the exit code, or None for 0.
        help: one line.
        instead: settings that, where given, call something else with the words read so far, and need no other option.
    """

    settings: type[Any]
    run: Callable[[Any], int | None]
    help: str = ""
    instead: Mapping[str, Callable[[argparse.Namespace], None]] = field(default_factory=dict)

    def called_with(self, namespace: argparse.Namespace) -> int | None:
        """Run with the words that argparse read.

        Raises:
            InputError: an option is missing, or a value cannot be; the option is named, also where ``run`` refuses its value.
        """
        for name, function in self.instead.items():
            if getattr(namespace, name, False):
                function(namespace)
                return None
        try:
            return self.run(from_arguments(self.settings, vars(namespace), todo="see --help"))
        except SettingError as error:
            if error.where is not None:  # of a file
                raise
            raise SettingError(option_of(self.settings, error.name), error.what, todo=error.todo) from error


Commands = Command | Mapping[str, Command]
"""One command, or its actions by name."""


def commands_of(module: ModuleType) -> Commands:
    """What a command module offers: one ``COMMAND``, or its ``ACTIONS``."""
    commands: Commands = getattr(module, "COMMAND", None) or module.ACTIONS
    return commands


def fill_parser(parser: argparse.ArgumentParser, commands: Commands) -> None:
    """Add the options of a command, or a parser for each of its actions."""
    if isinstance(commands, Command):
        add_arguments(parser, commands.settings)
        return
    actions = parser.add_subparsers(dest="action", required=True, metavar="|".join(commands))
    for name, command in commands.items():
        add_arguments(actions.add_parser(name, help=command.help, description=command.help), command.settings)


def keywords(options: Any) -> dict[str, Any]:
    """The fields of kind ``setting``: the keywords of the Python function that the command is thin over."""
    fields = dataclasses.fields(options)
    return {field.name: getattr(options, field.name) for field in fields if about(field).kind == "setting"}
