"""Settings on a command line: options and their help from a dataclass, the dataclass from words, and words from settings."""

from __future__ import annotations

import argparse
import dataclasses
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING
from typing import Any, Literal, TypeVar

from hyperofa_eval.base.errors import InputError
from hyperofa_eval.settings.config import build_config
from hyperofa_eval.settings.fields import About, about, flag_of, ordered

C = TypeVar("C")


def add_arguments(parser: argparse.ArgumentParser, cls: type[Any]) -> None:
    """An option for each field of ``cls``; what is not given is absent from the namespace, so defaults stand in one place."""
    hints = typing.get_type_hints(cls)
    groups: dict[str, Any] = {}
    for field in ordered(cls):
        known = about(field)
        place: Any = parser
        if known.group is not None:
            place = groups.setdefault(known.group, None) or parser.add_mutually_exclusive_group()
            groups[known.group] = place
        options = _options(known, hints[field.name])
        if options.get("action") == "store_true":
            options["action"] = "store_false" if field.default is True else "store_true"
        else:
            options["metavar"] = known.metavar or _metavar(options, field.name)
        options |= {"help": help_of(field).replace("%", "%%"), "default": argparse.SUPPRESS}
        if known.positional:
            if field.default is not MISSING or field.default_factory is not MISSING:
                options["nargs"] = {"+": "*"}.get(options.get("nargs", ""), "?")
            place.add_argument(field.name, **options)
        else:
            place.add_argument(flag_of(field), dest=field.name, **options)


def from_arguments(cls: type[C], given: Mapping[str, Any]) -> C:
    """The settings that a command line gave (see :func:`add_arguments`).

    Raises:
        InputError: a required option is missing, or a value cannot be; the option is named.
    """
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    missing = [
        flag_of(field)
        for name, field in fields.items()
        if name not in given and field.default is MISSING and field.default_factory is MISSING
    ]
    if missing:
        raise InputError(f"the following arguments are required: {', '.join(missing)}")
    hints = typing.get_type_hints(cls)
    values = {
        name: _read(about(fields[name]), hints[name], value, flag_of(fields[name]))
        for name, value in given.items()
        if name in fields
    }

    def named(key: str) -> str:
        name, dot, rest = key.partition(".")
        return flag_of(fields[name]) + dot + rest if name in fields else key

    return build_config(cls, values, named=named)


def words_of(cls: type[Any], values: Mapping[str, Any]) -> list[str]:
    """The words of a command line that give ``values`` to the settings ``cls``."""
    words: list[str] = []
    for field in ordered(cls):
        value = values.get(field.name)
        if field.name not in values or value is None or (value == () and not about(field).positional):
            continue
        known, flag = about(field), flag_of(field)
        if isinstance(value, bool):
            words += [flag] if value is not field.default else []
            continue
        texts = _texts(value)
        if known.separator is not None:
            texts = [known.separator.join(texts)]
        if known.positional:
            words += texts
        elif known.append:
            words += [word for text in texts for word in (flag, text)]
        elif texts:
            words += [flag, *texts]
    return words


def help_of(field: dataclasses.Field[Any]) -> str:
    """The help of a setting for an option, with its default where there is one to name."""
    known, default = about(field), field.default
    if default is True and known.flag is None:
        return f"do not: {known.help}"
    if isinstance(default, bool) or default in (MISSING, None, "", ()) or "default" in known.help:
        return known.help
    return f"{known.help} (default: {'none' if default is None else default})".lstrip()


def _texts(value: Any) -> list[str]:
    if isinstance(value, Mapping):
        return [
            f"{key}={text}" if key else text
            for key, one in value.items()
            for text in (_texts(one) if isinstance(one, list | tuple) else [_scalar(one)])
        ]
    return [_scalar(one) for one in value] if isinstance(value, list | tuple) else [_scalar(value)]


def _scalar(value: Any) -> str:
    """A value as a word that YAML reads as the same value."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)


def _metavar(options: Mapping[str, Any], name: str) -> str:
    choices = options.get("choices")
    return "{" + ",".join(map(str, choices)) + "}" if choices else name.upper()


def plain_type(hint: Any) -> Any:
    """A type without ``| None``."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        rest = [each for each in typing.get_args(hint) if each is not type(None)]
        return rest[0] if len(rest) == 1 else typing.Union[tuple(rest)]  # noqa: UP007
    return hint


def _options(known: About, hint: Any) -> dict[str, Any]:
    """What argparse is told of a type."""
    hint = plain_type(hint)
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        hint = next((one for one in typing.get_args(hint) if typing.get_origin(one) is dict), hint)
    origin = typing.get_origin(hint)
    if hint is bool:
        return {"action": "store_true"}
    if known.separator is not None or (known.read is not None and origin not in (tuple, list, dict)):
        return {}
    if origin in (tuple, list, dict):
        item = typing.get_args(hint)[0] if origin in (tuple, list) and known.read is None else str
        many = {"action": "append"} if known.append else {"nargs": "+"}
        if not known.append and not known.positional:
            many["action"] = "extend"
        return {**many, **_options(About(""), item)}
    if origin is Literal:
        choices = typing.get_args(hint)
        return {"choices": choices} | ({} if isinstance(choices[0], str) else {"type": type(choices[0])})
    if hint in (int, float):
        return {"type": hint}
    return {}


def _read(known: About, hint: Any, value: Any, flag: str) -> Any:
    """A value of the command line as what the dataclass holds; numbers, texts and paths are checked there."""
    if known.read is not None:
        return known.read(value)
    if known.separator is not None:
        items = [item.strip() for item in value.split(known.separator) if item.strip()]
        if not items:
            raise InputError("names nothing", where=flag)
        hint = plain_type(hint)
        item = typing.get_args(hint)[0] if typing.get_origin(hint) in (tuple, list) else str
        return [_number(text, item, flag) for text in items] if item in (int, float) else items
    if typing.get_origin(plain_type(hint)) is dict:
        return read_pairs(value, flag, known.metavar or "KEY=VALUE", text=typing.get_args(plain_type(hint))[1] is str)
    if typing.get_origin(plain_type(hint)) in (typing.Union, types.UnionType) and isinstance(value, str):
        return _scalar_of(value)
    return value


def _number(text: str, kind: Callable[[str], Any], flag: str) -> Any:
    try:
        return kind(text)
    except ValueError:
        raise InputError(f"{text!r} is no number", where=flag) from None


def _scalar_of(text: str) -> Any:
    """A word as the whole number that it is, else as text."""
    return int(text) if text.lstrip("-").isdecimal() else text


def read_pairs(words: Sequence[str], where: str, form: str = "KEY=VALUE", *, text: bool = False) -> dict[str, Any]:
    """``KEY=VALUE`` words as a dictionary; values are read as YAML, or taken as they are (``text``).

    Raises:
        InputError: a word is not of this ``form``, or its value is no YAML.
    """
    from hyperofa_eval.settings.yamltext import parse_yaml

    found: dict[str, Any] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key or (text and not value):
            raise InputError(f"{word!r} is not {form}", where=where)
        try:
            found[key] = value if text else parse_yaml(value)
        except ValueError:
            raise InputError(f"{word!r} has no readable value", where=where) from None
    return found
