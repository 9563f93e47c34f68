"""``hyperofa train CONFIG.yaml [MORE.yaml …] [key=value …]``; each process of ``accelerate launch`` runs it too."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hyperofa.errors import EXIT_OK, HyperofaError
from hyperofa.train.config import TrainConfig
from hyperofa_eval.settings.commandline import launched_rank
from hyperofa_eval.settings.commands import Command
from hyperofa_eval.settings.config import build_config, override, read_yaml
from hyperofa_eval.settings.fields import Settings, place

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ConfigFile(Settings):
    """A training config on the command line."""

    config: Path = place(help="YAML file with the settings of a training run (docs/settings.md)", positional=True)
    overrides: tuple[str, ...] = place(
        (), "settings that replace the file's, or further YAML files of such", positional=True, metavar="key=value"
    )

    def load(self) -> TrainConfig:
        """The settings of the run.

        Raises:
            InputError: see :func:`hyperofa_eval.settings.config.load_config`; what a further file says replaces what those
                before it say, and ``key=value`` words replace what any file says.
        """
        yaml = [word for word in self.overrides if Path(word).suffix in {".yaml", ".yml"}]
        files = [word for word in yaml if "=" not in word or Path(word).is_file()]
        values = {key: value for file in (self.config, *map(Path, files)) for key, value in read_yaml(file).items()}
        words = [word for word in self.overrides if word not in files]
        return build_config(TrainConfig, override(values, words), self.config)


def run(options: ConfigFile) -> int:
    """Check everything cheap, then train in this process; exit codes 0, 1, 2, 3, or 143 after a clean stop."""
    from hyperofa.train.checkpoint.rundir import check_inputs, finished, refuse_other_model
    from hyperofa.train.engine.dsconfig import deepspeed_config, world_size_of_launch
    from hyperofa.train.evaluation import check_evaluation
    from hyperofa.train.signals import StopRequest

    config, ranks = options.load(), world_size_of_launch()
    config.accumulation(ranks)
    check_inputs(config)
    check_evaluation(config)
    deepspeed_config(config, ranks, cuda=False)
    if find_spec("deepspeed") is None:
        raise HyperofaError("DeepSpeed is not installed", todo="pip install 'hyperofa[train]'")
    if config.adapter.rank and find_spec("peft") is None:
        raise HyperofaError("adapters need peft, which is not installed", todo="pip install 'hyperofa[train]'")
    if finished(config):
        if launched_rank() == 0:
            refuse_other_model(config)
        log.info("%s is already trained to step %d", config.run, config.steps)
        return EXIT_OK
    stop = StopRequest()
    stop.install()
    from hyperofa.train.loop import train

    return train(config, stop)


def run_worker(options: Any) -> int:
    """:func:`run` in one of several processes: a failure that all ranks meet alike is said by rank 0 alone."""
    if launched_rank() != 0:
        logging.getLogger("hyperofa").setLevel(logging.ERROR)
    return run(options)


COMMAND = Command(ConfigFile, run)
