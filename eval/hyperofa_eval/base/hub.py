"""Whether a model's name is a directory or a hub id: the one rule, for every command of both packages."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import NamedTuple

from hyperofa_eval.base.errors import DataMissingError, first_line

_PART = r"(?!-|\.)[A-Za-z0-9_.-]{1,96}(?<!-)(?<!\.)"
_HUB_ID = re.compile(rf"(?:{_PART}/)?{_PART}")
_SECONDS = 10.0
_TODO = "name a directory, or a hub id (NAME or OWNER/NAME)"


class Problem(NamedTuple):
    """Why a name can not be loaded, and what to do."""

    what: str
    todo: str


def is_hub_id(name: str) -> bool:
    """Whether ``name`` is ``NAME`` or ``OWNER/NAME`` of the hub, and not a directory or file.

    What is there under that name always comes first. A name below something that is there (``models/kab`` beside a folder
    ``models``) means that place, so that a mistyped directory is never asked for at the hub.
    """
    owner, slash, _ = name.partition("/")
    if Path(name).exists() or (slash and Path(owner).exists()):
        return False
    return bool(_HUB_ID.fullmatch(name)) and "--" not in name and ".." not in name and not name.endswith(".git")


def problem_of(name: str, what: str = "directory") -> Problem | None:
    """Why ``name`` is neither a directory nor a hub id that can be loaded, or None where it is one.

    A hub id that is not in the hub's cache is asked for at the hub once, without a second try: a mistyped name of a
    directory costs no minutes. ``what`` says in the message what was looked for.
    """
    if not name.strip():
        return Problem(f"an empty name, and no {what}", _TODO)
    if Path(name).is_dir():
        return None
    todo = _what_to_do(name)
    if Path(name).exists():
        return Problem(f"a file, not a {what}", todo)
    if not is_hub_id(name):
        return Problem(f"no such {what}", todo)
    if cached(name) is not None:
        return None
    answer = _ask(name)
    return None if answer is None else Problem(f"no such {what}, and {answer}", todo)


def check_name(name: str, what: str = "directory") -> None:
    """Refuse a name that is neither a directory nor a hub id that can be loaded; ``what`` says what was looked for.

    Raises:
        DataMissingError: see :func:`problem_of`.
    """
    problem = problem_of(name, what)
    if problem is not None:
        raise DataMissingError(problem.what, where=name, todo=problem.todo)


def cached(name: str) -> Path | None:
    """The folder of a hub id in the hub's cache, or None where nothing of it is there."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    folder = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=name, repo_type="model")
    return folder if any(folder.glob("snapshots/*/*")) else None


def _ask(name: str) -> str | None:
    """What the hub says against a model id, in a few words; None where it has it, or its answer is for the loader to tell."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError

    try:
        HfApi().model_info(name, timeout=_SECONDS)
    except GatedRepoError:
        return None
    except RepositoryNotFoundError:
        return "the hub has none of that name"
    except HfHubHTTPError:
        return None
    except Exception as error:  # noqa: BLE001  (its client's own errors, which differ from one version to the next)
        offline = "it is not in the hub's cache, and the hub cannot be reached"
        return f"{offline} ({first_line(error, 100)})"
    return None


def _what_to_do(name: str) -> str:
    if "://" in name:
        return f"an address is none: {_TODO}"
    if name.startswith("~"):
        return "write the home directory out: only a shell knows ~"
    near = _nearest(name)
    return f"did you mean {near!r}?" if near else _TODO


def _nearest(name: str) -> str | None:
    """The folder beside the named place whose name is nearest to the one that is not there."""
    path = Path(name)
    try:
        folders = [entry.name for entry in path.parent.iterdir() if entry.is_dir() and not entry.name.startswith(".")]
    except OSError:
        return None
    near = difflib.get_close_matches(path.name, folders, n=1, cutoff=0.75)
    return str(path.with_name(near[0])) if near else None
