"""What a task is: the contract, the outcome of one language, and the registry that users add to."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from hyperofa_eval.base.errors import InputError, unknown
from hyperofa_eval.data.layout import DataFolder
from hyperofa_eval.scoring.statistics import Items


@dataclass(frozen=True)
class Outcome:
    """What a task says of one language: per-item scores by metric, and what they were measured on."""

    items: Mapping[str, Items]
    """By metric; the task's own metric among them."""
    chance: Mapping[str, float]
    """The score of a model that guesses, by metric, where that is known."""
    files: Mapping[str, str]
    """Files read and their SHA-256."""
    values: Mapping[str, float] = field(default_factory=dict)
    """Scores as a metric of its own gives them, by metric; where it is silent, the items' (which must agree)."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """Anything else worth keeping, as plain JSON."""


class Task(Protocol):
    """One way to score a model: a frozen dataclass whose fields are its settings, recorded in every result."""

    summary: ClassVar[str]
    higher_is_better: ClassVar[bool]
    unit: ClassVar[str]
    seeded: ClassVar[bool]
    """Whether the outcome depends on the seed; if not, only the first seed is run."""
    together: ClassVar[bool]
    """Whether all processes score one language together (else each takes whole seeds)."""

    @property
    def name(self) -> str:
        """What the command line and the results call it."""

    @property
    def metric(self) -> str:
        """The metric that means and comparisons use."""

    def has(self, data: DataFolder, language: str) -> bool:
        """Whether the data folder holds what scoring ``language`` needs."""

    def prepare(self, model: Any, data: DataFolder, seed: int, limit: int | None) -> Any:
        """What is done once per seed before the languages (fine-tuning); its result goes to :meth:`score`."""

    def score(self, prepared: Any, data: DataFolder, language: str, seed: int, limit: int | None) -> Outcome:
        """Score one language; ``limit`` keeps the first items only."""


_ADDED: dict[str, dict[str, Task]] = {}


def tasks(protocol: str) -> dict[str, Task]:
    """The tasks of a protocol by name, with the user's own added.

    Raises:
        InputError: no such protocol (the nearest is named).
    """
    from hyperofa_eval.tasks.protocols import PROTOCOLS

    if protocol not in PROTOCOLS:
        raise unknown("protocol", protocol, PROTOCOLS)
    return PROTOCOLS[protocol]() | _ADDED.get(protocol, {})


def add_task(task: Task, protocol: str = "default") -> None:
    """Add a task to a protocol, or replace one (a user's ``--with FILE`` calls this)."""
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


SETTINGS = ("block", "pooling", "direction", "csls", "learning_rate", "epochs")
"""What users may set of a task; each task has those of them that are its fields."""


def with_settings(task: Any, settings: Mapping[str, Any]) -> Any:
    """A task with those of the :data:`SETTINGS` that it has and that are given: None and False leave its own.

    Raises:
        EvalError: a setting is out of range.
    """
    own = {name: value for name, value in given(settings).items() if name in settings_of(task)}
    return dataclasses.replace(task, **own) if own else task


def given(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the :data:`SETTINGS` that are set: 0 is a value, None and False are none."""
    values = {name: settings.get(name) for name in SETTINGS}
    return {name: value for name, value in values.items() if value is not None and value is not False}


def block_named(text: str) -> int | str:
    """A block as it is typed: a number, ``auto`` or ``all``.

    Raises:
        InputError: it is none of them.
    """
    if text in {"auto", "all"}:
        return text
    if not text.lstrip("-").isdigit():
        raise InputError(f"--block {text!r} is neither a number, auto nor all")
    return int(text)


def settings_of(task: Any) -> list[str]:
    """The names of the :data:`SETTINGS` that a task has."""
    known: set[str] = {item.name for item in dataclasses.fields(task)} if dataclasses.is_dataclass(task) else set()
    return [name for name in SETTINGS if name in known]
