"""Recipes of before, which held words of command lines: refused with the settings to write instead."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

import yaml

from hyperofa.errors import InputError
from hyperofa.experiment.recipe.commands import INIT, RUN, SETTINGS
from hyperofa_eval.settings.arguments import add_arguments, from_arguments
from hyperofa_eval.settings.config import to_plain

SECTIONS = {
    "vectors": ("hyperofa vectors build", "hyperofa vectors import"),
    "tokenizer": ("hyperofa tokenizer train", "hyperofa tokenizer extend"),
    "corpus": ("hyperofa corpus prepare",),
    "init": (INIT,),
}


def refuse_command_lines(recipe: Mapping[str, Any], where: object) -> None:
    """Refuse a recipe that holds words of command lines.

    Raises:
        InputError: it does; all settings to write instead are named, and methods that have another name now.
    """
    evaluate, init = _mapping(recipe.get("evaluate")), recipe.get("init")
    parts = {"evaluate": evaluate}
    parts |= {f"evaluate.further.{name}": _mapping(part) for name, part in _mapping(evaluate.get("further")).items()}
    rows = {name: _mapping(row) for name, row in _mapping(_mapping(recipe.get("matrix")).get("methods")).items()}
    instead = {key: _settings(recipe[key], *SECTIONS[key]) for key in SECTIONS if isinstance(recipe.get(key), list)}
    instead |= {f"{place}.settings": _settings(part["args"], RUN) for place, part in parts.items() if "args" in part}
    if instead or any("args" in row for row in rows.values()):
        published = isinstance(init, list) and "paper" in str(init)
        instead |= dict(_methods(rows, published))
        todo = "write " + "; ".join(f"{place}: {settings}" for place, settings in instead.items())
        raise InputError("recipes hold settings now, and no command-line words", where=where, todo=todo)


def _methods(rows: Mapping[str, Mapping[str, Any]], published: bool) -> Iterator[tuple[str, str]]:
    """The rows to write anew: those with words, and those whose method ``hyperofa`` is called ``ofa-ridge`` now.

    What is called ``hyperofa`` now was its preset ``paper``, of all rows (``published``) or of one.
    """
    for name, row in rows.items():
        words, settings = row.get("args", []), {key: value for key, value in row.items() if key != "args"}
        method = row.get("method", name)
        if (
            method == "hyperofa"
            and not published
            and "paper" not in str(words)
            and settings.keys() <= {"method", "ranks", "seeds"}
        ):
            settings["method"] = "ofa-ridge"
        if words or settings.get("method", name) != method:
            yield f"matrix.methods.{name}", _settings(words, INIT, beside=settings)


def _settings(words: Any, *commands: str, beside: Mapping[str, Any] | None = None) -> str:
    """The words of a command as a mapping of settings, in YAML, after those ``beside`` them."""
    for command in commands:
        parser = _Reader(prog=command)
        add_arguments(parser, SETTINGS[command])
        parser.add_argument("--preset", default=argparse.SUPPRESS)
        try:
            arguments = vars(parser.parse_args([str(word) for word in words]))
            arguments.pop("preset", None)
            values = to_plain(from_arguments(SETTINGS[command], arguments))
        except InputError:
            continue
        settings = {**(beside or {}), **{key: values[key] for key in arguments}}
        return yaml.safe_dump(
            settings, default_flow_style=True, sort_keys=False, allow_unicode=True, width=10**6
        ).strip()
    return "the settings that docs/settings.md lists"


class _Reader(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InputError(message)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
