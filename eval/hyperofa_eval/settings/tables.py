"""Settings as a table for the documentation."""

from __future__ import annotations

import dataclasses
import typing
from dataclasses import MISSING
from typing import Any

from hyperofa_eval.settings.arguments import plain_type
from hyperofa_eval.settings.fields import about, default_of, flag_of, ordered, types_of


def markdown(cls: type[Any], *, options: bool = True) -> list[str]:
    """The rows of a Markdown table: option (or name in a config), key, type, default, what it is."""
    hints = types_of(cls)
    head = ["option", "key", "type", "default", "what"] if options else ["key", "type", "default", "what"]
    rows = [head, ["---"] * len(head)]
    for field in ordered(cls):
        known = about(field)
        allowed = f" ({known.range})" if known.range is not None else ""
        key = "" if known.kind == "show" else f"`{field.name}`"
        what = f"{known.help}{allowed}".replace("|", "\\|").replace("<", "&lt;")
        cells = [key, _type(hints[field.name]), _default(field), what]
        rows.append([f"`{flag_of(field)}`", *cells] if options else cells)
    return [f"| {' | '.join(row)} |" for row in rows]


def _default(field: dataclasses.Field[Any]) -> str:
    value = default_of(field)
    if value is MISSING:
        return "required"
    if value is None or value in ((), {}, []):
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _type(hint: Any) -> str:
    hint = plain_type(hint)
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return " ".join(f"`{one}`" for one in inner)
    if origin in (tuple, list):
        return f"list of {_type(inner[0])}"
    if origin is dict:
        return f"mapping to {_type(inner[1])}"
    if inner:
        return " or ".join(_type(one) for one in inner)
    names = {"str": "text", "int": "whole number", "float": "number", "bool": "true or false", "Path": "path"}
    name = getattr(hint, "__name__", str(hint))
    return names.get(name, name)
