"""Reading a recipe: variables and replacements put in, everything checked that can be checked before anything runs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hyperofa.base.files import existing_file
from hyperofa.base.modeltypes import OLD_ROWS_STAY
from hyperofa.base.resources import resource
from hyperofa.data.inputs import Parallel, Source
from hyperofa.data.parallel import check_english, read_parallel
from hyperofa.data.test_sets import asking
from hyperofa.errors import DataMissingError, HyperofaError, InputError, unknown_name
from hyperofa.experiment.recipe.cells import OWN_ROWS
from hyperofa.experiment.recipe.commands import INIT, RUN, check_settings
from hyperofa.experiment.recipe.old import refuse_command_lines
from hyperofa.experiment.recipe.paths import in_all_texts
from hyperofa.experiment.recipe.schema import Recipe
from hyperofa.train.config import FREE_TO_CHANGE, TrainConfig
from hyperofa_eval.base.hub import check_name, is_hub_id
from hyperofa_eval.settings.config import build_config, override, read_yaml, to_plain
from hyperofa_eval.text.tokenizer import has_vocabulary

PLACES = ("out", "parallel", "text", "test", "vectors")
"""What ``${name}`` means without being a variable: the output directory, and folders that stages write or read."""

OWN = {INIT: ("rank", "seed"), RUN: ("languages",)}
"""Settings of commands that the experiment itself gives: another value would belie the names of its cells."""
SCORED_ALIKE = (
    "protocol",
    "block",
    "pooling",
    "prompt",
    "direction",
    "csls",
    "dtype",
    "aliases",
    "limit",
    "learning_rate",
    "epochs",
    "train_batch_size",
    "warmup",
)
"""Settings of an evaluation that hold for evaluation in training too."""

FOR_NEW_ROWS = (*OLD_ROWS_STAY, "embeddings")
"""Phases of training that are for rows that were not trained before."""

_NO_PLACES = {"model": "-", "corpus": "-", "run": "-"}
_VARIABLE = re.compile(r"\$\{([^{}]*)\}")


@dataclass(frozen=True)
class Replacements:
    """What a user gives in place of a recipe's inputs, first stages, variables and settings."""

    source: str | None = None
    tokenizer: str | None = None
    vectors: Path | None = None
    data: Path | None = None
    """Parallel text, in place of the recipe's."""
    variables: Mapping[str, str] = field(default_factory=dict)
    settings: Sequence[str] = ()
    """``dotted.key=value`` words."""

    def check(self) -> None:
        """Refuse what is not there before anything runs.

        Raises:
            DataMissingError: a named directory is missing or holds something else.
        """
        for model, kind in ((self.source, "model"), (self.tokenizer, "tokenizer")):
            if model is not None:
                check_name(model, f"{kind} directory")
        if self.source is not None and not is_hub_id(self.source):
            existing_file(Path(self.source) / "config.json", "model directory (no config.json)")
        if self.tokenizer is not None and not (is_hub_id(self.tokenizer) or has_vocabulary(Path(self.tokenizer))):
            raise DataMissingError("no such tokenizer directory (no tokenizer.json)", where=self.tokenizer)
        if self.vectors is not None:
            existing_file(self.vectors / "meta.json", "word-vector directory (no meta.json)")
        if self.data is not None:
            check_english(self.data)
            read_parallel([self.data])


def find_recipe(name: str) -> Path:
    """A recipe's file: a path, or the name of one that comes with hyperofa, such as ``small`` or ``paper/xlm-roberta``."""
    path = Path(name)
    if path.suffix in {".yaml", ".yml"} or path.is_file():
        return path
    try:
        return resource(f"recipes/{name}.yaml")
    except HyperofaError:
        folder = resource("recipes")
        known = [file.relative_to(folder).with_suffix("").as_posix() for file in sorted(folder.rglob("*.yaml"))]
        raise unknown_name("recipe", name, known) from None


def load_recipe(path: Path, replacements: Replacements, *, lenient: bool = False) -> Recipe:
    """Read and check a recipe, with the user's replacements in it.

    Args:
        path: The YAML file.
        replacements: What takes the place of the recipe's own.
        lenient: Leave a variable that has no value as ``${name}`` instead of raising: enough to list the stages.

    Raises:
        InputError: an unknown key, method or option (the nearest is named), a wrong value, or training settings that
            contradict each other.
        DataMissingError: no such file, or a variable has no value.
    """
    values = override(read_yaml(path), replacements.settings)
    recipe = build_recipe(with_variables(values, replacements.variables, path, lenient=lenient), path)
    if replacements.source is not None:
        if len(recipe.sources) > 1:
            raise InputError("--source replaces the only source model, this recipe has several", where=path)
        recipe = replace(recipe, sources={name: Source(model=replacements.source) for name in recipe.sources})
    if replacements.data is not None:
        recipe = replace(recipe, parallel=Parallel(dir=str(replacements.data)), inputs=None)
    from hyperofa.init.registry import resolve

    for name in recipe.matrix.methods:
        with asking(f"{path}: matrix.methods.{name}"):
            resolve(recipe.init_settings(name))
    _check_training(recipe, path)
    return recipe


def build_recipe(values: Mapping[str, Any], where: object) -> Recipe:
    """A recipe out of what its file holds, with all that it says of commands checked.

    Raises:
        InputError: command-line words, as recipes held them before; an unknown key or setting, or a value that cannot be.
    """
    refuse_command_lines(values, where)
    recipe = build_config(Recipe, values, where)
    sections = {
        "vectors": (recipe.vectors_command, recipe.vectors),
        "tokenizer": (recipe.tokenizer_command, recipe.tokenizer),
        "corpus": ("hyperofa corpus prepare", recipe.corpus),
        "init": (INIT, recipe.init),
    }
    sections |= {f"matrix.methods.{name}": (INIT, recipe.init_values(name)) for name in recipe.matrix.methods}
    sections |= {f"{place}.settings": (RUN, part.settings) for place, part in recipe.evaluate.parts.items()}
    for place, (command, settings) in sections.items():
        if settings:
            check_settings(command, settings, f"{where}: {place}", OWN.get(command, ()))
    return recipe


