"""The recipe of an experiment: its inputs, settings and matrix of cells, as frozen dataclasses read from YAML."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from hyperofa.data.inputs import Inputs, Parallel, Source, Target
from hyperofa.data.settings import SplitSettings

Rank = int | Literal["full"]
"""Columns of the coordinates; ``full``: not factorised."""

KINDS = (
    "source", "messages", "split", "gather", "vectors", "tokenizer", "corpus", "eval", "init", "train", "compare", "report",
    "default",
)  # fmt: skip
"""What ``slurm`` may give words for."""
OWN = {"init": ("rank", "seed"), "evaluate": ("languages",)}
"""Settings of commands that the experiment itself gives: another value would belie the names of its cells."""

_CELL_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]*")


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

    def __post_init__(self) -> None:
        """The stop must lie strictly inside the run."""
        steps = self.settings.get("steps")
        if self.stop_at_step is not None and isinstance(steps, int) and not 0 < self.stop_at_step < steps:
            raise ValueError(f"stop_at_step must lie between 0 and {steps}")

    def covers(self, cell: Cell) -> bool:
        """Whether a cell is trained."""
        wanted = (
            (self.sources, cell.source),
            (self.ranks, cell.rank),
            (self.methods, cell.method),
            (self.seeds, cell.seed),
        )
        return all(values is None or value in values for values, value in wanted)


@dataclass(frozen=True)
class Further:
    """An evaluation besides the main one, such as taggers, which take longer and have settings of their own."""

    tasks: list[str]
    settings: dict[str, Any] = field(default_factory=dict)
    cells: Literal["all", "trained"] = "trained"
    when: list[Literal["before", "after"]] = field(default_factory=lambda: ["before", "after"])


@dataclass(frozen=True)
class Evaluation:
    """What the harness runs before and after training."""

    tasks: list[str] = field(default_factory=lambda: ["sr-t"])
    settings: dict[str, Any] = field(default_factory=dict)
    """Settings of ``hyperofa-eval run``, such as ``limit: 300``."""
    against: list[str] = field(default_factory=lambda: ["random"])
    """Methods that those listed after them are compared with, sentence by sentence (paired intervals)."""
    further: dict[str, Further] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """The figures show the first task, so there must be one."""
        if not self.tasks:
            raise ValueError("tasks must name at least one task")


@dataclass(frozen=True)
class Method:
    """One row of the comparison. In a recipe the settings stand beside ``ranks`` and ``seeds`` (:func:`folded`)."""

    settings: dict[str, Any] = field(default_factory=dict)
    """Settings of ``hyperofa init``; without ``method`` the row's own name is the method."""
    ranks: list[Rank] | None = None
    seeds: list[int] | None = None
    """Only these of the matrix, for a method that takes long (None: all)."""

    def covers(self, rank: Rank, seed: int) -> bool:
        """Whether the method is run at this rank with this seed."""
        wanted = ((self.ranks, rank), (self.seeds, seed))
        return all(values is None or value in values for values, value in wanted)


@dataclass(frozen=True)
class Matrix:
    """The cells: every combination of source, rank, seed and method."""

    ranks: list[Rank]
    methods: dict[str, Method]
    seeds: list[int] = field(default_factory=lambda: [0])

    def __post_init__(self) -> None:
        """No empty and no repeated axis; ranks positive; names fit for folders."""
        for name, values in (("ranks", self.ranks), ("seeds", self.seeds)):
            if not values or len(set(values)) != len(values):
                raise ValueError(f"{name} must be a list of different values")
        if not self.methods:
            raise ValueError("methods must name at least one method")
        if any(isinstance(rank, int) and rank < 1 for rank in self.ranks):
            raise ValueError("ranks must be at least 1")
        _check_names(self.methods, "method")


@dataclass(frozen=True)
class Hardware:
    """What training is planned for in a dry run."""

    gpus: int
    gpu_memory: float
    """Of one GPU, in 10^9 bytes."""
    gpu: str = "H100"
    mfu: float = 0.1
    """Share of the GPUs' peak that training is taken to reach: small models in short sequences reach a few per cent, an 8B
    decoder some forty."""

    def __post_init__(self) -> None:
        """Counts and sizes above 0, a share between 0 and 1, a GPU whose peak is known."""
        from hyperofa.train.planning.cost import PEAK_FLOPS, peak_flops

        if self.gpus < 1 or self.gpu_memory <= 0 or not 0 < self.mfu <= 1:
            raise ValueError("gpus and gpu_memory must be above 0, mfu between 0 and 1")
        if peak_flops(self.gpu) is None:
            raise ValueError(f"gpu {self.gpu!r} is unknown; known: {', '.join(PEAK_FLOPS)}")


