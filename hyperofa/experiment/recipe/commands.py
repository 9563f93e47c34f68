"""The commands of an experiment: their settings in a recipe, their words, and what they read."""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import typing
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import yaml

from hyperofa.errors import InputError, unknown_name
from hyperofa_eval.settings.arguments import from_arguments, plain_type, words_of
from hyperofa_eval.settings.commands import Command, commands_of, fill_parser
from hyperofa_eval.settings.config import build_config
from hyperofa_eval.settings.fields import about

if TYPE_CHECKING:
    from hyperofa.experiment.recipe.schema import Recipe

RUN = "hyperofa-eval run"
INIT = "hyperofa init"


class Reader(argparse.ArgumentParser):
    """A parser that raises :class:`InputError` where the command line would end the program."""

    def error(self, message: str) -> NoReturn:
        """Raise what is wrong in one line."""
        raise InputError(message, where=self.prog, todo=f"see {self.prog} --help")

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        """Refuse words that only print something, such as ``--help``."""
        raise InputError(message or "words that print and stop have no place in a recipe", where=self.prog)


@cache
def _command(name: str) -> Command:
    """A command by its words, such as ``hyperofa vectors build``."""
    program, command, *action = name.split()
    cli = importlib.import_module("hyperofa.cli" if program == "hyperofa" else "hyperofa_eval.cli")
    found = commands_of(importlib.import_module(cli.COMMANDS[command][0]))
    return found if isinstance(found, Command) else found[action[0]]


def read_command(words: Sequence[str]) -> Any:
    """The settings that the words of a command give, or None for a program that is not ours (``accelerate``, ``bash``).

    Raises:
        InputError: the command would refuse its words.
    """
    if words[0] not in {"hyperofa", "hyperofa-eval"}:
        return None
    name = " ".join(word for word in words[:3] if not word.startswith("-"))
    cli = importlib.import_module("hyperofa.cli" if words[0] == "hyperofa" else "hyperofa_eval.cli")
    commands = commands_of(importlib.import_module(cli.COMMANDS[words[1]][0]))
    parser = Reader(prog=name if not isinstance(commands, Command) else " ".join(words[:2]))
    fill_parser(parser, commands)
    namespace = parser.parse_args(list(words[2:]))
    command = commands if isinstance(commands, Command) else commands[namespace.action]
    return from_arguments(command.settings, vars(namespace))


def command_words(name: str, values: Mapping[str, Any]) -> list[str]:
    """The words of a command with settings; those that are None are left out."""
    return [*name.split(), *words_of(_command(name).settings, values)]


def check_section(name: str, values: Any, where: str, own: Sequence[str] = ()) -> Any:
    """Check the settings that a recipe gives for a command, and return them with the command's defaults.

    Args:
        name: The command, such as ``hyperofa vectors build``.
        values: What the recipe says.
        where: The place in the recipe, for errors.
        own: Settings that the experiment itself gives.

    Raises:
        InputError: command-line words in place of settings, an unknown setting, one that the experiment gives, or a value
            that cannot be.
    """
    if isinstance(values, list):
        todo = f"write {_as_settings(name, values)}"
        raise InputError("command-line words; recipes hold settings now", where=where, todo=todo)
    if not isinstance(values, Mapping):
        raise InputError(f"{values!r} is no mapping of settings to values", where=where)
    cls = _command(name).settings
    fields = {field.name: field for field in dataclasses.fields(cls)}
    allowed = [key for key, field in fields.items() if _in_recipe(field) and key not in own]
    for key in values:
        if key in fields and key not in allowed:
            raise InputError(f"{key} is what the experiment itself sets", where=where, todo="leave it out")
        if key not in fields:
            raise unknown_name("setting", key, allowed, where=where)
    return build_config(cls, {**_placeholders(cls), **values}, where)


def evaluation(values: Mapping[str, Any]) -> Any:
    """The settings of ``hyperofa-eval run`` that a recipe gives, with its defaults."""
    cls = _command(RUN).settings
    return build_config(cls, {**_placeholders(cls), **values}, "evaluate")


