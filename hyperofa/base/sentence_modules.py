"""What makes a model directory one of sentence-transformers: its modules and settings, carried to what is made of it."""

from __future__ import annotations

import logging
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

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

Pooling = Literal["mean", "cls"]
"""How the states of a text become a vector: their mean, specials included, or the first one."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SentenceForm:
    """How a model makes a sentence's vector of its last states, as far as modules with weights of their own."""

    pooling: Pooling = "mean"
    normalised: bool = False
    """Scaled to length 1."""
    max_length: int | None = None
    """Tokens kept of a text; None where nothing is said."""


def for_sentences(model: str) -> bool:
    """Whether a model (a directory or hub id) is one of sentence-transformers.

    Raises:
        DataMissingError: the model is a hub id that can not be reached.
    """
    return (local_folder(model, [MODULES]) / MODULES).is_file()


def sentence_form(model: str) -> SentenceForm | None:
    """What sentence-transformers' files say of a model (a directory or hub id); None where there are none.

    Raises:
        InputError: they are damaged, or pool in a way that is not among :data:`Pooling`.
        DataMissingError: the model is a hub id that can not be reached.
    """
    folder = local_folder(model, [MODULES, *SETTINGS])
    if not (folder / MODULES).is_file():
        return None
    modules = _read_modules(folder)
    kinds = [kind for kind, _ in modules]
    place = kinds.index("Pooling") if "Pooling" in kinds else 0
    pooling: Pooling = "mean"
    if place:
        name = f"{modules[place][1]}/config.json"
        pooling = _read_pooling(local_folder(model, [MODULES, name]) / name)
    settings = _read_settings(model, folder)
    lengths = [value["max_seq_length"] for value in settings if "max_seq_length" in value]
    length = next((length for length in lengths if isinstance(length, int) and length > 0), None)
    return SentenceForm(pooling, kinds[place + 1 : place + 2] == ["Normalize"], length)


def _read_pooling(path: Path) -> Pooling:
    """The one mode of a module's config: ``pooling_mode``, or before that a truth value for each."""
    value = read_json(path) if path.is_file() else None
    if not isinstance(value, dict):
        raise InputError("no settings of the pooling", where=path)
    if value.get("include_prompt") is False:
        log.warning("%s: include_prompt is false, but vectors here hold the prompt's states where there is one", path)
    modes = [key for key, on in value.items() if key.startswith("pooling_mode_") and on is True]
    if isinstance(value.get("pooling_mode"), str):
        modes = [value["pooling_mode"]]
    names = [mode.removeprefix("pooling_mode_").removesuffix("_tokens").removesuffix("_token") for mode in modes]
    for known in get_args(Pooling):
        if names == [known]:
            return known
    what = (
        f"vectors are pooled by {' and '.join(names) or 'nothing'}, and only {' or '.join(get_args(Pooling))} is known"
    )
    raise InputError(what, where=path)


def _read_settings(model: str, folder: Path) -> list[dict[str, Any]]:
    """The settings of the transformer of ``model``; a warning says where texts should be lower-cased."""
    values = [read_json(file) for file in sorted(folder.glob(SETTINGS[1]))]
    settings = [value for value in values if isinstance(value, dict)]
    if any(value.get("do_lower_case") is True for value in settings):
        what = "%s: sentence-transformers lower-cases texts for it (do_lower_case); hyperofa does not: give lower case"
        log.warning(what, model)
    return settings


def check_sentence_modules(source: str) -> None:
    """Read the list of modules before any work, where there is one; warn where texts should be lower-cased.

    Raises:
        InputError: ``modules.json`` is damaged, or names a folder outside its own.
        DataMissingError: the source is a hub id that can not be reached.
    """
    folder = local_folder(source, [MODULES, *SETTINGS])
    if (folder / MODULES).is_file():
        _read_modules(folder)
        _read_settings(source, folder)


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