@dataclass(frozen=True)
class Recipe:
    """Everything an experiment is: inputs, shared stages, and the matrix that is initialised, evaluated and trained."""

    name: str
    sources: dict[str, Source]
    matrix: Matrix
    parallel: Parallel | None = None
    """Parallel text of which a part is held out for testing; or else ``inputs``."""
    inputs: Inputs | None = None
    target: Target | None = None
    """The target tokenizer (None: one is trained on the text)."""
    variables: dict[str, str | None] = field(default_factory=dict)
    """Names that stand as ``${name}`` in the rest of the recipe; ``--var name=value`` gives or replaces a value."""
    split: SplitSettings = field(default_factory=SplitSettings)
    vectors: dict[str, Any] = field(default_factory=dict)
    """Settings of ``hyperofa vectors build`` or ``import``."""
    tokenizer: dict[str, Any] = field(default_factory=dict)
    """Settings of ``hyperofa tokenizer train`` or ``extend``."""
    corpus: dict[str, Any] = field(default_factory=dict)
    """Settings of ``hyperofa corpus prepare``."""
    init: dict[str, Any] = field(default_factory=dict)
    """Settings of ``hyperofa init``, for all methods."""
    train: TrainStage = field(default_factory=TrainStage)
    evaluate: Evaluation = field(default_factory=Evaluation)
    hardware: Hardware | None = None
    slurm: dict[str, list[str]] = field(default_factory=dict)
    """Words for ``sbatch`` by kind of stage (``train``, ``init``, …); ``default`` for those not named."""

    def __post_init__(self) -> None:
        """At least one source, names fit for folders, and no name that nothing bears."""
        if not self.sources:
            raise ValueError("sources must name at least one source model")
        if (self.parallel is None) == (self.inputs is None):
            raise ValueError("give either parallel (to be split), or inputs with test sets of their own")
        _check_names([self.name], "recipe")
        _check_names(self.sources, "source")
        _check_names(self.evaluate.further, "evaluation")
        self._check_known("evaluate.against", self.evaluate.against, self.matrix.methods, "matrix.methods")
        self._check_known("train.methods", self.train.methods, self.matrix.methods, "matrix.methods")
        self._check_known("train.sources", self.train.sources, self.sources, "sources")
        self._check_known("train.ranks", self.train.ranks, self.matrix.ranks, "matrix.ranks")
        self._check_known("train.seeds", self.train.seeds, self.matrix.seeds, "matrix.seeds")
        for name, method in self.matrix.methods.items():
            self._check_known(f"matrix.methods.{name}.ranks", method.ranks, self.matrix.ranks, "matrix.ranks")
            self._check_known(f"matrix.methods.{name}.seeds", method.seeds, self.matrix.seeds, "matrix.seeds")
        if unknown := [kind for kind in self.slurm if kind not in KINDS]:
            raise ValueError(f"slurm.{unknown[0]} is no kind of stage; known: {', '.join(KINDS)}")
        if self.target is not None and self.target.extend is not None:
            self._check_known("target.extend", [self.target.extend], self.sources, "sources")

    @staticmethod
    def _check_known(where: str, names: Any, known: Any, place: str) -> None:
        for name in names or ():
            if name not in known:
                raise ValueError(f"{where} names {name!r}, which {place} does not have")

    def cells(self) -> Iterator[Cell]:
        """Every cell of the matrix."""
        matrix = self.matrix
        for source, rank, seed, method in itertools.product(self.sources, matrix.ranks, matrix.seeds, matrix.methods):
            if matrix.methods[method].covers(rank, seed):
                yield Cell(source, rank, method, seed)

    @property
    def tasks(self) -> list[str]:
        """Every task that is scored at some time, once each."""
        found = [*self.evaluate.tasks, *(task for more in self.evaluate.further.values() for task in more.tasks)]
        return list(
            dict.fromkeys([*found, *(self.train.evaluate.get("tasks", ()) if self.train.evaluate_every else ())])
        )

    def trained(self) -> list[Cell]:
        """The cells that are trained."""
        return [cell for cell in self.cells() if self.train.covers(cell)]


def _check_names(names: Any, what: str) -> None:
    for name in names:
        if not _CELL_NAME.fullmatch(name):
            raise ValueError(f"the {what} name {name!r} must be lower-case letters, digits, '.', '_' or '-'")


def folded(methods: Any) -> Any:
    """The rows of a recipe as :class:`Method` has them: all but ``ranks`` and ``seeds`` are settings."""
    if not isinstance(methods, dict):
        return methods
    apart = ("ranks", "seeds")
    return {
        name: {
            **{key: row[key] for key in apart if key in row},
            "settings": {k: v for k, v in row.items() if k not in apart},
        }
        if isinstance(row, dict)
        else row
        for name, row in methods.items()
    }


def unfolded(methods: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The rows as a recipe holds them; the inverse of :func:`folded`."""
    return {
        name: {**row["settings"], **{key: row[key] for key in ("ranks", "seeds") if row[key] is not None}}
        for name, row in methods.items()
    }
