"""What makes a model directory one of sentence-transformers: its modules and settings, carried to what is made of it."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

from hyperofa.base.files import inside
from hyperofa.base.hub import local_folder
from hyperofa.errors import InputError
from hyperofa_eval.base.files import read_json

MODULES = "modules.json"
SETTINGS = ("config_sentence_transformers.json", "sentence_*_config.json")
"""Settings at the top of such a directory: of the whole, and of its transformer (``max_seq_length``, ``do_lower_case``)."""
OF_THE_VOCABULARY = frozenset(
    [
        "BoW",
        "IDF",
        "MLMTransformer",
        "SparseStaticEmbedding",
        "SpladePooling",
        "StaticEmbedding",
        "WordEmbeddings",
        "WordWeights",
    ]
)
"""Modules that have an entry for each token: another vocabulary's are of no use."""

log = logging.getLogger(__name__)


def check_sentence_modules(source: str) -> None:
    """Read the list of modules before any work, where there is one.

    Raises:
        InputError: ``modules.json`` is damaged, or names a folder outside its own.
        DataMissingError: the source is a hub id that can not be reached.
    """
    folder = local_folder(source, [MODULES])
    if (folder / MODULES).is_file():
        _read_modules(folder)


def carry_sentence_modules(source: str, out: Path) -> None:
    """Copy the modules and settings of a sentence-transformers model (a directory, or a hub id) into ``out``.

    ``SentenceTransformer(out)`` then pools, projects and cuts as the source did. The modules' weights are copied, whatever
    their format, and never read. Nothing is done for another kind of model, and where it cannot be, a warning says why.

    Raises:
        InputError: ``modules.json`` is damaged, or names a folder outside its own.
        DataMissingError: the source is a hub id that can not be reached.
    """
    folder = local_folder(source, [MODULES, *SETTINGS])
    if not (folder / MODULES).is_file():
        return
    modules = _read_modules(folder)
    if problem := _unfit(modules):
        log.warning("%s: what sentence-transformers adds to a model is not carried over: %s", source, problem)
        return
    paths = [path for _, path in modules if path]
    if paths:
        folder = local_folder(source, [MODULES, *SETTINGS, *(f"{path}/*" for path in paths)])
    for path in paths:
        target = inside(out, path)
        target.mkdir(parents=True, exist_ok=True)  # a module without files, such as Normalize, has an empty folder
        if (folder / path).is_dir():
            shutil.copytree(folder / path, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".*"))
    for file in [folder / MODULES, *(file for pattern in SETTINGS for file in sorted(folder.glob(pattern)))]:
        shutil.copyfile(file, out / file.name)


def _read_modules(folder: Path) -> list[tuple[str, str]]:
    """The class and the folder of each module, in their order; the transformer's own folder is ``""``."""
    value = read_json(folder / MODULES)
    if not isinstance(value, list):
        raise InputError("not a list of modules", where=folder / MODULES)
    return [_read_module(folder, entry) for entry in value]


def _read_module(folder: Path, entry: Any) -> tuple[str, str]:
    kind, path = (entry.get(key) if isinstance(entry, dict) else None for key in ("type", "path"))
    if not isinstance(kind, str) or not isinstance(path, str):
        raise InputError("a module without a type and a path", where=folder / MODULES)
    place = inside(folder, path).relative_to(folder)
    return kind.rpartition(".")[2], "" if place == Path() else place.as_posix()


def _unfit(modules: list[tuple[str, str]]) -> str | None:
    """Why the modules cannot follow the transformer to another vocabulary, in a few words."""
    bound = [kind for kind, _ in modules if kind in OF_THE_VOCABULARY]
    if bound:
        return f"its module {bound[0]} belongs to the old vocabulary"
    return None if modules and modules[0][1] == "" else "its transformer is not at the top of the directory"
