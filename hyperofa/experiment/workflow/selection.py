"""Which stages a run is about: by kind, by name or by pattern, with what they need."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from hyperofa.errors import unknown_name
from hyperofa.experiment.workflow.stage import Stage, dependencies

REPORT = "report"
"""Stands for the report alone, which no stage writes."""


def matches(stage: Stage, pattern: str) -> bool:
    """Whether a pattern means a stage: its kind (``train``), its name, a glob of it, or ``kind/glob of the cell``."""
    kind, slash, cell = pattern.partition("/")
    if slash:
        return stage.kind == kind and stage.cell is not None and fnmatchcase(stage.cell, cell)
    return stage.kind == pattern or fnmatchcase(stage.name, pattern)


def select(stages: Sequence[Stage], patterns: Sequence[str]) -> set[str]:
    """The names of the stages that any pattern means, and of all that these need; of all stages without patterns.

    Raises:
        InputError: a pattern means no stage.
    """
    if not patterns:
        return {stage.name for stage in stages}
    needs = dependencies(stages)
    pending: list[str] = []
    for pattern in patterns:
        if pattern == REPORT:
            continue
        names = [stage.name for stage in stages if matches(stage, pattern)]
        if not names:
            raise unknown_name("stage", pattern, [*_kinds(stages), REPORT])
        pending += names
    chosen: set[str] = set()
    while pending:
        name = pending.pop()
        if name not in chosen:
            chosen.add(name)
            pending += needs[name]
    return chosen


def stages_before(stages: Sequence[Stage], pattern: str | None) -> frozenset[str]:
    """The names of the stages that stand before the first one that ``pattern`` means; none without a pattern.

    Raises:
        InputError: the pattern means no stage.
    """
    if pattern is None:
        return frozenset()
    for index, stage in enumerate(stages):
        if matches(stage, pattern):
            return frozenset(earlier.name for earlier in stages[:index])
    raise unknown_name("stage", pattern, _kinds(stages))


def _kinds(stages: Sequence[Stage]) -> list[str]:
    return list(dict.fromkeys(stage.kind for stage in stages))
