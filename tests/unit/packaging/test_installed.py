"""What was installed from the wheels works without the checkout, in an environment that has only what the wheels declare."""

from __future__ import annotations

import os
import subprocess
import venv
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from .conftest import ROOT, Built, make_environment

pytestmark = pytest.mark.xdist_group("packaging")

ALONE = ("only_the_harness", "harness_modules", "harness_list", "harness_run", "no_checkout")
TOGETHER = (
    "cheap_import", "every_help", "every_module", "every_program", "every_recipe", "refined_model", "factorised_scores",
    "no_checkout",
)  # fmt: skip
Check = Callable[[Path, Path, Sequence[str]], dict[str, str]]


@pytest.fixture(scope="module")
def failed_together(installed: Path, check: Check, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return check(installed, tmp_path_factory.mktemp("work"), TOGETHER)


@pytest.fixture(scope="module")
def failed_alone(built: Built, check: Check, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("alone")
    (harness,) = (wheel for wheel in built.wheels if wheel.name.startswith("hyperofa_eval-"))
    return check(make_environment(folder / "env", [harness]), folder / "work", ALONE)


@pytest.mark.parametrize("name", TOGETHER)
def test_installed_wheels_work_without_the_checkout(failed_together: dict[str, str], name: str) -> None:
    assert failed_together.get(name, "") == ""


@pytest.mark.parametrize("name", ALONE)
def test_the_harness_works_without_hyperofa_and_deepspeed(failed_alone: dict[str, str], name: str) -> None:
    assert failed_alone.get(name, "") == ""


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_clean_environment_from_the_index(source_tree: Path, check: Check, tmp_path: Path) -> None:
    venv.create(tmp_path / "env", with_pip=True, symlinks=True)
    python = tmp_path / "env" / "bin" / "python"
    pinned = {"PIP_CONSTRAINT": str(ROOT / "requirements" / "constraints.txt"), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")} | pinned

    def install(*places: Path) -> None:
        words = [python, "-m", "pip", "install", "--quiet", "--use-pep517", *places]
        subprocess.run([*map(str, words)], env=clean, cwd=tmp_path, check=True)

    install(source_tree / "eval")
    assert check(python, tmp_path / "alone", ALONE) == {}
    install(source_tree / "eval", source_tree)
    assert check(python, tmp_path / "together", TOGETHER) == {}
