"""The harness from Python: one call that scores a model, and leaves the process as it was."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hyperofa_eval.base.cpu import onednn_products
from hyperofa_eval.base.errors import InputError
from hyperofa_eval.base.guard import raised_in_one_line
from hyperofa_eval.base.processes import Processes, alone
from hyperofa_eval.data.layout import DataFolder
from hyperofa_eval.models.loaded import LoadedModel
from hyperofa_eval.models.loading import load_model, wrap
from hyperofa_eval.models.protocols import Model
from hyperofa_eval.results.result import check_folder
from hyperofa_eval.runner import run_tasks
from hyperofa_eval.tasks.registry import choose
from hyperofa_eval.tasks.task import Task, complete

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def evaluate(
    model: str | Path | PreTrainedModel | Model,
    tasks: Sequence[str | Task],
    data: str | Path | DataFolder,
    *,
    tokenizer: PreTrainedTokenizerBase | None = None,
    languages: Sequence[str] | None = None,
    protocol: str = "default",
    seeds: Sequence[int] = (0,),
    limit: int | None = None,
    batch_size: int = 64,
    out: str | Path | None = None,
    name: str | None = None,
    device: str = "auto",
    dtype: str | None = None,
    cache: Path | None = None,
    remote_code: bool = False,
    processes: Processes | None = None,
) -> dict[str, Any]:
    """Score a model and return what ``summary.json`` holds (``docs/evaluation.md``).

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
        protocol: ``default`` or ``paper``; of the tasks that are named.
        seeds: one run of the fine-tuned tasks for each.
        limit: keep the first items of each set, for trials; every result is marked.
        batch_size: sequences in one forward pass.
        out: a folder that keeps every result; those that are there and still hold are used again.
        name: what results call the model; its directory's name or hub id, or ``model``.
        device: for a model that is loaded: ``auto`` is a GPU where there is one.
        dtype: of a model that is loaded: ``float32`` (the default), ``bfloat16`` or ``float16``.
        cache: a folder that keeps vectors and taggers, found by content.
        remote_code: run Python code that comes with the checkpoint.
        processes: those of an ``accelerate launch``, joined by the caller.

    Raises:
        DataMissingError: no such model or folder, or a task has no data in any of the languages.
        InputError: an unknown task, language or protocol, a faulty file, or a model that a task cannot score.
        EvalError: something else that the command would say in one line.
    """
    with raised_in_one_line(), _process_kept():
        if batch_size < 1:
            raise InputError(f"a batch of {batch_size} is not a number of sequences", where="batch_size")
        chosen = _tasks(tasks, protocol)
        folder = data if isinstance(data, DataFolder) else DataFolder(Path(data))
        results = None if out is None else Path(out)
        if results is not None:
            check_folder(results, protocol, limit)
        if isinstance(model, str | Path):
            if tokenizer is not None:
                what = "a model that is loaded brings its own tokenizer"
                raise InputError(what, where="tokenizer", todo="leave it out, or give the model as an object")
            scored: Model = load_model(
                str(model),
                head=any(task.needs_head for task in chosen),
                dtype=dtype or "float32",
                batch_size=batch_size,
                processes=processes or alone(device),
                cache=cache,
                remote_code=remote_code,
                label=name,
            )
        elif device != "auto" or dtype is not None:
            raise InputError("a model in memory keeps its device and its dtype", todo="change them before: model.to(…)")
        else:
            scored = _in_memory(model, tokenizer, name or "model", batch_size, cache)
        with _ready(scored):
            return run_tasks(
                scored,
                chosen,
                folder,
                codes=languages,
                protocol=protocol,
                seeds=seeds,
                limit=limit,
                out=results,
                processes=processes,
            )


def _tasks(tasks: Sequence[str | Task], protocol: str) -> list[Task]:
    """Each task by its name in the protocol, or as it is given."""
    if isinstance(tasks, str):
        raise InputError(f"{tasks!r} is a string, not a list of tasks", where="tasks", todo=f"write [{tasks!r}]")
    named = [task for task in tasks if isinstance(task, str)]
    found = {task.name: task for task in choose(",".join(named), protocol)} if named or not tasks else {}
    return [found[task.strip()] if isinstance(task, str) else complete(task) for task in tasks]


def _in_memory(
    model: PreTrainedModel | Model,
    tokenizer: PreTrainedTokenizerBase | None,
    name: str,
    batch_size: int,
    cache: Path | None,
) -> Model:
    """A transformers model with its tokenizer as one that can be scored; any other object is one, or is refused later."""
    from torch import nn

    if not isinstance(model, nn.Module):
        return model
    if tokenizer is None:
        raise InputError("a model in memory needs its tokenizer", where="evaluate", todo="give tokenizer=")
    return wrap(model, tokenizer, name, batch_size, cache)


@contextmanager
def _process_kept() -> Iterator[None]:
    """Put back what libraries do to the process when they are imported: variables of the environment, filters of warnings."""
    before = dict(os.environ)
    try:
        with warnings.catch_warnings():
            yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)


@contextmanager
def _ready(model: Model) -> Iterator[None]:
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
