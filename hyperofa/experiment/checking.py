"""What can be known to be wrong before a recipe's first stage: places, languages, tasks and test sets."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from hyperofa.base.wordkeys import is_language
from hyperofa.corpus.settings import CorpusSettings
from hyperofa.data.test_sets import asking, corpora_of, find_tasks, refuse_tested, tested_files
from hyperofa.errors import DataMissingError, HyperofaError, InputError, unknown_name
from hyperofa.experiment.recipe.paths import expand, texts_in
from hyperofa.experiment.recipe.schema import Recipe, Scored
from hyperofa.experiment.workflow.graph import Plan
from hyperofa.experiment.workflow.stage import Stage
from hyperofa_eval.base.files import read_json
from hyperofa_eval.base.hub import check_name


def check_plan(plan: Plan, *, lenient: bool = False, data: bool = True) -> None:
    """Refuse what a stage would refuse hours later; every command of the plan is made and checked by the way.

    Args:
        plan: The experiment; nothing of it has to be there yet.
        lenient: Say nothing of files that are not there (a dry run lists them).
        data: Look into the folder of test sets too.

    Raises:
        InputError: a command would refuse its settings; an unknown task, protocol or language; training text that is a
            test set as well.
        DataMissingError: a task has no test set in any language.
    """
    from hyperofa_eval.tasks.registry import with_settings

    _check_languages(plan)
    _check_places(plan)
    _check_length(plan)
    _check_vectors(plan)
    known = not lenient or all(path.is_file() for path in plan.recipe.extensions)  # else what they define is not
    for where, part in _evaluations(plan.recipe).items() if known else ():
        settings = part.resolved
        with asking(where):
            tasks = find_tasks(part.tasks, settings.extensions, settings.protocol)
            tasks = [with_settings(task, vars(settings)) for task in tasks]
            if data:
                _check_data(plan, tasks, settings.aliases)
    if data and known:
        _check_training_text(plan)


def _check_vectors(plan: Plan) -> None:
    """Refuse methods that need what no text is there for: word vectors, or the parallel text itself."""
    from hyperofa.init.registry import find_method, method_file

    inputs = plan.recipe.inputs
    for name in plan.recipe.matrix.methods if inputs is not None and not inputs.parallel else ():
        where, method = f"matrix.methods.{name}", plan.recipe.init_settings(name).method
        for place in ("${parallel}", *(["${vectors}"] if plan.vectors is None else [])):
            if any(place in text for text in texts_in(plan.recipe.init_values(name))):
                todo = "give inputs.parallel, or leave it out"
                raise InputError(f"{place} is named, and the recipe has no parallel text", where=where, todo=todo)
        needing = find_method(method) if plan.vectors is None and method_file(method) is None else None
        if needing is not None and needing.predict is not None and needing.uses_words:
            todo = "give inputs.parallel to build them from, or inputs.vectors"
            raise InputError(f"method {method} needs word vectors", where=where, todo=todo)


def _evaluations(recipe: Recipe) -> dict[str, Scored]:
    """What is scored, by the key of the recipe that says so."""
    train = recipe.train
    if not train.evaluate_every or not train.evaluate.get("tasks"):
        return recipe.evaluate.parts
    protocol = train.evaluate.get("protocol") or recipe.evaluate.resolved.protocol
    settings = {"protocol": str(protocol), "extensions": recipe.extensions}
    return {**recipe.evaluate.parts, "train.evaluate": Scored(list(train.evaluate["tasks"]), settings)}


def check_models(plan: Plan, stages: Sequence[Stage]) -> None:
    """Refuse a source model or target tokenizer that ``stages`` read and that is neither a directory nor a hub id.

    Raises:
        DataMissingError: there is one; no earlier stage has to run before that is told.
    """
    read = {path for stage in stages for path in stage.inputs}
    target = plan.recipe.target if plan.replacements.tokenizer is None else None
    named = {f"sources.{name}.model": source.model for name, source in plan.recipe.sources.items()}
    for where, model in {**named, "target.model": target.model if target is not None else None}.items():
        if model is not None and Path(model) in read:
            with asking(where):
                check_name(model)


def check_trusted(stages: Sequence[Stage], trusted: Collection[str]) -> None:
    """Refuse to take a model as it is that was made when a method had another name.

    Raises:
        InputError: the method's present name is given.
    """
    from hyperofa.init.registry import renamed

    for stage in stages:
        marker = stage.output / stage.marker
        if stage.name in trusted and stage.kind == "init" and marker.is_file() and (name := renamed(read_json(marker))):
            what = f"made by what was called hyperofa and is {name} now"
            raise InputError(what, where=marker, todo="make it again, without --from")


def _check_languages(plan: Plan) -> None:
    inputs, parallel = plan.inputs, plan.recipe.parallel
    if inputs is not None:
        named = {"inputs.languages": inputs.languages, "inputs.corpus": list(inputs.corpus)}
        named["inputs.known_languages"] = inputs.known_languages
        if inputs.further_languages != "all":
            named["inputs.further_languages"] = inputs.further_languages
    else:
        assert parallel is not None  # a recipe has one of the two
        named = {"parallel.languages": list(parallel.languages), "parallel.pivots": list(parallel.pivots)}
    for where, codes in named.items():
        for code in codes:
            if not is_language(code):
                raise InputError(f"{code!r} is no language code", where=where, todo="write one such as tur or tur_Latn")


def _check_places(plan: Plan) -> None:
    """Refuse an output inside the data, where all that is written would count as a change of it, and text that nobody makes."""
    inputs = plan.inputs
    folders = [plan.parallel] if inputs is None else [Path(inputs.test), *map(Path, (*inputs.parallel, *inputs.text))]
    for folder in folders:
        if folder.is_dir() and plan.out.resolve().is_relative_to(folder.resolve()):
            raise InputError(f"it lies inside the data, {folder}", where=f"--out {plan.out}", todo="name another")
    learnt = [stage for stage in plan.stages() if stage.name == "tokenizer" and plan.data / "text" in stage.inputs]
    if learnt and inputs is not None and not inputs.gathered:
        todo = "name a target (model or wheel), or parallel or text among the inputs"
        raise InputError("there is no text to train a tokenizer on", where="target", todo=todo)


def _check_length(plan: Plan) -> None:
    """Refuse packed sequences that are longer than a source has positions for; sentences are as long as they are."""
    recipe = plan.recipe
    if not recipe.trained() or recipe.learns_sentences:
        return
    length = recipe.corpus.get("length", CorpusSettings.length)
    for name, source in recipe.sources.items():
        file = Path(plan.source(name)) / "config.json"
        config = read_json(file) if file.is_file() else source.config
        positions = config.get("max_position_embeddings")
        if isinstance(positions, int) and length > positions:
            what = f"sequences of {length} tokens, but sources.{name} has {positions} positions"
            raise InputError(what, where="corpus.length", todo=f"give {positions} or fewer")


def _check_data(plan: Plan, tasks: Sequence[Any], aliases: bool) -> None:
    """Refuse a task that has no test set, and a language that nobody knows and that has none."""
    if plan.inputs is None:
        for task in tasks:
            if getattr(task, "corpus", "tatoeba") != "tatoeba":
                what = f"there will be no test set for task {task.name}: pairs are held out"
                raise InputError(what, todo="name inputs with test sets in place of parallel")
        return
    if not plan.test.is_dir():
        return  # the dry run lists it, and the stage that reads it says so
    from hyperofa_eval.data.layout import DataFolder
    from hyperofa_eval.languages import is_known, languages

    data, codes = DataFolder(plan.test, aliases=aliases), plan.inputs.scored
    for task in tasks:
        if not any(task.has(data, code) for code in codes):
            words = f"no test set for task {task.name} in {', '.join(codes)}"
            raise DataMissingError(words, where=plan.test, todo="docs/evaluation-data.md has the layouts")
    for code in codes:
        if not is_known(code) and not any(task.has(data, code) for task in tasks):
            raise unknown_name("language", code, languages(), where="inputs.languages")


def _check_training_text(plan: Plan) -> None:
    """Refuse training files that are test files of the recipe's tasks."""
    inputs = plan.inputs
    if inputs is None or not plan.test.is_dir():
        return
    from hyperofa.data.parallel import parallel_files

    corpora = corpora_of(find_tasks(plan.recipe.tasks))
    languages = sorted({*inputs.scored, *inputs.corpus, "eng"})
    tested = [file for files in tested_files(plan.test, corpora, languages).values() for file in files]
    text = [file for path in expand(inputs.text) for file in (path.glob("*.txt*") if path.is_dir() else [path])]
    text += [Path(place) for place in inputs.corpus.values() if not place.startswith("hub:")]
    with suppress(HyperofaError):  # what is wrong with it, the stage that reads it says
        text += parallel_files(expand(inputs.parallel))
    refuse_tested(text, tested)
