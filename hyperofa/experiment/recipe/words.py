"""The words of commands in a recipe: read by the commands' own parsers, with the places they name."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from hyperofa.errors import InputError
from hyperofa.init.settings import InitSettings
from hyperofa_eval.settings.arguments import from_arguments
from hyperofa_eval.settings.commands import add_options, command_of, commands_of

if TYPE_CHECKING:
    from hyperofa.experiment.recipe.schema import Recipe


class Reader(argparse.ArgumentParser):
    """A parser that raises :class:`InputError` where the command line would end the program."""

    def error(self, message: str) -> NoReturn:
        """Raise what is wrong in one line."""
        raise InputError(message, where=self.prog, todo=f"see {self.prog} --help")

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        """Refuse words that only print something, such as ``--help``."""
        raise InputError(message or "words that print and stop have no place in a recipe", where=self.prog)


def read_command(command: Sequence[str]) -> argparse.Namespace | None:
    """The arguments of a command of ours, or None for another's (``accelerate``, ``bash``).

    Raises:
        InputError: the command would refuse its words.
    """
    if command[0] == "hyperofa":
        from hyperofa.cli import COMMANDS
    elif command[0] == "hyperofa-eval":
        from hyperofa_eval.cli import COMMANDS
    else:
        return None
    module = COMMANDS[command[1]][0]
    namespace = _reader(" ".join(command[:2]), module).parse_args(list(command[2:]))
    found = importlib.import_module(module)
    if not hasattr(found, "add_arguments"):
        try:
            from_arguments(command_of(commands_of(found), namespace).settings, vars(namespace))
        except InputError as error:
            named = [*command[:2], getattr(namespace, "action", "")]
            raise InputError(str(error), where=" ".join(filter(None, named))) from None
    return namespace


@cache
def _reader(prog: str, module: str) -> Reader:
    """The parser of a command; made once, since a recipe's stages are many and their commands few."""
    parser = Reader(prog=prog)
    add_options(parser, importlib.import_module(module))
    return parser


def evaluation_words(words: Sequence[str]) -> argparse.Namespace:
    """What further words of ``hyperofa-eval run`` in a recipe mean.

    Raises:
        InputError: it would refuse them.
    """
    least = ["hyperofa-eval", "run", "MODEL", "--tasks", "TASK", "--data", "DIR", "--out", "DIR"]
    found = read_command([*least, *words])
    assert found is not None
    return found


def init_words(recipe: Recipe, name: str) -> InitSettings:
    """What the words of ``hyperofa init`` mean for a method of a recipe."""
    found = read_command(["hyperofa", "init", *recipe.init, *recipe.matrix.methods[name].args])
    assert found is not None
    return init_settings(found)


def init_settings(words: argparse.Namespace) -> InitSettings:
    """What words of ``hyperofa init`` mean; files of text, which may not be there yet, are left out.

    Raises:
        InputError: a setting cannot be.
    """
    from hyperofa.commands.init import refuse_preset

    if getattr(words, "preset", None) is not None:
        refuse_preset(words)
    return from_arguments(InitSettings, {name: value for name, value in vars(words).items() if name != "text"})


def extensions(recipe: Recipe) -> list[Path]:
    """The files that a recipe's evaluations name with ``--with``, once each."""
    all_words = [recipe.evaluate.args, *(more.args for more in recipe.evaluate.further.values())]
    return list(dict.fromkeys(file for words in all_words for file in evaluation_words(words).extensions))


READS = ("--parallel", "--text", "--with")
"""Options whose words are files or folders that decide the result."""


def with_places(words: Sequence[str], places: Mapping[str, Path]) -> tuple[list[str], tuple[Path, ...]]:
    """``words`` with ``${parallel}`` and its like replaced, and the files and folders among them that are read."""
    found: list[str] = []
    read: list[Path] = []
    option = ""
    for word in words:
        text = word
        for name, path in places.items():
            text = text.replace(f"${{{name}}}", str(path))
        found.append(text)
        value = text
        if text.startswith("--"):
            option, equals, value = text.partition("=")
            if not equals:
                continue
        path = Path(value if Path(value).exists() else value.rpartition("=")[2])  # LANG=FILE, KEY=VALUE
        named = option in READS or text != word or (path.exists() and len(path.parts) > 1)
        if named and option != "--cache":  # a cache is written too, and decides nothing
            read.append(path)
    return found, tuple(read)
