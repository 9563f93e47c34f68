"""``hyperofa checkpoint list|verify|reshard|export RUN``: what a run has saved, for people and for other programs."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from hyperofa.base.files import check_output
from hyperofa.errors import EXIT_FAILED, EXIT_OK, DataMissingError, HyperofaError, InputError
from hyperofa.train.checkpoint import manifest as checkpoint
from hyperofa.train.checkpoint.final import FINAL, FINAL_MARKER
from hyperofa.train.checkpoint.fingerprint import is_still
from hyperofa.train.checkpoint.rundir import CONFIG_FILE, RUN_FILE, read_run_id
from hyperofa_eval.base.files import read_json
from hyperofa_eval.base.hub import is_hub_id
from hyperofa_eval.settings.commands import Command
from hyperofa_eval.settings.evaluation import NumberFormat
from hyperofa_eval.settings.fields import Settings, place, setting, shown

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from hyperofa.train.config import TrainConfig

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Run(Settings):
    """A run directory."""

    run: Path = place(help="run directory", positional=True, metavar="RUN")


@dataclass(frozen=True, kw_only=True)
class List(Run):
    """The options of ``hyperofa checkpoint list``."""

    json: bool = shown(False, "print JSON")


@dataclass(frozen=True, kw_only=True)
class Verify(List):
    """The options of ``hyperofa checkpoint verify``."""

    step: int | None = setting(None, "the checkpoint of this step (default: all)")


@dataclass(frozen=True, kw_only=True)
class Reshard(Run):
    """The options of ``hyperofa checkpoint reshard``."""

    step: int | None = setting(None, "the checkpoint of this step (default: the newest)")


@dataclass(frozen=True, kw_only=True)
class Export(Run):
    """The options of ``hyperofa checkpoint export``."""

    step: int | None = setting(None, "the checkpoint of this step (default: the trained model)")
    out: Path = place(help="new model directory", metavar="DIR")
    dense: bool = setting(False, "multiply factorised embeddings out, for plain transformers")
    dtype: NumberFormat = setting("float32", "number format of the weights")


def _check_run(run: Path) -> None:
    if not (run / CONFIG_FILE).is_file():
        raise DataMissingError(f"not a run directory (no {CONFIG_FILE})", where=run)


def _list(options: List) -> int:
    from hyperofa_eval.base.console import print_json, table

    _check_run(options.run)
    rows = [checkpoint.describe(folder) for folder in checkpoint.committed(options.run)]
    if options.json:
        print_json(rows)
        return EXIT_OK
    columns = ["checkpoint", "step", "ZeRO", "ranks", "precision", "files", "MB"]
    names = ["folder", "step", "zero_stage", "world_size", "precision", "n_files"]
    cells = [[*(row.get(name, "?") for name in names), row.get("bytes", 0) / 1e6] for row in rows]
    table(str(options.run), columns, cells)
    for row in rows:
        if row["problem"]:
            log.warning("%s cannot be used: %s", row["folder"], row["problem"])
    return EXIT_OK


def _verify(options: Verify) -> int:
    from hyperofa_eval.base.console import print_json, table, track

    _check_run(options.run)
    run_id = read_run_id(options.run)
    everything = options.step is None
    folders = checkpoint.committed(options.run) if everything else [checkpoint.select_folder(options.run, options.step)]
    problems = {folder.name: checkpoint.verify(folder, run_id) for folder in track(folders, "verifying")}
    for folder in checkpoint.uncommitted(options.run) if everything else ():
        problems[folder.name] = f"no {checkpoint.MANIFEST}"
    if options.json:
        print_json([{"folder": name, "problem": problem} for name, problem in problems.items()])
    else:
        table(
            str(options.run), ["checkpoint", "state"], [[name, problem or "ok"] for name, problem in problems.items()]
        )
    return EXIT_FAILED if any(problems.values()) else EXIT_OK


def _reshard(options: Reshard) -> int:
    from hyperofa_eval.base.console import console

    _check_run(options.run)
    folder = checkpoint.select_folder(options.run, options.step)
    manifest = _verified(options.run, folder)
    if manifest.universal:
        console.print(f"{folder.name} can be loaded by any number of processes already")
        return EXIT_OK
    from hyperofa.train.checkpoint.lock import RunLock
    from hyperofa.train.checkpoint.saving import write_universal

    with RunLock(options.run):  # a run in training would prune what is read here
        write_universal(folder, manifest)
    console.print(f"{folder.name} can now be loaded by any number of processes and any ZeRO stage")
    return EXIT_OK


def _export(options: Export) -> int:
    _check_run(options.run)
    check_output(options.out, FINAL_MARKER)
    final = options.run / FINAL
    trained = (final / FINAL_MARKER).is_file()
    if options.step is None and not trained:
        steps = [checkpoint.step_of(folder) for folder in checkpoint.committed(options.run)]
        raise InputError("the run has no trained model yet", where=options.run, todo=f"name --step, one of {steps}")
    from hyperofa.model import export_dense, load_for_training
    from hyperofa.train.checkpoint.final import write_final
    from hyperofa.train.config import TrainConfig
    from hyperofa.train.loading import choose_what_learns
    from hyperofa_eval.base.console import console
    from hyperofa_eval.settings.config import load_config

    config = load_config(TrainConfig, options.run / CONFIG_FILE)
    run_id = read_run_id(options.run)
    step = int(read_json(final / FINAL_MARKER).get("step", config.steps)) if options.step is None else options.step
    folder = _float32_source(options, step)
    source = str(final)
    if folder is not None:
        try:
            source = _origin(config, final, trained=trained)
        except DataMissingError as error:
            if options.step is not None or not trained:
                raise
            log.warning("%s; exporting the trained model in the run's precision instead", error)
            folder = None
    wrapped = load_for_training(source)
    model: PreTrainedModel = wrapped.pretrained
    if folder is not None:
        choose_what_learns(config, wrapped)
        _take_weights(model, folder, _verified(options.run, folder))
        if wrapped.adapter is not None:
            wrapped.adapter.remove(model)
    if options.dense:
        model = export_dense(model)
    _convert(model, options.dtype)
    facts = {"exported_from_step": step, "dense": options.dense, "dtype": options.dtype}
    save_model = partial(model.save_pretrained, save_original_format=False)
    write_final(options.out, source, run_id, step, save_model, facts, tokenizer_needed=True)
    console.print(f"model of step {step}: {options.out}")
    return EXIT_OK


def _float32_source(options: Export, step: int) -> Path | None:
    """The checkpoint whose float32 weights to export; None where only the trained model in the run's precision is left."""
    if options.step is not None:
        return checkpoint.select_folder(options.run, options.step)
    folder = checkpoint.step_folder(options.run, step)
    if not options.dense or folder not in checkpoint.committed(options.run):
        return None
    problem = checkpoint.verify(folder, read_run_id(options.run))
    if problem is not None:
        log.warning("%s: %s; exporting the trained model in the run's precision instead", folder.name, problem)
    return folder if problem is None else None


