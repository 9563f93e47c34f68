"""``hyperofa steps CONFIG.yaml --like OTHER.yaml``: the steps of a run that reads or costs as much as another."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hyperofa.commands.train import ConfigFile
from hyperofa_eval.settings.commands import Command
from hyperofa_eval.settings.fields import place, setting

MARKER = "steps.json"
SETTINGS = "steps.yaml"
"""The settings of the run, below the output directory: ``hyperofa train CONFIG.yaml OUT/steps.yaml``."""


@dataclass(frozen=True, kw_only=True)
class StepsOptions(ConfigFile):
    """The options of ``hyperofa steps``."""

    like: Path = place(help="YAML file of the run that it is to be like")
    like_overrides: tuple[str, ...] = place(
        (), "a setting that replaces that file's", flag="--like-set", append=True, metavar="KEY=VALUE"
    )
    equal: Literal["text", "compute"] = setting(
        "text", "what both have as much of: characters read in languages that are not replayed, or operations"
    )
    out: Path = place(help="output directory: steps.yaml, settings for hyperofa train, and steps.json")


def run(options: StepsOptions) -> None:
    """Write the settings; nothing is loaded but configs and the descriptions of both corpora."""
    import yaml

    from hyperofa.base.files import check_output, new_directory
    from hyperofa.train.config import TrainConfig
    from hyperofa.train.planning.equal import equal_settings
    from hyperofa_eval.base.console import output
    from hyperofa_eval.base.files import write_json, write_text
    from hyperofa_eval.settings.config import load_config

    check_output(options.out, MARKER)
    own, like = options.load(), load_config(TrainConfig, options.like, options.like_overrides)
    settings, record = equal_settings(own, like, options.equal)
    with new_directory(options.out, MARKER) as folder:
        write_text(folder / SETTINGS, yaml.safe_dump(settings, sort_keys=False))
        write_json(folder / MARKER, record)
    what = "characters of what is learned" if options.equal == "text" else "operations"
    output.print(f"{settings['steps']:,} steps have as many {what} as {like.steps:,} of {options.like}", markup=False)


COMMAND = Command(StepsOptions, run)
