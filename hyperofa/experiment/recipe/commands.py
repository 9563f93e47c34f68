"""The commands of an experiment: what a recipe may say of them, their words, and what they read."""

from __future__ import annotations

import importlib
from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from hyperofa.corpus.settings import CorpusSettings
from hyperofa.errors import InputError
from hyperofa.experiment.recipe.paths import in_all_texts, texts_in
from hyperofa.init.settings import InitSettings
from hyperofa.vectors.settings import BuildSettings, ImportSettings
from hyperofa.vocab.settings import ExtendSettings, TrainSettings
from hyperofa_eval.base.hub import is_hub_id
from hyperofa_eval.settings.arguments import words_of
from hyperofa_eval.settings.commands import Command, commands_of
from hyperofa_eval.settings.config import build_config
from hyperofa_eval.settings.evaluation import RunSettings
from hyperofa_eval.settings.fields import Settings, about

RUN = "hyperofa-eval run"
INIT = "hyperofa init"
SETTINGS: dict[str, type[Settings]] = {
    "hyperofa vectors build": BuildSettings,
    "hyperofa vectors import": ImportSettings,
    "hyperofa tokenizer train": TrainSettings,
    "hyperofa tokenizer extend": ExtendSettings,
    "hyperofa corpus prepare": CorpusSettings,
    INIT: InitSettings,
    RUN: RunSettings,
}
"""What a recipe may say of a command; its inputs and outputs are the experiment's."""


@cache
def options_of(command: str) -> type[Settings]:
    """All options of a command, such as ``hyperofa vectors build``."""
    program, name, *action = command.split()
    cli = importlib.import_module("hyperofa.cli" if program == "hyperofa" else "hyperofa_eval.cli")
    commands = commands_of(importlib.import_module(cli.COMMANDS[name][0]))
    return (commands if isinstance(commands, Command) else commands[action[0]]).settings


def command_words(command: str, values: Mapping[str, Any], where: object = None) -> tuple[str, ...]:
    """The words of a command with these options.

    Raises:
        InputError: the command would refuse them.
    """
    build_config(options_of(command), values, where)
    return (*command.split(), *words_of(options_of(command), values))


def check_settings(command: str, values: Mapping[str, Any], where: object, own: Collection[str] = ()) -> None:
    """Check what a recipe says of a command. ``own`` are settings that the experiment gives, besides inputs and outputs.

    Raises:
        InputError: a setting is unknown or the experiment's own, or a value cannot be.
    """
    known = SETTINGS[command].__dataclass_fields__
    for key in values:
        if key in own or (key in options_of(command).__dataclass_fields__ and key not in known):
            raise InputError(f"{key} is what the experiment itself sets", where=where, todo="leave it out")
    build_config(SETTINGS[command], values, where)


def with_places(
    command: str, values: Mapping[str, Any], places: Mapping[str, Path]
) -> tuple[dict[str, Any], tuple[Path, ...]]:
    """``values`` with ``${parallel}`` and its like replaced, and the files and folders among them that are read."""

    def put(text: str) -> str:
        for name, path in places.items():
            text = text.replace(f"${{{name}}}", str(path))
        return text

    replaced = {key: in_all_texts(value, put) for key, value in values.items()}
    read: list[str] = []
    for key, value in replaced.items():
        texts = list(texts_in(value))
        if about(SETTINGS[command].__dataclass_fields__[key]).kind != "place":  # a method's settings may name files too
            texts = [text for text in texts if len(Path(text).parts) > 1 and Path(text).exists()]
        elif key == "donor":
            texts = [text for text in texts if not is_hub_id(text)]
        read += texts if key != "cache" else ()  # which is written too, and decides nothing
    return replaced, tuple(map(Path, read))
