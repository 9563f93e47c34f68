"""The settings of learning rows."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from hyperofa_eval.settings.fields import Range, Settings, setting

OBJECTIVES: dict[str, dict[str, Any]] = {
    "sentences": {"batch_size": 48, "learning_rate": 0.1, "shared_rate": 0.04, "longest": 1.5},
    "tokens": {"steps": 250, "batch_size": 24, "learning_rate": 0.04, "shared_rate": 0.0, "longest": None},
}
"""What each objective takes where a setting is not given."""
_ROWS_A_STEP, _FEWEST, _MOST = 80, 400, 1400
"""Sentences: a step for so many rows that learn, within these numbers of steps; so each row is met some times."""


@dataclass(frozen=True, kw_only=True)
class RefineConfig(Settings):
    """How new rows learn from text.

    A step of the learning rates is in units of the source rows' deviation per dimension, so that neither the scale of the
    embeddings nor its split between the factors matters.
    """

    steps: int | None = setting(
        None,
        "steps of the learning (default: 400 to 1,400 for sentences, by how many rows learn; 250 for tokens)",
        range=Range(1),
    )
    batch_size: int | None = setting(
        None, "sentences of a batch (default: 48 for sentences, 24 for tokens)", range=Range(2)
    )
    learning_rate: float | None = setting(
        None,
        "learning rate of a row's own change, by Adam (default: 0.1 for sentences, 0.04 for tokens)",
        range=Range(0, above=True),
    )
    shared_rate: float | None = setting(
        None,
        "learning rate of the linear map from mean word vectors that all predicted rows share; 0 switches it off (default: "
        "0.04 for sentences, 0 for tokens)",
        range=Range(0),
    )
    longest: float | None = setting(
        None,
        "largest length of a row, in lengths of its start or of the source's mean (default: 1.5 for sentences; no limit for "
        "tokens, where the length says how often a token comes)",
        range=Range(1),
    )
    warmup: float = setting(
        0.05, "share of the steps in which the rate rises, before it falls", range=Range(0, 1, below=True)
    )
    rare: float = setting(
        0.5, "sentences are drawn by the sum of their new tokens' 1 / count to this power", range=Range(0, 1)
    )
    smoothing: float = setting(0.5, "languages are drawn by their sentences to this power", range=Range(0, 2))
    layer: int | None = setting(
        None, "sentences: block whose output is matched, from 1 (default: two thirds up)", range=Range(1)
    )
    temperature: float = setting(0.05, "sentences: of the softmax over other sentences", range=Range(0, above=True))
    pull: float = setting(1.0, "sentences: weight of the distance to the sentence's own target", range=Range(0))
    max_length: int = setting(96, "tokens kept of a sentence, as far as the model has positions", range=Range(4))
    pivot: str = setting("eng", "sentences: language of parallel that the source model knows")
    device: str = setting("auto", "auto is a GPU where there is one")

    def check(self) -> None:
        """The device's name is one."""
        if self.device not in ("auto", "cpu"):
            from hyperofa.base.device import check_device

            check_device(self.device, "refinement")

    def completed(self, objective: str) -> RefineConfig:
        """These settings with those of the objective where none are given."""
        own = {name: value for name, value in OBJECTIVES[objective].items() if getattr(self, name) is None}
        return dataclasses.replace(self, **own)

    def for_rows(self, count: int) -> RefineConfig:
        """These settings with steps for so many rows, where they are not given."""
        steps = min(_MOST, max(_FEWEST, count // _ROWS_A_STEP))
        return self if self.steps is not None else dataclasses.replace(self, steps=steps)

    def rate(self, step: int) -> float:
        """The factor on the learning rates at ``step`` (from 0): up over the warm-up, then linearly to 0."""
        steps = self.steps or 1
        rise = self.warmup * steps
        if step < rise:
            return (step + 1) / (rise + 1)
        return (steps - step) / max(steps - rise, 1)
