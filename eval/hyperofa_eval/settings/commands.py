"""A command: its settings, what runs with them, and how its words are read."""

from __future__ import annotations

import argparse
import dataclasses
import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from hyperofa_eval.settings.arguments import add_arguments, from_arguments
from hyperofa_eval.settings.fields import about


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
            InputError: an option is missing, or a value cannot be.
        """
        for name, function in self.instead.items():
            if getattr(namespace, name, False):
                function(namespace)
                return None
        return self.run(from_arguments(self.settings, vars(namespace)))


def commands_of(module: ModuleType) -> Command | Mapping[str, Command]:
    """What a command module offers: one ``COMMAND``, or its ``ACTIONS`` by name."""
    found: Command | Mapping[str, Command] = getattr(module, "COMMAND", None) or module.ACTIONS
    return found


def fill_parser(parser: argparse.ArgumentParser, commands: Command | Mapping[str, Command]) -> None:
    """Add the options of a command, or a parser for each of its actions."""
    if isinstance(commands, Command):
        add_arguments(parser, commands.settings)
        return
    actions = parser.add_subparsers(dest="action", required=True, metavar="|".join(commands))
    for name, command in commands.items():
        add_arguments(actions.add_parser(name, help=command.help, description=command.help), command.settings)


def command_of(commands: Command | Mapping[str, Command], namespace: argparse.Namespace) -> Command:
    """The command that the words name, where a module offers several."""
    return commands if isinstance(commands, Command) else commands[namespace.action]


def run_words(module: str, parser: argparse.ArgumentParser, words: Sequence[str]) -> int | None:
    """Read ``words`` by the command of ``module`` and run it."""
    commands = commands_of(importlib.import_module(module))
    fill_parser(parser, commands)
    namespace = parser.parse_args(words)
    return command_of(commands, namespace).called_with(namespace)


def keywords(options: Any) -> dict[str, Any]:
    """The fields of kind ``setting``: the keywords of the Python function that the command is thin over."""
    fields = dataclasses.fields(options)
    return {field.name: getattr(options, field.name) for field in fields if about(field).kind == "setting"}
