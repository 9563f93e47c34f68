"""What a task is, and what it says of one language."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar, cast

from hyperofa_eval.base.errors import InputError
from hyperofa_eval.data.layout import DataFolder
from hyperofa_eval.models.protocols import Model
from hyperofa_eval.scoring.statistics import Items

M = TypeVar("M")
Prepared = TypeVar("Prepared")


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


class Task(ABC, Generic[M, Prepared]):
    """One way to score a model: a frozen dataclass whose fields are its settings, recorded in every result.

    A user's class need not inherit from this one; of the members that have a value here, it may leave out any.
    """

    name: str
    """What the command line and the results call it."""
    metric: ClassVar[str]
    """The metric that means and comparisons use."""
    summary: ClassVar[str]
    higher_is_better: ClassVar[bool]
    unit: ClassVar[str]
    seeded: ClassVar[bool]
    """Whether the outcome depends on the seed; if not, only the first seed is run."""
    together: ClassVar[bool]
    """Whether all processes score one language together (else each takes whole seeds)."""
    corpus: str | None = None
    """The test sets that are read; None where the task reads more than one kind."""
    needs: type = Model
    """The protocol of :mod:`hyperofa_eval.models.protocols` whose members a model must have."""
    needs_head: ClassVar[bool] = False
    """Whether the language-model head is loaded, and counts in what identifies a result."""
    scores_pivot: ClassVar[bool] = False
    """Whether English, the language of the other sides, can be scored too."""
    not_in_mean: tuple[str, ...] = ()
    """The languages that have a row but no part in the mean."""
    reading: ClassVar[int] = 1
    """Raised where the same files and the same model give other items: older results do not hold then."""

    @abstractmethod
    def has(self, data: DataFolder, language: str) -> bool:
        """Whether the data folder holds what scoring ``language`` needs."""

    def read(self, data: DataFolder, language: str, limit: int | None) -> Any:
        """Read a test set: called for all languages before any work, so that a faulty file is found first."""

    def read_training(self, data: DataFolder, limit: int | None) -> Any:
        """Read what :meth:`prepare` learns from, before any work too."""

    def prepare(self, model: M, data: DataFolder, seed: int, limit: int | None) -> Prepared:
        """What is done once per seed before the languages (fine-tuning), for :meth:`score`; without it, the model itself."""
        return cast(Prepared, model)

    @abstractmethod
    def score(self, prepared: Prepared, data: DataFolder, language: str, seed: int, limit: int | None) -> Outcome:
        """Score one language; ``limit`` keeps the first items only."""


REQUIRED = ("name", "metric", "summary", "higher_is_better", "unit", "seeded", "together", "has", "score")


def complete(task: Any) -> Task:
    """A task of a user's own class, which gets from :class:`Task` what it leaves out.

    Raises:
        InputError: it lacks a member that has no default.
    """
    missing = [name for name in REQUIRED if not hasattr(task, name)]
    if missing:
        where = f"task {getattr(task, 'name', type(task).__name__)}"
        raise InputError(f"lacks {', '.join(missing)}", where=where, todo="see hyperofa_eval.tasks.Task")
    for name, value in vars(Task).items():
        if not name.startswith("_") and not hasattr(task, name):
            setattr(type(task), name, value)
    return task


def settings_of(task: Task) -> dict[str, Any]:
    """The fields of a task, with the class that interprets them, as plain JSON."""
    plain = dataclasses.asdict(task) if dataclasses.is_dataclass(task) else dict(vars(task))
    return {"task": type(task).__name__, **plain}
