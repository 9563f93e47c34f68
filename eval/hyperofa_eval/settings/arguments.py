"""Settings on a command line: options and their help from a dataclass, the dataclass from words, and words from settings."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import types
import typing
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import MISSING
from typing import Any, Literal, TypeVar

from hyperofa_eval.base.errors import InputError
from hyperofa_eval.settings.config import build_config
from hyperofa_eval.settings.fields import About, about, default_of, flag_of, ordered, types_of

C = TypeVar("C")
UNIONS = (typing.Union, types.UnionType)
EXTEND = {"nargs": "+", "action": "extend"}
"""One option takes several values, and may be given again."""


def add_arguments(parser: argparse.ArgumentParser, cls: type[Any]) -> None:
    """An option for each field of ``cls``; what is not given is absent from the namespace, so defaults stand in one place."""
    hints = types_of(cls)
    groups: dict[str | None, Any] = defaultdict(parser.add_mutually_exclusive_group, {None: parser})
    for field in ordered(cls):
        known = about(field)
        place = groups[known.group]
        options: dict[str, Any] = {"help": help_of(field).replace("%", "%%"), "default": argparse.SUPPRESS}
        if plain_type(hints[field.name]) is bool:
            options["action"] = "store_false" if field.default is True else "store_true"
        else:
            options |= _options(known, hints[field.name])
            options["metavar"] = known.metavar or (None if "choices" in options else field.name.upper())
        if known.positional:
            if default_of(field) is not MISSING:
                options["nargs"] = "*" if options.get("nargs") == "+" else "?"
            place.add_argument(field.name, **options)
        else:
            place.add_argument(flag_of(field), dest=field.name, **options)


def from_arguments(cls: type[C], arguments: Mapping[str, Any], todo: str | None = None) -> C:
    """The settings that a command line gave (see :func:`add_arguments`); ``todo`` is what to do about a missing option.

    Raises:
        InputError: a required option is missing, or a value cannot be; the option is named.
    """
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    missing = [
        flag_of(field) for name, field in fields.items() if name not in arguments and default_of(field) is MISSING
    ]
    if missing:
        raise InputError(f"the following arguments are required: {', '.join(missing)}", todo=todo)
    hints = types_of(cls)
    values = {name: _read(fields[name], hints[name], value) for name, value in arguments.items() if name in fields}
    return build_config(cls, values, named=lambda key: option_of(cls, key))


def option_of(cls: type[Any], key: str) -> str:
    """The option for a setting, or for a key below one; the key itself where there is none."""
    name, dot, rest = key.partition(".")
    return next((flag_of(field) + dot + rest for field in dataclasses.fields(cls) if field.name == name), key)


def words_of(cls: type[Any], values: Mapping[str, Any]) -> list[str]:
    """The words of a command line that give ``values`` to the settings ``cls``."""
    words: list[str] = []
    hints = types_of(cls)
    for field in ordered(cls):
        value, known, flag = values.get(field.name), about(field), flag_of(field)
        if isinstance(value, bool):
            words += [flag] if value is not field.default else []
            continue
        if isinstance(value, Mapping) and Any in typing.get_args(plain_type(hints[field.name])):
            texts = [f"{key}={_as_yaml(one)}" for key, one in value.items()]
        else:
            texts = [] if value is None else _texts(value)
        if value is None and field.name in values and field.default not in (None, MISSING):
            texts = ["none"]
        if known.separator is not None and texts:
            texts = [known.separator.join(texts)]
        if known.positional:
            words += texts
        elif known.append or any(text.startswith("-") for text in texts):
            words += [word for text in texts for word in _given(flag, text)]
        elif texts:
            words += [flag, *texts]
    return words


def help_of(field: dataclasses.Field[Any]) -> str:
    """The help of a setting for an option, with its default where there is one to name, or that it must be given."""
    known, default = about(field), field.default
    if default_of(field) is MISSING and not known.positional:
        return f"{known.help} (required)".lstrip()
    if default is True and known.flag is None:
        return f"do not: {known.help}"
    if isinstance(default, bool) or default in (MISSING, None, "", ()) or "default" in known.help:
        return known.help
    return f"{known.help} (default: {(known.separator or ' ').join(_texts(default))})".lstrip()


def _texts(value: Any) -> list[str]:
    if isinstance(value, Mapping):
        return [
            f"{key}={text}" if key else text
            for key, one in value.items()
            for text in (_texts(one) if isinstance(one, list | tuple) else [_scalar(one)])
        ]
    return [_scalar(one) for one in value] if isinstance(value, list | tuple) else [_scalar(value)]


def _given(flag: str, text: str) -> list[str]:
    """An option with one value; what begins with a dash would pass for an option of its own."""
    return [f"{flag}={text}"] if text.startswith("-") else [flag, text]


def _as_yaml(value: Any) -> str:
    """A value as a word that YAML reads as the same value."""
    from hyperofa_eval.settings.yamltext import parse_yaml

    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            if parse_yaml(value) == value:
                return value
    return json.dumps(value, ensure_ascii=False)


def _scalar(value: Any) -> str:
    """A value as a word, for a setting that says what type it has."""
    return json.dumps(value) if value is None or isinstance(value, bool) else str(value)


def plain_type(hint: Any) -> Any:
    """A type without ``| None``."""
    if typing.get_origin(hint) in UNIONS:
        rest = [each for each in typing.get_args(hint) if each is not type(None)]
        return rest[0] if len(rest) == 1 else typing.Union[tuple(rest)]  # noqa: UP007
    return hint


def _options(known: About, hint: Any) -> dict[str, Any]:
    """What argparse is told of a type."""
    hint = plain_type(hint)
    if typing.get_origin(hint) in UNIONS:
        hint = next((one for one in typing.get_args(hint) if typing.get_origin(one) is dict), hint)
    origin = typing.get_origin(hint)
    if known.separator is not None or (known.read is not None and origin not in (tuple, list, dict)):
        return {}
    if origin in (tuple, list, dict):
        item = typing.get_args(hint)[0] if origin in (tuple, list) and known.read is None else str
        many = {"action": "append"} if known.append else {"nargs": "+"} if known.positional else EXTEND
        return many | _options(About(""), item)
    if origin is Literal:
        choices = typing.get_args(hint)
        return {"choices": choices} | ({} if isinstance(choices[0], str) else {"type": type(choices[0])})
    return {"type": hint} if hint in (int, float) else {}


def _read(field: dataclasses.Field[Any], hint: Any, value: Any) -> Any:
    """A value of the command line as what the dataclass holds; numbers, texts and paths are checked there."""
    known, flag, hint = about(field), flag_of(field), plain_type(hint)
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if known.read is not None:
        return known.read(value)
    if known.separator is not None:
        items = [item.strip() for item in value.split(known.separator) if item.strip()]
        if not items:
            raise InputError("names nothing", where=flag)
        try:
            return [inner[0](item) for item in items] if inner and inner[0] in (int, float) else items
        except ValueError:
            what = f"{value!r} is not a list of {'whole ' if inner[0] is int else ''}numbers"
            raise InputError(what, where=flag) from None
    if origin is dict:
        return read_pairs(value, flag, known.metavar or "KEY=VALUE", text=inner[1] is str)
    if origin in UNIONS and isinstance(value, str) and value.lstrip("-").isdecimal():
        return int(value)
    return value


def read_pairs(words: Sequence[str], where: str, form: str = "KEY=VALUE", *, text: bool = False) -> dict[str, Any]:
    """``KEY=VALUE`` words as a dictionary; values are read as YAML, or taken as they are (``text``).

    Raises:
        InputError: a word is not of this ``form``, or its value is no YAML.
    """
    from hyperofa_eval.settings.yamltext import parse_yaml

    pairs: dict[str, Any] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key or (text and not value):
            raise InputError(f"{word!r} is not {form}", where=where)
        try:
            pairs[key] = value if text else parse_yaml(value)
        except ValueError:
            raise InputError(f"{word!r} has no readable value", where=where) from None
    return pairs
