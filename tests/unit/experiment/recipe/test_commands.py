"""What a recipe says of commands: as words that they read back, and as the files that they read."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from support.plans import SHIPPED

from hyperofa.errors import InputError
from hyperofa.experiment.recipe.commands import INIT, RUN, check_settings, command_words, options_of, with_places
from hyperofa.experiment.recipe.resolve import Replacements, find_recipe, load_recipe
from hyperofa.experiment.workflow.graph import Plan
from hyperofa_eval.settings.arguments import add_arguments, from_arguments


@pytest.mark.parametrize(
    ("command", "settings", "read"),
    [
        (INIT, {"parallel": ["mine", "other/more"]}, ["mine", "other/more"]),
        (INIT, {"text": {"swh": ["other/more"], "lij": ["absent.txt"]}}, ["other/more", "absent.txt"]),
        (INIT, {"options": {"file": "other/more"}, "method": "mine"}, ["other/more"]),
        (RUN, {"cache": "other/more", "extensions": ["own.py"]}, ["own.py"]),
        (INIT, {"parallel": ["${out}/x"]}, ["OUT/x"]),
    ],
)
def test_what_settings_read_decides_a_stage(
    command: str, settings: dict[str, Any], read: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "other" / "more").mkdir(parents=True)
    assert with_places(command, settings, {"out": Path("OUT")})[1] == tuple(map(Path, read))


@pytest.mark.parametrize("name", SHIPPED)
def test_the_words_of_every_stage_are_read_back(name: str, tmp_path: Path) -> None:
    plan = Plan(load_recipe(find_recipe(name), Replacements(), lenient=True), tmp_path)
    stages = [stage for stage in plan.stages() if stage.command[0].startswith("hyperofa")]
    assert len(stages) > 5
    for file in {
        path for stage in stages for path in stage.inputs if path.suffix == ".txt"
    }:  # which the words' reader wants
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()

    def read(command: str, words: Sequence[str]) -> tuple[Any, set[str]]:
        parser = argparse.ArgumentParser(exit_on_error=False)
        add_arguments(parser, options_of(command))
        given = vars(parser.parse_args(words[len(command.split()) :]))
        return from_arguments(options_of(command), given), set(given)

    for stage in stages:
        command = " ".join(stage.command[: 3 if stage.command[1] in {"vectors", "tokenizer", "corpus", "data"} else 2])
        options, given = read(command, stage.command)
        again = command_words(command, {name: getattr(options, name) for name in given})
        assert read(command, again) == (options, given)


def test_a_setting_that_is_null_is_none_on_the_command_line() -> None:
    words = command_words("hyperofa vectors import", {"file": "v.txt", "out": "o", "separator": None, "format": None})
    assert words == ("hyperofa", "vectors", "import", "v.txt", "--out", "o", "--separator", "none")


@pytest.mark.parametrize(
    ("command", "values", "line"),
    [
        (INIT, {"rank": 8}, "r: rank is what the experiment itself sets; leave it out"),
        (INIT, {"out": "x"}, "r: out is what the experiment itself sets; leave it out"),
        (INIT, {"scale_splt": 1}, "r: unknown config key 'scale_splt'; did you mean 'scale_split'?"),
        (RUN, {"limit": "many"}, "r: limit: "),
    ],
)
def test_settings_that_cannot_be_are_refused(command: str, values: dict[str, Any], line: str) -> None:
    with pytest.raises(InputError) as caught:
        check_settings(command, values, "r", ("rank",))
    assert str(caught.value).startswith(line)
