"""The two distributions built by the release command, and environments in which only their wheels are installed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from support.made_up import sentences, spelled, write_source
from support.tiny_experiment import write, write_data

from tools import release

ROOT = Path(__file__).parents[3]
CHECKS = Path(__file__).with_name("checks.py")
SOURCES = ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff")
FOLDERS = ("hyperofa", "eval", "recipes", "launch", "ds_configs")
MADE = shutil.ignore_patterns("__pycache__", "*.egg-info", "build", "dist", ".*")
FROM_SDISTS = """
import os, pathlib, sys, tarfile
from setuptools import build_meta
out, *archives = map(pathlib.Path, sys.argv[1:])  # a build replaces sys.argv
for archive in archives:
    with tarfile.open(archive) as packed:
        packed.extractall(out / "unpacked", filter="data")
    os.chdir(out / "unpacked" / archive.name.removesuffix(".tar.gz"))
    build_meta.build_wheel(str(out))
"""
"""What pip does with sdists, for both in one process."""


@dataclass(frozen=True)
class Built:
    """Wheels of both distributions: those of a release, and made from its sdists; and what the release printed."""

    wheels: list[Path]
    from_sdists: list[Path]
    printed: str


def pip(*words: object) -> None:
    """Run pip without a package index."""
    run([sys.executable, "-m", "pip", *words, "--quiet", "--no-index", "--no-deps"])


def run(words: Sequence[object], **options: object) -> None:
    """Run a command; a failure shows what it printed."""
    done = subprocess.run([*map(str, words)], capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="session")
def source_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the distributions are made of, as a git checkout of its own, without caches and earlier builds."""
    copy = tmp_path_factory.mktemp("source")
    for name in FOLDERS:
        shutil.copytree(ROOT / name, copy / name, ignore=MADE)
    for name in SOURCES:
        shutil.copy(ROOT / name, copy)
    identity = ("-c", "user.name=tests", "-c", "user.email=tests@localhost")
    for words in (("init", "--quiet"), ("add", "--force", "."), (*identity, "commit", "--quiet", "--message", "all")):
        run(["git", *words], cwd=copy)
    return copy


@pytest.fixture(scope="session")
def built(source_tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The release of this version, and the wheels that its sdists give."""
    out = tmp_path_factory.mktemp("built")
    printed = release.release(source_tree, release.current_version(source_tree), out / "dist")
    again = out / "again"
    again.mkdir()
    run([sys.executable, "-c", FROM_SDISTS, again, *sorted((out / "dist").glob("*.tar.gz"))])
    return Built(sorted((out / "dist").glob("*.whl")), sorted(again.glob("*.whl")), printed)


def _declared(distribution: metadata.Distribution, extras: Iterable[str]) -> Iterator[Requirement]:
    for requirement in map(Requirement, distribution.requires or ()):
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            yield requirement


def _dependencies(ours: Sequence[metadata.Distribution]) -> dict[str, metadata.Distribution]:
    """The installed distributions that ours need by what they declare, directly or through others."""
    found: dict[str, metadata.Distribution] = {}
    names = {canonicalize_name(distribution.name) for distribution in ours}
    seen = set()
    waiting = [requirement for distribution in ours for requirement in _declared(distribution, ())]
    direct = {canonicalize_name(requirement.name) for requirement in waiting}
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name in names or (key := (name, frozenset(requirement.extras))) in seen:
            continue
        seen.add(key)
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            assert name not in direct, f"{name} is declared and not installed here"
            continue
        found[name] = distribution
        waiting += _declared(distribution, requirement.extras)
    return found


def _link(distribution: metadata.Distribution, folder: Path) -> None:
    """Make the modules of an installed distribution importable from ``folder``."""
    record = distribution.read_text("RECORD") or ""
    for name in {line.split(",")[0].split("/")[0] for line in record.splitlines()} - {"", "..", "__pycache__"}:
        place = Path(str(distribution.locate_file(name)))
        if place.exists() and not (folder / name).exists():
            (folder / name).symlink_to(place)


def make_environment(folder: Path, wheels: Sequence[Path]) -> Path:
    """An environment with the wheels, and of everything else only what they declare that they need; returns its Python."""
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    pip("--python", python, "install", "--no-compile", *wheels)
    (site,) = folder.glob("lib/python*/site-packages")
    links = folder / "dependencies"
    links.mkdir()
    for distribution in _dependencies(list(metadata.distributions(path=[str(site)]))).values():
        _link(distribution, links)
    (site / "dependencies.pth").write_text(f"{links}\n", encoding="utf-8")
    return python


@pytest.fixture(scope="session")
def installed(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with both wheels and nothing that they do not declare."""
    return make_environment(tmp_path_factory.mktemp("together") / "env", built.wheels)


@pytest.fixture(scope="session")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A tiny model, and made-up text in three languages."""
    folder = tmp_path_factory.mktemp("inputs")
    write_source(folder / "source")
    write_data(folder / "data")
    _write_recipe_data(folder / "data")
    return {"source": str(folder / "source"), "data": str(folder / "data")}


def _write_recipe_data(folder: Path) -> None:
    """The further files that recipes/small.yaml names: news, verses and entities."""
    for language in ("eng", "tur", "swh"):
        lines = [spelled(line, language) for line in sentences()[100:140]]
        write(folder / "ntrex" / f"{language}.txt", lines[:20])
        for part, verses in (("train", lines[20:30]), ("test", lines[30:])):
            rows = [f"v.{number}\t{line}" for number, line in enumerate(verses)]
            write(folder / "bible" / f"{language}.{part}.tsv", rows)
        for part in ("train", "dev", "test"):
            write(folder / "ner" / language / f"{part}.tsv", [f"{spelled('file', language)}\tB-LOC", ""])


def modules(package: Path) -> list[str]:
    """The names of all modules below a package of the source tree, but those that are programs."""
    paths = [path.relative_to(package.parent) for path in package.rglob("*.py") if path.name != "__main__.py"]
    return sorted(".".join(path.with_suffix("").parts).removesuffix(".__init__") for path in paths)


@pytest.fixture(scope="session")
def check(inputs: dict[str, str]) -> Callable[[Path, Path, Sequence[str]], dict[str, str]]:
    """Runs checks of ``checks.py`` in one process of an environment; returns what failed, by check."""

    def run_checks(python: Path, folder: Path, names: Sequence[str]) -> dict[str, str]:
        folder.mkdir(exist_ok=True)
        packages = [ROOT / "hyperofa", ROOT / "eval" / "hyperofa_eval"]
        settings = {**inputs, "checkout": str(ROOT), "modules": {p.name: modules(p) for p in packages}}
        (folder / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
        clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        clean |= {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        run([python, "-I", CHECKS, folder / "settings.json", *names], cwd=folder, env=clean)
        return dict(json.loads((folder / "failed.json").read_text(encoding="utf-8")))

    return run_checks