def with_variables(
    values: dict[str, Any], variables: Mapping[str, str], where: object, *, lenient: bool
) -> dict[str, Any]:
    """``values`` with every ``${name}`` replaced, and the values used under ``variables``.

    Raises:
        InputError: a name that is no variable, here or on the command line. DataMissingError: a variable without value.
    """
    declared = values.get("variables") or {}
    if not isinstance(declared, dict):
        raise InputError("variables must be a mapping of names to values", where=where)
    for name in PLACES:
        if name in declared:
            what = f"the variable {name!r} has the name of a place"
            raise InputError(what, where=where, todo="call it something else")
    for name in variables:
        if name not in declared:
            raise unknown_name("variable", name, declared, where=where)
    known = {**declared, **variables}

    def value_of(match: re.Match[str]) -> str:
        name = match[1]
        if name in PLACES:
            return match[0]
        if name not in known:
            raise unknown_name("variable", f"${{{name}}}", [f"${{{k}}}" for k in (*known, *PLACES)], where=where)
        if known[name] is None and not lenient:
            todo = f"give --var {name}=…" + (" or --data DIR" if name == "data" else "")
            raise DataMissingError(f"the variable {name!r} has no value", where=where, todo=todo)
        return match[0] if known[name] is None else str(known[name])

    rest = {key: value for key, value in values.items() if key != "variables"}
    return {**in_all_texts(rest, lambda text: _VARIABLE.sub(value_of, text)), "variables": known}


def _check_training(recipe: Recipe, path: Path) -> None:
    """Refuse wrong training settings now and not after all earlier stages."""
    train = recipe.train
    parts = {"settings": (train.settings, ""), "own_settings": (train.own_settings, next(iter(OWN_ROWS)))}
    parts |= {f"method_settings.{method}": (given, method) for method, given in train.method_settings.items()}
    for name in ("model", "corpus", "run", "seed", "eval_every", "evaluation", "stop_at"):
        where = next((part for part, (given, _) in parts.items() if name in given), None)
        if where is not None:
            todo = "use train.evaluate_every and train.evaluate" if name.startswith("eval") else None
            what = f"train.{where}.{name} is set for each cell by the experiment itself"
            raise InputError(what, where=path, todo=todo)
    for part, (_, method) in parts.items():
        if recipe.trained() and (part != "own_settings" or train.own_tokenizer):
            settings = training_settings(recipe, "-", method=method)
            build_config(TrainConfig, {**settings, **_NO_PLACES}, f"{path}: train.{part}")


def settings_of(recipe: Recipe, method: str = "") -> dict[str, Any]:
    """What the recipe says of training: what all cells share, or what those of a method have.

    Sources with their own tokenizers (the methods of ``OWN_ROWS``) have no rows that are not trained yet: a phase for such rows
    is left out, all of the model learns from the first step, and all rows take the rate of old ones.
    """
    train = recipe.train
    if method not in OWN_ROWS:
        return {**train.settings, **train.method_settings.get(method, {})}
    settings = {**train.settings, **train.own_settings}
    rates = dict(settings.get("learning_rates") or {})
    if "old_rows" in rates:  # all of them are
        rates["embeddings"] = rates.pop("old_rows")
        settings["learning_rates"] = rates
    left_out = ("phase", "phase_steps") if settings.get("phase") in (*FOR_NEW_ROWS, "all") else ()
    return {name: value for name, value in settings.items() if name not in left_out}


def training_settings(recipe: Recipe, test: str, languages: Sequence[str] = (), *, method: str = "") -> dict[str, Any]:
    """The settings of training that all cells share, or those of a method, evaluation on the way included.

    That evaluation is the recipe's own unless ``train.evaluate`` says otherwise: its protocol, pooling, block, number
    format and limit, and ``languages``.
    """
    train, settings = recipe.train, settings_of(recipe, method)
    if not train.evaluate_every:
        return settings
    scored = {**_as_evaluated(recipe), "languages": list(languages), **train.evaluate}
    return {**settings, "eval_every": train.evaluate_every, "evaluation": {**scored, "data": test}}


def _as_evaluated(recipe: Recipe) -> dict[str, Any]:
    """The settings of the evaluation that scores the (first) task of evaluation in training, by their names there."""
    main = recipe.evaluate
    tasks = list(recipe.train.evaluate.get("tasks") or main.tasks[:1])
    part = next((part for part in main.parts.values() if tasks[0] in part.tasks), main)
    settings = {name: getattr(part.resolved, name) for name in SCORED_ALIKE}
    settings = {name: value for name, value in settings.items() if value is not None and value is not False}
    files = [str(file) for file in part.resolved.extensions]
    return {"tasks": tasks, **settings, **({"extensions": files} if files else {})}


def deciding_settings(recipe: Recipe, method: str = "") -> dict[str, Any]:
    """The settings of training that decide what a run computes, with their defaults: not those that say how it runs."""
    resolved = to_plain(build_config(TrainConfig, {**settings_of(recipe, method), **_NO_PLACES}))
    left_out = {*FREE_TO_CHANGE, "model", "corpus", "seed"}
    return {name: value for name, value in resolved.items() if name not in left_out}
