"""The stages that train: a cell's run, and before it, for a source with its own tokenizer, how many steps it takes."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hyperofa.base.resources import resource
from hyperofa.commands.steps import MARKER, SETTINGS
from hyperofa.experiment.recipe.cells import Cell
from hyperofa.experiment.recipe.commands import command_words
from hyperofa.experiment.recipe.paths import shown
from hyperofa.experiment.recipe.resolve import deciding_settings
from hyperofa.experiment.recipe.schema import Recipe
from hyperofa.experiment.workflow.stage import Stage
from hyperofa_eval.settings.config import read_yaml


def train_stage(
    recipe: Recipe, cell: Cell, called: str, *, model: str, corpus: Path, run: Path, configs: Sequence[Path], test: Path
) -> Stage:
    """The stage that trains a cell.

    Args:
        recipe: the experiment.
        cell: which cell.
        called: the cell in words.
        model: its directory.
        corpus: what it is trained on.
        run: the run directory.
        configs: the settings that cells share, and for a source with its own tokenizer the file of its steps.
        test: the test sets that evaluation in training reads.
    """
    train = recipe.train
    launch = shown(resource(train.launch) if not Path(train.launch).is_file() else Path(train.launch))
    files, settings = [str(file) for file in configs], [f"model={model}", f"corpus={corpus}", f"seed={cell.seed}"]
    overrides = [*settings[:2], f"run={run}", *settings[2:]]
    if launch.suffix == ".sh":
        words, env = ["bash", str(launch), *files, *overrides], {"HYPEROFA_NO_REQUEUE": "1"}
    else:
        words = ["accelerate", "launch", "--config_file", str(launch), "-m", "hyperofa.train", *files, *overrides]
        threads = max(1, _cores() // max(1, int(read_yaml(launch).get("num_processes", 1))))
        env = {"OMP_NUM_THREADS": str(threads)}
    own_script = launch.suffix == ".sh" and not launch.resolve().is_relative_to(resource("launch").resolve())
    on_the_way = (test,) if train.evaluate_every else ()
    ds_config = (Path(train.settings["ds_config"]),) if train.settings.get("ds_config") else ()
    shared, *worked_out = configs
    return Stage(
        f"train-{cell.name}",
        f"Train {called}",
        tuple(words),
        run,
        "final/config.json",
        (Path(model), corpus, *worked_out, *((launch,) if own_script else ())),
        keeps=("final", "metrics.jsonl"),
        env=env,
        cell=cell.name,
        steps=_steps(worked_out[0]) if worked_out else int(train.settings["steps"]),
        metrics=run / "metrics.jsonl",
        stop_at=None if cell.own else train.stop_at_step,
        decides=("hyperofa.train", *settings, json.dumps(deciding_settings(recipe, cell.method))),
        reads=(shared, *(() if own_script else (launch,)), *ds_config, *on_the_way),
    )


def steps_stage(
    recipe: Recipe,
    cell: Cell,
    called: str,
    *,
    like: dict[str, Any],
    own: dict[str, Any],
    configs: Sequence[Path],
    out: Path,
) -> Stage:
    """The stage that works out how long a source with its own tokenizer is trained.

    Args:
        recipe: the experiment.
        cell: that of the source.
        called: the cell in words.
        like: ``model``, ``corpus`` and ``run`` of a cell that it stands beside.
        own: its own.
        configs: the settings of these cells, and its own.
        out: the directory that holds what was worked out.
    """
    like_overrides, own_overrides = ([f"{key}={place}" for key, place in one.items()] for one in (like, own))
    name = f"steps-{out.name}"
    values = {"config": configs[1], "overrides": own_overrides, "like": configs[0], "like_overrides": like_overrides}
    words = command_words("hyperofa steps", {**values, "equal": cell.own, "out": out}, name)
    read = [place for one in (own, like) for place in (Path(one["model"]) / "config.json", Path(one["corpus"]))]
    decides = (*words, *(json.dumps(deciding_settings(recipe, one)) for one in ("", cell.method)))
    title = f"Steps of {called}"
    return Stage(name, title, words, out, MARKER, tuple(read), cell=cell.name, decides=decides, reads=tuple(configs))


def steps_file(folder: Path) -> Path:
    """The settings that :func:`steps_stage` makes."""
    return folder / SETTINGS


def _steps(file: Path) -> int | None:
    """The number of steps that was worked out; None before that."""
    return int(read_yaml(file)["steps"]) if file.is_file() else None


def _cores() -> int:
    """The cores that this process may use, which within a SLURM job are fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
