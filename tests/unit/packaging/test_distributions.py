"""What the two distributions hold and declare: every file of the packages, every import, one version."""

from __future__ import annotations

import ast
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import hyperofa

from .conftest import ROOT, Built

PLACES = {
    "hyperofa": {
        "hyperofa": "hyperofa",
        "recipes": "hyperofa/_data/recipes",
        "launch": "hyperofa/_data/launch",
        "ds_configs": "hyperofa/_data/ds_configs",
    },
    "hyperofa_eval": {"eval/hyperofa_eval": "hyperofa_eval"},
}
PROJECTS = {"hyperofa": ROOT / "pyproject.toml", "hyperofa_eval": ROOT / "eval" / "pyproject.toml"}
PACKAGES = {"hyperofa": ROOT / "hyperofa", "hyperofa_eval": ROOT / "eval" / "hyperofa_eval"}
GUARDED = {"hyperofa": {"deepspeed", "peft"}, "hyperofa_eval": {"hyperofa"}}
"""Imported where they are installed, and said where they are not."""

FOR_TRANSFORMERS = {"sentencepiece", "protobuf"}
"""Imported by transformers, where a tokenizer has only a SentencePiece file."""


def project(name: str) -> dict:
    return dict(tomllib.loads(PROJECTS[name].read_text(encoding="utf-8"))["project"])


def expected(name: str) -> set[str]:
    """The files of a distribution's packages as its wheel has to name them."""
    found = set()
    for folder, place in PLACES[name].items():
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith("."):
                found.add(f"{place}/{path.relative_to(ROOT / folder).as_posix()}")
    return found


def members(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as packed:
        return set(packed.namelist())


@pytest.mark.xdist_group("packaging")
@pytest.mark.parametrize("name", sorted(PLACES))
def test_a_wheel_holds_every_file_and_one_from_the_sdist_the_same(built: Built, name: str) -> None:
    direct, again = (
        next(members(wheel) for wheel in wheels if wheel.name.startswith(f"{name}-"))
        for wheels in (built.wheels, built.from_sdists)
    )
    assert {member for member in direct if ".dist-info/" not in member} == expected(name)
    assert any(member.endswith("dist-info/licenses/LICENSE") for member in direct)
    assert again == direct


@pytest.mark.xdist_group("packaging")
def test_a_release_is_four_files_and_the_text_of_a_tag(built: Built) -> None:
    version = hyperofa.__version__
    names = [f"{name}-{version}{end}" for name in PLACES for end in ("-py3-none-any.whl", ".tar.gz")]
    folder = built.wheels[0].parent
    assert sorted(path.name for path in folder.iterdir()) == sorted([*names, f"v{version}.txt"])
    assert (folder / f"v{version}.txt").read_text(encoding="utf-8").startswith(f"HyperOFA {version}, 20")
    assert all(str(folder / name) in built.printed for name in names)
    assert f"git tag --annotate v{version} --file {folder / f'v{version}.txt'}" in built.printed


def test_both_distributions_have_one_licence() -> None:
    assert (ROOT / "eval" / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


def imported(package: Path) -> set[str]:
    """The top-level names that the modules of a package import, wherever they do."""
    found = set()
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                found.add(node.module.partition(".")[0])
    return found - set(sys.stdlib_module_names)


def test_every_import_is_a_declared_dependency() -> None:
    owners = metadata.packages_distributions() | {"hyperofa_eval": ["hyperofa-eval"]}
    for name, package in PACKAGES.items():
        declared = {canonicalize_name(Requirement(line).name) for line in project(name)["dependencies"]}
        needed = {
            module: {canonicalize_name(owner) for owner in owners.get(module, [module])}
            for module in imported(package) - GUARDED[name] - {name}
        }
        assert {module for module, owner in needed.items() if not owner & declared} == set(), name
        assert declared - FOR_TRANSFORMERS <= set().union(*needed.values()), (
            f"{name} declares a dependency that nothing imports"
        )
