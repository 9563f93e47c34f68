"""The recipe of an experiment: its inputs, settings and matrix of cells, as frozen dataclasses read from YAML."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from hyperofa.data.inputs import Inputs, Parallel, Source, Target
from hyperofa.data.settings import SplitSettings
from hyperofa.experiment.recipe.cells import OWN_ROWS, Cell, Rank, TrainStage
from hyperofa.experiment.recipe.paths import is_vector_file
from hyperofa.init.settings import InitSettings
from hyperofa_eval.settings.config import build_config
from hyperofa_eval.settings.evaluation import RunSettings
from hyperofa_eval.settings.fields import SettingError

KINDS = (
    "source", "messages", "split", "gather", "vectors", "tokenizer", "corpus", "eval", "init", "steps", "train", "compare",
    "report", "default",
)  # fmt: skip
"""What ``slurm`` may give words for."""

DEFAULT_ROW = "default"
"""The row of methods that is ``hyperofa init`` with no method named."""

_CELL_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]*")


@dataclass(frozen=True)
class Scored:
    """Tasks that the harness scores, and how."""

    tasks: list[str]
    settings: dict[str, Any] = field(default_factory=dict)
    """Settings of ``hyperofa-eval run``, such as ``limit: 300``."""

    def __post_init__(self) -> None:
        """The figures show the first task, so there must be one."""
        if not self.tasks:
            raise ValueError("tasks must name at least one task")

    @property
    def resolved(self) -> RunSettings:
        """The settings with their defaults."""
        return build_config(RunSettings, self.settings, "evaluate")


@dataclass(frozen=True)
class Further(Scored):
    """An evaluation besides the main one, such as taggers, which take longer and have settings of their own."""

    cells: Literal["all", "trained"] | list[str] = "trained"
    """All cells, those that are trained, or the trained ones of the methods that are named; and the own tokenizers' ones."""
    when: list[Literal["before", "after"]] = field(default_factory=lambda: ["before", "after"])


@dataclass(frozen=True)
class Evaluation(Scored):
    """What the harness runs before and after training."""

    tasks: list[str] = field(default_factory=lambda: ["sr-t"])
    against: list[str] | None = None
    """Methods that those listed after them are compared with, sentence by sentence (paired intervals); ``random`` if there is one
    and nothing is said."""
    further: dict[str, Further] = field(default_factory=dict)

    @property
    def parts(self) -> dict[str, Scored]:
        """The main evaluation and the further ones, by the key of the recipe that holds them."""
        return {"evaluate": self, **{f"evaluate.further.{name}": more for name, more in self.further.items()}}


