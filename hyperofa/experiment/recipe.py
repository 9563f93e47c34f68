"""The recipe of an experiment: its inputs, settings and matrix of cells, as frozen dataclasses read from YAML."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_VERSION = re.compile(r"[0-9][A-Za-z0-9.!+_-]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_CELL_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]*")


@dataclass(frozen=True)
class Wheel:
    """A wheel of the package index, pinned by version and SHA-256; it is read as an archive and never installed."""

    name: str
    version: str
    sha256: str

    def __post_init__(self) -> None:
        """Refuse what is not a plain name, version and digest (they become words of a pip command)."""
        for value, pattern, what in (
            (self.name, _NAME, "package name"),
            (self.version, _VERSION, "version"),
            (self.sha256, _SHA256, "SHA-256 (64 hex digits)"),
        ):
            if not pattern.fullmatch(value):
                raise ValueError(f"{value!r} is not a {what}")

    @property
    def pin(self) -> str:
        """``name==version``, as pip reads it."""
        return f"{self.name}=={self.version}"


@dataclass(frozen=True)
class Source:
    """A source model: a hub id or directory (``model``), or a folder inside a pinned wheel."""

    model: str | None = None
    wheel: Wheel | None = None
    folder: str | None = None

    def __post_init__(self) -> None:
        """Exactly one of the two ways must be given."""
        if (self.model is None) == (self.wheel is None):
            raise ValueError("give either model, or wheel and folder")
        if self.wheel is not None and not self.folder:
            raise ValueError("folder must name the model's folder inside the wheel")


@dataclass(frozen=True)
class Parallel:
    """The parallel text: a directory of ``LANG.txt`` files, or the message catalogues inside a pinned wheel."""

    dir: str | None = None
    wheel: Wheel | None = None
    languages: dict[str, str] = field(default_factory=dict)
    """Language code -> locale folder name in the wheel, for the languages the experiment is about."""
    pivots: dict[str, str] = field(default_factory=dict)
    """The same for languages that only help (trained on, not scored)."""

    def __post_init__(self) -> None:
        """Exactly one of the two ways must be given; a wheel needs languages."""
        if (self.dir is None) == (self.wheel is None):
            raise ValueError("give either dir, or wheel and languages")
        if self.wheel is not None and not self.languages:
            raise ValueError("languages must map language codes to locale folders of the wheel")


@dataclass(frozen=True)
class SplitSettings:
    """How messages are held out for testing, and what a pre-training document is."""

    test: int = 200
    min_words: int = 3
    min_test: int = 50
    seed: int = 0
    document: Literal["message", "pair"] = "message"

    def __post_init__(self) -> None:
        """Sizes must be positive."""
        if min(self.test, self.min_words, self.min_test) < 1:
            raise ValueError("test, min_words and min_test must be at least 1")


@dataclass(frozen=True)
class TrainStage:
    """How each cell is trained: the launch config, the training config's settings, and the rehearsed interruption."""

    launch: str = "launch/cpu_pair.yaml"
    settings: dict[str, Any] = field(default_factory=dict)
    stop_at_step: int | None = None
    """Send SIGTERM when this step is logged, expect a clean save, and resume by the same command."""

    def __post_init__(self) -> None:
        """The stop must lie strictly inside the run."""
        steps = self.settings.get("steps")
        if self.stop_at_step is not None and isinstance(steps, int) and not 0 < self.stop_at_step < steps:
            raise ValueError(f"stop_at_step must lie between 0 and {steps}")


@dataclass(frozen=True)
class Evaluation:
    """What the harness runs before and after training."""

    tasks: list[str] = field(default_factory=lambda: ["sr-t"])
    args: list[str] = field(default_factory=list)
    against: list[str] = field(default_factory=lambda: ["random"])
    """Methods that those listed after them are compared with, sentence by sentence (paired intervals)."""


@dataclass(frozen=True)
class Cell:
    """One cell of the matrix; its name is also its folder."""

    source: str
    rank: int
    method: str
    seed: int

    @property
    def name(self) -> str:
        """A folder name that holds all four coordinates, so adding a value never renames a finished cell."""
        return f"{self.source}-r{self.rank}-{self.method}-s{self.seed}"


@dataclass(frozen=True)
class Method:
    """How ``hyperofa init`` is called for one row of the comparison."""

    method: str | None = None
    """The name it knows the method by (None: the row's own name)."""
    args: list[str] = field(default_factory=list)
    """Further words, such as ``[--preset, paper]``."""


@dataclass(frozen=True)
class Matrix:
    """The cells: every combination of source, rank, seed and method."""

    ranks: list[int]
    methods: dict[str, Method]
    seeds: list[int] = field(default_factory=lambda: [0])

    def __post_init__(self) -> None:
        """No empty and no repeated axis; ranks positive; names fit for folders."""
        for name, values in (("ranks", self.ranks), ("seeds", self.seeds)):
            if not values or len(set(values)) != len(values):
                raise ValueError(f"{name} must be a list of different values")
        if not self.methods:
            raise ValueError("methods must name at least one method")
        if min(self.ranks) < 1:
            raise ValueError("ranks must be at least 1")
        _check_names(self.methods, "method")


@dataclass(frozen=True)
class Recipe:
    """Everything an experiment is: inputs, shared stages, and the matrix that is initialised, evaluated and trained."""

    name: str
    sources: dict[str, Source]
    parallel: Parallel
    matrix: Matrix
    split: SplitSettings = field(default_factory=SplitSettings)
    vectors: list[str] = field(default_factory=list)
    """Further words for ``hyperofa vectors build``."""
    tokenizer: list[str] = field(default_factory=list)
    """Further words for ``hyperofa tokenizer train``."""
    corpus: list[str] = field(default_factory=list)
    """Further words for ``hyperofa corpus prepare``."""
    init: list[str] = field(default_factory=list)
    """Further words for ``hyperofa init``."""
    train: TrainStage = field(default_factory=TrainStage)
    evaluate: Evaluation = field(default_factory=Evaluation)

    def __post_init__(self) -> None:
        """At least one source, names fit for folders."""
        if not self.sources:
            raise ValueError("sources must name at least one source model")
        _check_names(self.sources, "source")
        for name in self.evaluate.against:
            if name not in self.matrix.methods:
                raise ValueError(f"evaluate.against names {name!r}, which matrix.methods does not have")
        _check_names([self.name], "recipe")

    def cells(self) -> Iterator[Cell]:
        """Every cell of the matrix."""
        matrix = self.matrix
        for source, rank, seed, method in itertools.product(self.sources, matrix.ranks, matrix.seeds, matrix.methods):
            yield Cell(source, rank, method, seed)


def _check_names(names: Any, what: str) -> None:
    for name in names:
        if not _CELL_NAME.fullmatch(name):
            raise ValueError(f"the {what} name {name!r} must be lower-case letters, digits, '.', '_' or '-'")
