"""``hyperofa train CONFIG.yaml [key=value …]``; each process of ``accelerate launch -m hyperofa.train`` runs it too."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hyperofa.errors import HyperofaError
from hyperofa.train.config import TrainConfig
from hyperofa_eval.settings.commands import Command
from hyperofa_eval.settings.config import load_config
from hyperofa_eval.settings.fields import Settings, place


@dataclass(frozen=True, kw_only=True)
class ConfigFile(Settings):
    """A training config on the command line."""

    config: Path = place(help="YAML file with the settings of a training run (docs/settings.md)", positional=True)
    overrides: tuple[str, ...] = place((), "settings that replace the file's", positional=True, metavar="key=value")

    def load(self) -> TrainConfig:
        """The settings of the run.

        Raises:
            InputError: see :func:`hyperofa_eval.settings.config.load_config`.
        """
        return load_config(TrainConfig, self.config, self.overrides)


def run(options: ConfigFile) -> int:
    """Check everything cheap, then train in this process; exit codes 0, 1, 2, 3, or 143 after a clean stop."""
    from hyperofa.train.checkpoint.rundir import check_inputs
    from hyperofa.train.engine.dsconfig import deepspeed_config, world_size_of_launch
    from hyperofa.train.evaluation import check_evaluation

    config = options.load()
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


def run_worker(options: Any) -> int:
    """:func:`run` in one of several processes: a failure that all ranks meet alike is said by rank 0 alone."""
    from hyperofa.train.engine.dsconfig import rank_of_launch

    if rank_of_launch() != 0:
        logging.getLogger("hyperofa").setLevel(logging.ERROR)
    return run(options)


def _check_deepspeed() -> None:
    from importlib.util import find_spec

    if find_spec("deepspeed") is None:
        raise HyperofaError("DeepSpeed is not installed", todo="pip install 'hyperofa[train]'")


COMMAND = Command(ConfigFile, run)