@dataclass(frozen=True)
class Matrix:
    """The cells: every combination of source, rank, seed and method."""

    ranks: list[Rank]
    methods: dict[str, dict[str, Any]]
    """By the name of the row, settings of ``hyperofa init``; without ``method`` the row's name is the method, but the row
    ``default`` names none.

    ``ranks`` and ``seeds`` beside them: only these of the matrix, for a method that takes long."""
    seeds: list[int] = field(default_factory=lambda: [0])

    def __post_init__(self) -> None:
        """No empty and no repeated axis; ranks positive; names fit for folders; a row's ranks and seeds among the matrix's."""
        for name, values in (("ranks", self.ranks), ("seeds", self.seeds)):
            if not values or len(set(values)) != len(values):
                raise ValueError(f"{name} must be a list of different values")
        if not self.methods:
            raise ValueError("methods must name at least one method")
        if any(isinstance(rank, int) and rank < 1 for rank in self.ranks):
            raise ValueError("ranks must be at least 1")
        _check_names(self.methods, "method")
        if reserved := [name for name in self.methods if name in OWN_ROWS]:
            raise ValueError(f"methods: {reserved[0]} is a row of train.own_tokenizer; call it something else")
        for name, row in self.methods.items():
            for axis, known in (("ranks", self.ranks), ("seeds", self.seeds)):
                own = row.get(axis, [])
                if not isinstance(own, list):
                    raise SettingError(f"methods.{name}.{axis}", f"{own!r} is no list")
                _check_known(f"matrix.methods.{name}.{axis}", own, known, f"matrix.{axis}")

    def covers(self, method: str, rank: Rank, seed: int) -> bool:
        """Whether a method is run at this rank with this seed."""
        row = self.methods[method]
        return rank in row.get("ranks", [rank]) and seed in row.get("seeds", [seed])

    def settings(self, method: str) -> dict[str, Any]:
        """What a row says of ``hyperofa init``."""
        return {key: value for key, value in self.methods[method].items() if key not in {"ranks", "seeds"}}


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
        _check_known("evaluate.against", self.against, self.matrix.methods, "matrix.methods")
        if alike := [name for name, count in Counter(cell.name for cell in self.cells()).items() if count > 1]:
            raise ValueError(f"two cells of the matrix would both be called {alike[0]}; rename a source or a method")
        for name, scored in self.evaluate.further.items():
            if isinstance(scored.cells, list):
                _check_known(f"evaluate.further.{name}.cells", scored.cells, self.matrix.methods, "matrix.methods")
        _check_known("train.methods", self.train.methods, self.matrix.methods, "matrix.methods")
        _check_known("train.method_settings", list(self.train.method_settings), self.matrix.methods, "matrix.methods")
        _check_known("train.sources", self.train.sources, self.sources, "sources")
        _check_known("train.ranks", self.train.ranks, self.matrix.ranks, "matrix.ranks")
        _check_known("train.seeds", self.train.seeds, self.matrix.seeds, "matrix.seeds")
        if unknown := [kind for kind in self.slurm if kind not in KINDS]:
            raise ValueError(f"slurm.{unknown[0]} is no kind of stage; known: {', '.join(KINDS)}")
        if self.learns_sentences and len(self.sources) > 1:
            raise ValueError("train.settings.objective is sentence, so one source: the corpus holds its vectors")
        if self.train.own_tokenizer and not self.trained():
            raise ValueError("train.own_tokenizer needs cells that are trained, and train names none")
        if self.target is not None and self.target.extend is not None:
            _check_known("target.extend", [self.target.extend], self.sources, "sources")

    def cells(self) -> Iterator[Cell]:
        """Every cell of the matrix."""
        matrix = self.matrix
        for source, rank, seed, method in itertools.product(self.sources, matrix.ranks, matrix.seeds, matrix.methods):
            if matrix.covers(method, rank, seed):
                yield Cell(source, rank, method, seed)

    @property
    def against(self) -> list[str]:
        """Methods that others are compared with: those that ``evaluate.against`` names, or else ``random`` where there is one."""
        named = self.evaluate.against
        return [name for name in self.matrix.methods if name == "random"] if named is None else named

    @property
    def learns_sentences(self) -> bool:
        """Whether training is on sentences with vectors of the source model, made from the parallel text."""
        return self.train.settings.get("objective") == "sentence"

    @property
    def tasks(self) -> list[str]:
        """Every task that is scored at some time, once each."""
        tasks = [task for part in self.evaluate.parts.values() for task in part.tasks]
        tasks += self.train.evaluate.get("tasks", ()) if self.train.evaluate_every else ()
        return list(dict.fromkeys(tasks))

    @property
    def extensions(self) -> list[Path]:
        """The files that evaluations name as ``extensions``, once each."""
        return list(dict.fromkeys(file for part in self.evaluate.parts.values() for file in part.resolved.extensions))

    def init_values(self, method: str) -> dict[str, Any]:
        """What is said of ``hyperofa init`` for a method: ``init`` for all, over it the method's own settings."""
        own = self.matrix.settings(method)
        for key in own.keys() & {"options", "refine_options"}:
            own[key] = {**self.init.get(key, {}), **own[key]}
        named = {} if method == DEFAULT_ROW else {"method": method}
        return {**named, **self.init, **own}

    def init_settings(self, method: str) -> InitSettings:
        """The settings of ``hyperofa init`` for a method, with their defaults."""
        return build_config(InitSettings, self.init_values(method), f"matrix.methods.{method}")

    @property
    def vectors_command(self) -> str:
        """The command that makes the word vectors."""
        is_file = self.inputs is not None and self.inputs.vectors is not None and is_vector_file(self.inputs.vectors)
        return f"hyperofa vectors {'import' if is_file else 'build'}"

    @property
    def tokenizer_command(self) -> str:
        """The command that makes the target tokenizer, where it is not given."""
        extended = self.target is not None and self.target.extend is not None
        return f"hyperofa tokenizer {'extend' if extended else 'train'}"

    def trained(self) -> list[Cell]:
        """The cells that are trained."""
        return [cell for cell in self.cells() if self.train.covers(cell)]

    def own_cells(self) -> list[Cell]:
        """The sources with their own tokenizers, one for each seed that is trained, beside the first rank that is trained."""
        first: dict[tuple[str, int], Rank] = {}
        for cell in self.trained():
            first.setdefault((cell.source, cell.seed), cell.rank)
        methods = [name for name, (equal, _) in OWN_ROWS.items() if equal in self.train.own_tokenizer]
        return [Cell(source, rank, name, seed) for (source, seed), rank in first.items() for name in methods]


def _check_names(names: Any, what: str) -> None:
    for name in names:
        if not _CELL_NAME.fullmatch(name):
            raise ValueError(f"the {what} name {name!r} must be lower-case letters, digits, '.', '_' or '-'")


def _check_known(where: str, names: Iterable[Any] | None, known: Collection[Any], place: str) -> None:
    for name in names or ():
        if name not in known:
            raise ValueError(f"{where} names {name!r}, which {place} does not have")
