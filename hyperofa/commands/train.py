"""``hyperofa train CONFIG.yaml [key=value …]``; each process of ``accelerate launch -m hyperofa.train`` runs it too."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from hyperofa.errors import HyperofaError
from hyperofa.train.checkpoint.rundir import check_inputs
from hyperofa.train.config import TrainConfig
from hyperofa.train.engine.dsconfig import deepspeed_config, rank_of_launch, world_size_of_launch
from hyperofa.train.evaluation import check_evaluation
from hyperofa_eval.settings.config import load_config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``hyperofa train``."""
    parser.add_argument("config", type=Path, help="YAML file with the settings of hyperofa.train.config.TrainConfig")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="settings that replace the file's")


def run(args: argparse.Namespace) -> int:
    """Check everything cheap, then train in this process; exit codes 0, 1, 2, 3, or 143 after a clean stop."""
    config = load_config(TrainConfig, args.config, args.overrides)
    config.accumulation(world_size_of_launch())
    check_inputs(config)
    check_evaluation(config)
    deepspeed_config(config, world_size_of_launch(), cuda=False)
    _check_deepspeed()
    from hyperofa.train.loop import train
    from hyperofa.train.signals import StopRequest

    stop = StopRequest()
    stop.install()
    return train(config, stop)


def run_worker(args: argparse.Namespace) -> int:
    """:func:`run` in one of several processes: a failure that all ranks meet alike is said by rank 0 alone."""
    if rank_of_launch() != 0:
        logging.getLogger("hyperofa").setLevel(logging.ERROR)
    return run(args)


def _check_deepspeed() -> None:
    from importlib.util import find_spec

    if find_spec("deepspeed") is None:
        raise HyperofaError("DeepSpeed is not installed", todo="pip install 'hyperofa[train]'")