def _origin(config: TrainConfig, final: Path, *, trained: bool) -> str:
    """Where the parameters that never learned and the tokenizer are: the run's first model, or else its trained one."""
    exists = Path(config.model).is_dir() or (is_hub_id(config.model) and not trained)
    if exists and is_still(final.with_name(RUN_FILE), config.model):
        return config.model
    if trained and not config.adapter.rank:  # whose trained model holds the body with the last adapters in it
        return str(final)
    state = "has changed" if exists else "is not there"
    instead = "adapters fit no other" if config.adapter.rank else "the run has no trained model to take its place"
    what = f"the model that the run began with {state}, and {instead}"
    raise DataMissingError(what, where=config.model, todo="put it back, or finish the run")


def _take_weights(model: PreTrainedModel, folder: Path, manifest: checkpoint.Manifest) -> None:
    """Copy the float32 weights of a verified checkpoint into a model, each by its name."""
    import torch

    from hyperofa.train.checkpoint.saving import open_unsharded
    from hyperofa_eval.base.console import track

    state = open_unsharded(folder, manifest)
    parameters = dict(model.named_parameters())
    for name in track(state.names, "reading", len(state.names)):
        parameter = parameters.get(name.removeprefix("pretrained."))
        value = state.read(name, "fp32")
        if parameter is None or parameter.numel() != value.numel():
            raise HyperofaError(f"{name} is not a parameter of the run's model", where=folder)
        with torch.no_grad():
            parameter.copy_(value.view(parameter.shape))


def _convert(model: PreTrainedModel, dtype: str) -> None:
    """Round the weights to a number format; what is computed anew at each load, such as rotary frequencies, is not saved.

    Raises:
        HyperofaError: a weight has no finite number there.
    """
    import torch

    number_format = getattr(torch, dtype)
    if model.dtype == number_format:
        return
    for name, parameter in model.named_parameters():
        rounded = parameter.detach().to(number_format)
        if not rounded.isfinite().all() and parameter.isfinite().all():
            raise HyperofaError(f"{name} has weights beyond {dtype}", where="--dtype", todo="take bfloat16 or float32")
        parameter.data = rounded


def _verified(run: Path, folder: Path) -> checkpoint.Manifest:
    problem = checkpoint.verify(folder, read_run_id(run))
    if problem is not None:
        raise HyperofaError(problem, where=folder, todo="use another --step; hyperofa checkpoint verify shows all")
    return checkpoint.read_manifest(folder)


ACTIONS = {
    "list": Command(List, _list, "list the committed checkpoints of a run"),
    "verify": Command(Verify, _verify, "compare every file with its SHA-256"),
    "reshard": Command(
        Reshard, _reshard, "write a checkpoint anew so that any number of processes and any ZeRO stage can load it"
    ),
    "export": Command(Export, _export, "write a model directory from the trained model or from a checkpoint"),
}
