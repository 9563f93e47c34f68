"""The cells of an experiment, those of a source with its own tokenizer among them, and how they are trained."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Rank = int | Literal["full"]
"""Columns of the coordinates; ``full``: not factorised."""

Equal = Literal["text", "compute"]
OWN_ROWS: dict[str, tuple[Equal, str]] = {
    "own-text": ("text", "own tokenizer, same text"),
    "own-compute": ("compute", "own tokenizer, same compute"),
}
"""Rows of the source as it is, trained like the others: what they have as much of, and how results call them."""
WORKED_OUT = ("steps", "warmup_steps", "decay_steps", "phase_steps")
"""Settings of training that follow from what such rows have as much of."""


@dataclass(frozen=True)
class Cell:
    """One cell of the matrix; its name is also its folder."""

    source: str
    rank: Rank
    method: str
    seed: int

    @property
    def name(self) -> str:
        """A folder name that holds all four coordinates, so adding a value never renames a finished cell."""
        return f"{self.source}-r{self.rank}-{self.method}-s{self.seed}"

    @property
    def own(self) -> Equal | None:
        """Of the source with its own tokenizer: what it has as much of as the cells of its rank; None for all others."""
        return OWN_ROWS[self.method][0] if self.method in OWN_ROWS else None

    @property
    def row(self) -> str:
        """What results call its method."""
        return OWN_ROWS[self.method][1] if self.method in OWN_ROWS else self.method


@dataclass(frozen=True)
class TrainStage:
    """How cells are trained, and which of them: a list that is None stands for all of the matrix's values."""

    launch: str = "launch/cpu_pair.yaml"
    """A configuration of ``accelerate launch``, or a script that is given the config and ``key=value`` words."""
    settings: dict[str, Any] = field(default_factory=dict)
    stop_at_step: int | None = None
    """Send SIGTERM when this step is logged, expect a clean save, and resume by the same command."""
    evaluate_every: int = 0
    """Score the model in training every so many steps (0: never)."""
    evaluate: dict[str, Any] = field(default_factory=dict)
    """What is scored then where it is not as in ``evaluate``: tasks (else its first), languages, limit, protocol, …"""
    sources: list[str] | None = None
    ranks: list[Rank] | None = None
    methods: list[str] | None = None
    seeds: list[int] | None = None
    own_tokenizer: list[Equal] = field(default_factory=list)
    """Train each source as it is too, on the same documents in its own tokens: as much of the text, or as many operations."""
    own_settings: dict[str, Any] = field(default_factory=dict)
    """Settings that such rows have in place of those in ``settings``, such as a rate chosen for them."""
    method_settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By method, the same for its cells: rows that are drawn need other rates than rows that are predicted."""

    def __post_init__(self) -> None:
        """The stop must lie strictly inside the run, and what follows from other settings must not be set."""
        if len({*self.own_tokenizer}) < len(self.own_tokenizer):
            raise ValueError("own_tokenizer must be a list of different values")
        if self.own_settings and not self.own_tokenizer:
            raise ValueError("own_settings is for the rows of own_tokenizer, which names none")
        for name in (*WORKED_OUT, "objective"):
            if name in self.own_settings:
                raise ValueError(f"own_settings.{name} follows from that of the other rows; leave it out")
            for method, settings in self.method_settings.items():
                if name in settings:
                    raise ValueError(
                        f"method_settings.{method}.{name} would not compare with other methods; leave it out"
                    )
        steps = self.settings.get("steps")
        if self.stop_at_step is not None and isinstance(steps, int) and not 0 < self.stop_at_step < steps:
            raise ValueError(f"stop_at_step must lie between 0 and {steps}")

    def covers(self, cell: Cell) -> bool:
        """Whether a cell is trained."""
        lists = (self.sources, self.ranks, self.methods, self.seeds)
        own = (cell.source, cell.rank, cell.method, cell.seed)
        return all(values is None or value in values for values, value in zip(lists, own, strict=True))
