"""The tasks by name, with those that users add, and the settings that users may change."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from hyperofa_eval.base.errors import InputError, unknown
from hyperofa_eval.tasks.protocols import PROTOCOLS
from hyperofa_eval.tasks.task import Task, complete

_ADDED: dict[str, dict[str, Task]] = {}


def tasks(protocol: str) -> dict[str, Task]:
    """The tasks of a protocol by name, with the user's own added.

    Raises:
        InputError: no such protocol (the nearest is named).
    """
    if protocol not in PROTOCOLS:
        raise unknown("protocol", protocol, PROTOCOLS)
    return PROTOCOLS[protocol]() | _ADDED.get(protocol, {})


def add_task(task: Task, protocol: str = "default") -> None:
    """Add a task to a protocol, or replace one (a user's ``--with FILE`` calls this).

    Raises:
        InputError: it lacks a member of :class:`~hyperofa_eval.tasks.task.Task` that has no default.
    """
    complete(task)
    _ADDED.setdefault(protocol, {})[task.name] = task


def choose(names: str, protocol: str) -> list[Task]:
    """The tasks of a comma-separated list, once each."""
    known = tasks(protocol)
    chosen = list(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))
    if not chosen:
        raise InputError("no task named", where="--tasks", todo=f"known: {', '.join(known)}")
    for name in chosen:
        if name not in known:
            raise unknown("task", name, known)
    return [known[name] for name in chosen]


SETTINGS = ("block", "pooling", "prompt", "direction", "csls", "learning_rate", "epochs", "train_batch_size", "warmup")
"""What users may set of a task; each task has those of them that are its fields."""


def with_settings(task: Task, settings: Mapping[str, Any]) -> Task:
    """A task with those of the :data:`SETTINGS` that it has and that are given: None and False leave its own.

    Raises:
        EvalError: a setting is out of range.
    """
    own = {name: value for name, value in filled(settings).items() if name in settable(task)}
    return dataclasses.replace(task, **own) if own else task  # type: ignore[type-var]


def filled(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the :data:`SETTINGS` that are set: 0 is a value, None and False are none."""
    values = {name: settings.get(name) for name in SETTINGS}
    return {name: value for name, value in values.items() if value is not None and value is not False}


def settable(task: Task) -> list[str]:
    """The names of the :data:`SETTINGS` that a task has."""
    return [name for name in SETTINGS if name in getattr(task, "__dataclass_fields__", {})]
