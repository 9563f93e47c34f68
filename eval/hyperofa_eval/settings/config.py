"""Settings out of YAML files, ``key=value`` words and mappings; unknown keys are refused by name."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from hyperofa_eval.base.errors import InputError, unknown
from hyperofa_eval.base.files import write_text
from hyperofa_eval.settings.fields import SettingError, about, types_of

if typing.TYPE_CHECKING:
    from pydantic import TypeAdapter

C = TypeVar("C")


@cache
def _adapter(cls: Any) -> TypeAdapter[Any]:
    """What fills and dumps a dataclass; made once, since making it takes longer than all of its uses."""
    from pydantic import TypeAdapter

    return TypeAdapter(cls)


def load_config(cls: type[C], path: Path | None, overrides: Sequence[str] = ()) -> C:
    """Build the dataclass ``cls`` from a YAML file and ``dotted.key=value`` words (values are read as YAML).

    Raises:
        InputError: the file is not there or is not YAML, a key is unknown (the nearest is named), a value has the
            wrong type or is out of its range, or the dataclass refuses it.
    """
    values = override(read_yaml(path) if path is not None else {}, overrides)
    return build_config(cls, values, path or "config")


def override(values: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """``values`` with ``dotted.key=value`` words put into them (values are read as YAML)."""
    from hyperofa_eval.settings.yamltext import parse_yaml

    for word in overrides:
        key, equals, text = word.partition("=")
        if not equals:
            raise InputError(f"{word!r} is not key=value", where="command line")
        *parents, last = key.split(".")
        group = values
        for name in parents:
            group = group.setdefault(name, {})
            if not isinstance(group, dict):
                raise InputError(f"{key}: {name!r} is not a group of settings", where="command line")
        try:
            group[last] = parse_yaml(text) if text else None
        except ValueError:
            raise InputError(f"{word!r} has no readable value", where="command line") from None
    return values


def build_config(
    cls: type[C], values: Mapping[str, Any], where: object = None, *, named: Callable[[str], str] | None = None
) -> C:
    """Build ``cls`` from nested mappings, refusing unknown keys, wrong types and what the dataclass refuses.

    ``named`` gives the words for a key in errors, where they are not the key itself (an option of a command line).
    """
    from pydantic import ValidationError

    name = named or (lambda key: key)
    _check_keys(cls, values, "", where)
    try:
        return typing.cast(C, _adapter(typing.cast(typing.Hashable, cls)).validate_python(values))
    except ValidationError as error:
        first, *further = error.errors()
        key = ".".join(str(part) for part in first["loc"] if not str(part).startswith("function-"))
        message, todo = str(first["msg"]).removeprefix("Value error, "), None
        message = "it must be given" if first["type"] == "missing" else message
        if (
            key.endswith(".int") and further and further[0]["type"] == "literal_error"
        ):  # a whole number, or one of some words
            key = key.removesuffix(".int")
            message = f"{first['input']!r} is not a whole number or {further[0]['ctx']['expected']}"
        cause = first.get("ctx", {}).get("error")
        if isinstance(cause, SettingError):
            key, message, todo = ".".join(filter(None, (key, cause.name))), cause.what, cause.todo
        raise SettingError(name(key) if key else "", message, where=where, todo=todo) from None


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML mapping as a dictionary."""
    from hyperofa_eval.settings.yamltext import parse_yaml

    try:
        value = parse_yaml(path.read_text(encoding="utf-8-sig"))
    except (FileNotFoundError, IsADirectoryError):
        raise InputError("no such config file", where=path) from None
    except ValueError as error:  # no UTF-8 either
        raise InputError(f"not valid YAML ({error})", where=path) from None
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InputError("the top level must be a mapping of keys to values", where=path)
    return value


def to_plain(config: Any) -> dict[str, Any]:
    """A config as plain dictionaries, lists and scalars (what YAML and JSON can hold)."""
    return _adapter(typing.cast(typing.Hashable, type(config))).dump_python(config, mode="json", warnings=False)


def recorded(settings: Any, leave_out: Sequence[str] = ()) -> dict[str, Any]:
    """What decides a result: the fields of kind ``setting`` as plain values, for the record beside an output."""
    plain = to_plain(settings)
    names = [field.name for field in dataclasses.fields(settings) if about(field).kind == "setting"]
    return {name: plain[name] for name in names if name not in leave_out}


def save_config(config: Any, path: Path) -> None:
    """Write the resolved config as YAML, atomically."""
    import yaml

    write_text(path, yaml.safe_dump(to_plain(config), sort_keys=False, allow_unicode=True))


def _check_keys(cls: Any, values: Any, prefix: str, where: object) -> None:
    if not dataclasses.is_dataclass(cls) or not isinstance(values, Mapping):
        return
    hints = types_of(cls)
    known = {field.name for field in dataclasses.fields(cls) if field.init}
    for key, value in values.items():
        if key not in known:
            raise unknown("config key", f"{prefix}{key}", [f"{prefix}{name}" for name in known], where=where)
        kinds = {hints[key], *typing.get_args(hints[key])}
        if isinstance(value, bool) and kinds & {int, float} and bool not in kinds:  # pydantic would take it for 0 or 1
            raise SettingError(f"{prefix}{key}", f"{value} is no number", where=where)
        for nested, nested_value in _nested(hints[key], value):
            _check_keys(nested, nested_value, f"{prefix}{key}.", where)


def _nested(hint: Any, value: Any) -> list[tuple[Any, Any]]:
    """The (dataclass, value) pairs inside a field: plain, optional, in a sequence or in a mapping's values."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        return [(hint, value)]
    if origin in (typing.Union, types.UnionType):
        return [pair for argument in arguments for pair in _nested(argument, value)]
    if isinstance(value, Mapping) and len(arguments) == 2:
        return [pair for item in value.values() for pair in _nested(arguments[1], item)]
    if isinstance(value, list | tuple) and arguments:
        return [pair for item in value for pair in _nested(arguments[0], item)]
    return []