def initialisation(recipe: Recipe, name: str) -> Any:
    """The settings of ``hyperofa init`` for a method of a recipe, with its defaults."""
    cls = _command(INIT).settings
    return build_config(cls, {**_placeholders(cls), **init_values(recipe, name)}, f"matrix.methods.{name}")


def init_values(recipe: Recipe, name: str) -> dict[str, Any]:
    """What a recipe says of ``hyperofa init`` for a method: ``init`` for all, over it the method's own settings."""
    own = recipe.matrix.methods[name].settings
    both: dict[str, Any] = {
        key: {**recipe.init.get(key, {}), **own[key]} for key in ("options", "refine_options") if key in own
    }
    return {"method": name, **recipe.init, **own, **both}


def extensions(recipe: Recipe) -> list[Path]:
    """The files that a recipe's evaluations name as ``extensions``, once each."""
    parts = [recipe.evaluate.settings, *(more.settings for more in recipe.evaluate.further.values())]
    return list(dict.fromkeys(Path(file) for values in parts for file in evaluation(values).extensions))


def with_places(
    name: str, values: Mapping[str, Any], places: Mapping[str, Path]
) -> tuple[dict[str, Any], tuple[Path, ...]]:
    """``values`` with ``${parallel}`` and its like replaced, and the files and folders among them that are read."""
    found = {key: _replaced(value, places) for key, value in values.items()}
    kinds = {field.name: about(field) for field in dataclasses.fields(_command(name).settings)}
    read = []
    for key, value in found.items():
        texts = [text for text in _texts(value) if isinstance(text, str)]
        if key in kinds and kinds[key].kind == "place":
            read += (
                [] if key == "cache" else [Path(text) for text in texts]
            )  # a cache is written too, and decides nothing
        else:  # a method's own settings may name files too
            read += [Path(text) for text in texts if len(Path(text).parts) > 1 and Path(text).exists()]
    return found, tuple(read)


def _in_recipe(field: dataclasses.Field[Any]) -> bool:
    known = about(field)
    return known.kind == "setting" or known.recipe


def _placeholders(cls: type[Any]) -> dict[str, Any]:
    """Something for each required field, so that the others can be checked before the paths are known."""
    hints = typing.get_type_hints(cls)
    required = [field for field in dataclasses.fields(cls) if field.default is dataclasses.MISSING]
    return {
        field.name: _something(plain_type(hints[field.name]))
        for field in required
        if field.default_factory is dataclasses.MISSING
    }


def _something(hint: Any) -> Any:
    if typing.get_origin(hint) in (tuple, list):
        return ["-"]
    if typing.get_origin(hint) is dict:
        return {}
    return 10**6 if hint is int else "-"


def _replaced(value: Any, places: Mapping[str, Path]) -> Any:
    if isinstance(value, str):
        for name, path in places.items():
            value = value.replace(f"${{{name}}}", str(path))
        return value
    if isinstance(value, Mapping):
        return {key: _replaced(one, places) for key, one in value.items()}
    return [_replaced(one, places) for one in value] if isinstance(value, list | tuple) else value


def _texts(value: Any) -> list[Any]:
    if isinstance(value, Mapping):
        return [text for one in value.values() for text in _texts(one)]
    return [text for one in value for text in _texts(one)] if isinstance(value, list | tuple) else [value]


def _as_settings(name: str, words: Sequence[Any]) -> str:
    """Old words of a command as the settings to write instead."""
    texts = [part for word in words for part in (str(word).split("=") if word == "--preset=paper" else [str(word)])]
    more = {}
    if "--preset" in texts:  # the published method was a preset of what is ofa-ridge now
        at = texts.index("--preset")
        more = {"method": "hyperofa"} if texts[at + 1 : at + 2] == ["paper"] else {}
        del texts[at : at + 2]
    cls = _command(name).settings
    parser = Reader(prog=name)
    fill_parser(parser, Command(cls, lambda _: None))
    try:
        given = vars(parser.parse_args(texts))
        made = from_arguments(cls, {**_placeholders(cls), **given})
        values = {key: getattr(made, key) for key in given}
    except InputError:
        return "a mapping of settings to values, such as {dim: 200}"
    return yaml.safe_dump(more | _plain(values), default_flow_style=True, sort_keys=False, width=10**6).strip()


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return str(value) if isinstance(value, Path) else value
