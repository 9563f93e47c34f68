"""``hyperofa checkpoint list|verify|reshard|export RUN``: what a run has saved, for people and for other programs."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hyperofa.base.files import check_output
from hyperofa.errors import EXIT_FAILED, EXIT_OK, DataMissingError, HyperofaError, InputError
from hyperofa.train.checkpoint import manifest as checkpoint
from hyperofa.train.checkpoint.final import FINAL, FINAL_MARKER
from hyperofa.train.checkpoint.fingerprint import is_still
from hyperofa.train.checkpoint.rundir import CONFIG_FILE, RUN_FILE, read_run_id
from hyperofa_eval.base.console import console, print_json, table, track
from hyperofa_eval.base.files import read_json
from hyperofa_eval.base.hub import is_hub_id

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from hyperofa.train.config import TrainConfig

log = logging.getLogger(__name__)

ACTIONS = {
    "list": "the committed checkpoints of a run",
    "verify": "compare every file with its SHA-256",
    "reshard": "write a checkpoint anew so that any number of processes and any ZeRO stage can load it",
    "export": "write a model directory from the trained model or from a checkpoint",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the four actions."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="|".join(ACTIONS))
    for name, summary in ACTIONS.items():
        action = actions.add_parser(name, help=summary, description=summary)
        action.add_argument("run", type=Path, help="run directory")
        if name != "list":
            which = "all" if name == "verify" else "the newest"
            which = "the trained model" if name == "export" else which
            action.add_argument("--step", type=int, help=f"the checkpoint of this step (default: {which})")
        if name in {"list", "verify"}:
            action.add_argument("--json", action="store_true", help="print JSON")
        if name == "export":
            action.add_argument("--out", type=Path, required=True, help="new model directory")
            action.add_argument(
                "--dense", action="store_true", help="multiply factorised embeddings out, for plain transformers"
            )


def run(args: argparse.Namespace) -> int:
    """Run one action; verify ends with 1 if a checkpoint is damaged."""
    if not (args.run / CONFIG_FILE).is_file():
        raise DataMissingError(f"not a run directory (no {CONFIG_FILE})", where=args.run)
    actions = {"list": _list, "verify": _verify, "reshard": _reshard, "export": _export}
    return actions[args.action](args)


def _list(args: argparse.Namespace) -> int:
    rows = [checkpoint.describe(folder) for folder in checkpoint.committed(args.run)]
    if args.json:
        print_json(rows)
        return EXIT_OK
    columns = ["checkpoint", "step", "ZeRO", "ranks", "precision", "files", "MB"]
    names = ["folder", "step", "zero_stage", "world_size", "precision", "n_files"]
    found = [[*(row.get(name, "?") for name in names), row.get("bytes", 0) / 1e6] for row in rows]
    table(str(args.run), columns, found)
    for row in rows:
        if row["problem"]:
            log.warning("%s cannot be used: %s", row["folder"], row["problem"])
    return EXIT_OK


def _verify(args: argparse.Namespace) -> int:
    run_id = read_run_id(args.run)
    folders = checkpoint.committed(args.run) if args.step is None else [checkpoint.select_folder(args.run, args.step)]
    found = {folder.name: checkpoint.verify(folder, run_id) for folder in track(folders, "verifying")}
    if args.step is None:
        found |= {folder.name: f"no {checkpoint.MANIFEST}" for folder in checkpoint.uncommitted(args.run)}
    if args.json:
        print_json([{"folder": name, "problem": problem} for name, problem in found.items()])
    else:
        table(str(args.run), ["checkpoint", "state"], [[name, problem or "ok"] for name, problem in found.items()])
    return EXIT_FAILED if any(found.values()) else EXIT_OK


def _reshard(args: argparse.Namespace) -> int:
    folder = checkpoint.select_folder(args.run, args.step)
    manifest = _verified(args.run, folder)
    if manifest.universal:
        console.print(f"{folder.name} can be loaded by any number of processes already")
        return EXIT_OK
    from hyperofa.train.checkpoint.lock import RunLock
    from hyperofa.train.checkpoint.saving import write_universal

    with RunLock(args.run):  # a run in training would prune what is read here
        write_universal(folder, manifest)
    console.print(f"{folder.name} can now be loaded by any number of processes and any ZeRO stage")
    return EXIT_OK


def _export(args: argparse.Namespace) -> int:
    check_output(args.out, FINAL_MARKER)
    final = args.run / FINAL
    trained = (final / FINAL_MARKER).is_file()
    if args.step is None and not trained:
        steps = [checkpoint.step_of(folder) for folder in checkpoint.committed(args.run)]
        raise InputError("the run has no trained model yet", where=args.run, todo=f"name --step, one of {steps}")
    from hyperofa.model import export_dense, load_for_training
    from hyperofa.train.checkpoint.final import write_final
    from hyperofa.train.config import TrainConfig
    from hyperofa_eval.settings.config import load_config

    config = load_config(TrainConfig, args.run / CONFIG_FILE)
    run_id = read_run_id(args.run)
    step = int(read_json(final / FINAL_MARKER).get("step", config.steps)) if args.step is None else args.step
    folder = _float32_source(args, step)
    source = str(final) if folder is None else _origin(config, final, trained=trained)
    model: PreTrainedModel = load_for_training(source).pretrained
    if folder is not None:
        _take_weights(model, folder, _verified(args.run, folder))
    if args.dense:
        model = export_dense(model)
    facts: dict[str, Any] = {"exported_from_step": step, "dense": args.dense}

    def save_model(out: Path) -> None:
        model.save_pretrained(out, save_original_format=False)

    write_final(args.out, source, run_id, step, save_model, facts, tokenizer_needed=True)
    console.print(f"model of step {step}: {args.out}")
    return EXIT_OK


def _float32_source(args: argparse.Namespace, step: int) -> Path | None:
    """The checkpoint whose float32 weights to export; None where only the trained model in the run's precision is left."""
    if args.step is not None:
        return checkpoint.select_folder(args.run, args.step)
    folder = checkpoint.step_folder(args.run, step)
    if not args.dense or folder not in checkpoint.committed(args.run):
        return None
    problem = checkpoint.verify(folder, read_run_id(args.run))
    if problem is not None:
        log.warning("%s: %s; exporting the trained model in the run's precision instead", folder.name, problem)
    return folder if problem is None else None


