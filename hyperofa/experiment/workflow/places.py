"""Where everything of an experiment lies, and what its cells are called."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from hyperofa.data.gather import MARKER as GATHER_MARKER
from hyperofa.data.inputs import Inputs
from hyperofa.data.split import MARKER as SPLIT_MARKER
from hyperofa.experiment.recipe.cells import OWN_ROWS, Cell
from hyperofa.experiment.recipe.comparisons import Comparison, Scoring
from hyperofa.experiment.recipe.paths import is_vector_file
from hyperofa.experiment.recipe.resolve import Replacements
from hyperofa.experiment.recipe.schema import Recipe


@dataclass(frozen=True)
class Places:
    """Where everything of an experiment lies: what its stages make is below ``out``."""

    recipe: Recipe
    out: Path
    replacements: Replacements = field(default_factory=Replacements)

    @property
    def inputs(self) -> Inputs | None:
        """Given data with test sets of its own; None where parallel text is split."""
        return self.recipe.inputs

    @property
    def parallel(self) -> Path:
        """The parallel text that is split."""
        recipe = self.recipe.parallel
        return Path(recipe.dir) if recipe is not None and recipe.dir else self.out / "messages"

    @property
    def data(self) -> Path:
        """The training side: ``parallel/``, ``text/`` and ``documents/``; and ``test/`` where it was split off."""
        return self.out / "data"

    @property
    def data_marker(self) -> Path:
        """What says that the training side is there, and which languages it has."""
        return self.data / (SPLIT_MARKER if self.inputs is None else GATHER_MARKER)

    @property
    def test(self) -> Path:
        """The test sets."""
        return self.data / "test" if self.inputs is None else Path(self.inputs.test)

    @property
    def vectors(self) -> Path | None:
        """The word vectors: built, imported or given; None where there is no parallel text to build them from."""
        if self.replacements.vectors is not None:
            return self.replacements.vectors
        if self.inputs is not None and not (self.inputs.parallel or self.inputs.vectors):
            return None
        vectors = self.inputs.vectors if self.inputs is not None else None
        return self.out / "vectors" if vectors is None or is_vector_file(vectors) else Path(vectors)

    @property
    def tokenizer(self) -> str:
        """The target tokenizer: a directory or hub id."""
        if self.replacements.tokenizer is not None:
            return self.replacements.tokenizer
        target = self.recipe.target
        return target.model if target is not None and target.model is not None else str(self.out / "tokenizer")

    @property
    def train_config(self) -> Path:
        """The training config that all cells share."""
        return self.out / "train.yaml"

    def train_config_of(self, method: str) -> Path:
        """That of a method, which may have settings of its own; sources with their own tokenizers share one."""
        if method in OWN_ROWS:
            return self.out / "train-own.yaml"
        return (
            self.out / f"train-for-{method}.yaml" if method in self.recipe.train.method_settings else self.train_config
        )

    def source(self, name: str) -> str:
        """A source model: a directory or hub id."""
        return self.recipe.sources[name].model or str(self.out / "sources" / name)

    def reference(self, name: str) -> Path:
        """The scores of a source model with its own tokenizer; ``name`` is the source's, or that of a further evaluation."""
        return self.out / "references" / name

    def own_corpus(self, source: str) -> Path:
        """The documents of the training corpus in the tokens of a source."""
        return self.out / f"corpus-own-{source}"

    def own_model(self, cell: Cell) -> Path:
        """A source as it is, ready for training: the same for all rows of a seed, which draws the head where it has none."""
        return self.out / "own" / f"{cell.source}-s{cell.seed}"

    def steps(self, cell: Cell) -> Path:
        """How long a source with its own tokenizer is trained; the same for all seeds."""
        return self.out / "steps" / f"{cell.source}-r{cell.rank}-{cell.method}"

    def cell(self, cell: Cell) -> Path:
        """The folder of one cell."""
        return self.out / "cells" / cell.name

    def scores(self, scoring: Scoring) -> Path:
        """The folder of one evaluation of a cell."""
        return self.reference(scoring.name) if scoring.is_reference else self.cell(scoring.cell) / scoring.folder

    def comparison(self, comparison: Comparison) -> Path:
        """The folder of one comparison."""
        return self.out / "comparisons" / comparison.name

    def named_places(self) -> dict[str, Path]:
        """What ``${parallel}`` and its like stand for."""
        parallel, text = self.data / "parallel", self.data / "text"
        vectors = self.vectors or self.out / "vectors"
        return {"out": self.out, "parallel": parallel, "text": text, "test": self.test, "vectors": vectors}

    def called(self, cell: Cell) -> str:
        """A cell by what tells it from the others."""
        seed = [f"seed {cell.seed}"] if len(self.recipe.matrix.seeds) > 1 else []
        return ", ".join([cell.row, *self.place(cell), *seed])

    def place(self, cell: Cell) -> list[str]:
        """Its source and rank, as far as there are several."""
        source = [cell.source] if len(self.recipe.sources) > 1 else []
        return source + ([f"rank {cell.rank}"] if len(self.recipe.matrix.ranks) > 1 else [])
