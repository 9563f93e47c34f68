"""The harness from Python: one call that scores a model, and leaves the process as it was."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hyperofa_eval.base.cpu import onednn_products
from hyperofa_eval.base.errors import InputError
from hyperofa_eval.base.files import check_target
from hyperofa_eval.base.processes import Processes, alone
from hyperofa_eval.data.layout import DataFolder
from hyperofa_eval.models.loaded import LoadedModel
from hyperofa_eval.models.loading import load_model, wrap
from hyperofa_eval.models.protocols import Model
from hyperofa_eval.results.result import check_folder
from hyperofa_eval.runner import run_tasks
from hyperofa_eval.settings.config import build_config
from hyperofa_eval.settings.evaluation import RunSettings
from hyperofa_eval.settings.fields import SettingError
from hyperofa_eval.settings.keywords import takes
from hyperofa_eval.tasks import extensions
from hyperofa_eval.tasks.registry import choose, filled, settable, with_settings
from hyperofa_eval.tasks.task import Task, complete

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@takes(RunSettings)
def evaluate(
    model: str | Path | PreTrainedModel | Model,
    tasks: Sequence[str | Task],
    data: str | Path | DataFolder,
    *,
    tokenizer: PreTrainedTokenizerBase | None = None,
    languages: Sequence[str] | None = None,
    out: str | Path | None = None,
    name: str | None = None,
    processes: Processes | None = None,
    **settings: Any,
) -> dict[str, Any]:
    """Score a model and return what ``summary.json`` holds (``docs/evaluation-data.md``).

    Only the calling process works, unless the command hands over its ``processes``; training calls it on one rank. Nothing of
    the process is changed for good: a model in memory keeps its mode and its device, the random generators their state, and
    torch, logging and the libraries their settings.

    Args:
        model: a directory or hub id; a transformers model, with its ``tokenizer``; or an object with the members that the
            tasks need (:mod:`hyperofa_eval.models.protocols`).
        tasks: names, or tasks with settings of one's own, such as ``Retrieval(block="all")``.
        data: the folder of test sets.
        tokenizer: of a transformers model in memory.
        languages: codes; by default all of the table, or the paper's own under ``protocol="paper"``.
        out: a folder that keeps every result; those that are there and still hold are used again.
        name: what results call the model; its directory's name or hub id, or ``model``.
        processes: those of an ``accelerate launch``, joined by the caller.
        **settings: listed below; ``device`` and ``dtype`` are for a model that is loaded.

    Raises:
        DataMissingError: no such model or folder, or a task has no data in any of the languages.
        InputError: an unknown task, language or protocol, a faulty file, or a model that a task cannot score.
        EvalError: something else that the command would say in one line.
    """
    from torch import nn

    options = build_config(RunSettings, settings, "evaluate")
    languages = None if languages is None else _listed(languages, "languages")
    if not isinstance(data, str | Path | DataFolder):
        raise InputError(f"{data!r} is no folder", where="data", todo="give the path of the test sets")
    if not options.seeds:
        raise SettingError("seeds", "there is none", todo="give one, such as [0]")
    results = None if out is None else Path(out)
    chosen, folder = check(tasks, data, results, options)
    if isinstance(model, str | Path):
        if tokenizer is not None:
            what = "a model that is loaded brings its own tokenizer"
            raise InputError(what, where="tokenizer", todo="leave it out, or give the model as an object")
        scored: Model = load_model(
            str(model),
            head=any(task.needs_head for task in chosen),
            dtype=options.dtype,
            batch_size=options.batch_size,
            processes=processes or alone(options.device),
            cache=options.cache,
            remote_code=options.remote_code,
            label=name,
        )
    elif {"device", "dtype"} & settings.keys():
        raise InputError("a model in memory keeps its device and its dtype", todo="change them before: model.to(…)")
    elif not isinstance(model, nn.Module):
        scored = model
    elif tokenizer is None:
        raise InputError("a model in memory needs its tokenizer", where="evaluate", todo="give tokenizer=")
    else:
        scored = wrap(model, tokenizer, name or "model", options.batch_size, options.cache)
    with _evaluation_mode(scored):
        return run_tasks(
            scored,
            chosen,
            folder,
            codes=languages,
            beside=options.beside,
            protocol=options.protocol,
            seeds=list(dict.fromkeys(options.seeds)),
            limit=options.limit,
            out=results,
            processes=processes,
        )


def check(
    tasks: Sequence[str | Task], data: str | Path | DataFolder, out: Path | None, options: RunSettings
) -> tuple[list[Task], DataFolder]:
    """The tasks, each with those of the settings that it has, and the data folder; refuses what could not be run.

    Raises:
        DataMissingError: no such data folder.
        InputError: an unknown task or protocol, a setting that no task has or one refuses, or a folder for results or the
            cache that cannot be used.
    """
    extensions.load(options.extensions)
    chosen = _tasks(tasks, options.protocol)
    task_settings = filled(vars(options))
    for name in task_settings:
        if not any(name in settable(task) for task in chosen):
            what = f"no task that was asked for has it ({', '.join(task.name for task in chosen)})"
            raise SettingError(name, what, todo="leave it out")
    chosen = [with_settings(task, task_settings) for task in chosen]
    folder = data if isinstance(data, DataFolder) else DataFolder(Path(data), aliases=options.aliases)
    if out is not None:
        check_folder(out, options.protocol, options.limit)
    if options.cache is not None:
        check_target(options.cache)
        if out is not None and options.cache.resolve().is_relative_to(out.resolve()):
            raise SettingError("cache", f"{options.cache} lies inside the results", todo="name a folder outside them")
    return chosen, folder


def _listed(given: Iterable[Any], name: str) -> list[Any]:
    """An argument as a list; a string, whose letters would pass for its items, is refused."""
    if isinstance(given, str):
        raise InputError(f"{given!r} is a string, not a list of {name}", where=name, todo=f"write [{given!r}]")
    return list(given)


def _tasks(tasks: Sequence[str | Task], protocol: str) -> list[Task]:
    """Each task by its name in the protocol, or as it is given."""
    tasks = _listed(tasks, "tasks")
    named = [task for task in tasks if isinstance(task, str)]
    by_name = {task.name: task for task in choose(",".join(named), protocol)} if named or not tasks else {}
    return [by_name[task.strip()] if isinstance(task, str) else complete(task) for task in tasks]


@contextmanager
def _evaluation_mode(model: Model) -> Iterator[None]:
    """Put a transformers model into evaluation mode and, on the CPU, let the fastest exact library multiply, for a while."""
    if not isinstance(model, LoadedModel):
        yield
        return
    training = model.model.training
    model.model.eval()
    try:
        with onednn_products() if model.device == "cpu" else nullcontext():
            yield
    finally:
        model.model.train(training)