def _origin(config: TrainConfig, final: Path, *, trained: bool) -> str:
    """Where the parameters that never learned and the tokenizer are: the run's first model, or else its trained one."""
    there = Path(config.model).is_dir() or (is_hub_id(config.model) and not trained)
    if there and is_still(final.with_name(RUN_FILE), config.model):
        return config.model
    if trained:
        return str(final)
    state = "has changed" if there else "is not there"
    what = f"the model that the run began with {state}, and the run has no trained model to take its place"
    raise DataMissingError(what, where=config.model, todo="put it back, or finish the run")


def _take_weights(model: PreTrainedModel, folder: Path, manifest: checkpoint.Manifest) -> None:
    """Copy the float32 weights of a verified checkpoint into a model, each by its name."""
    import torch

    from hyperofa.train.checkpoint.saving import open_unsharded

    state = open_unsharded(folder, manifest)
    parameters = dict(model.named_parameters())
    for name in track(state.names, "reading", len(state.names)):
        parameter = parameters.get(name.removeprefix("pretrained."))
        value = state.read(name, "fp32")
        if parameter is None or parameter.numel() != value.numel():
            raise HyperofaError(f"{name} is not a parameter of the run's model", where=folder)
        with torch.no_grad():
            parameter.copy_(value.view(parameter.shape))


def _verified(run: Path, folder: Path) -> checkpoint.Manifest:
    problem = checkpoint.verify(folder, read_run_id(run))
    if problem is not None:
        raise HyperofaError(problem, where=folder, todo="use another --step; hyperofa checkpoint verify shows all")
    return checkpoint.read_manifest(folder)
