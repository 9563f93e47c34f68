"""Whether a model's name is a directory or a hub id: the one rule, for every command of both packages."""

from __future__ import annotations

import difflib
import re
from pathlib import Path

from hyperofa_eval.base.errors import DataMissingError, first_line

_PART = r"(?!-|\.)[A-Za-z0-9_.-]{1,96}(?<!-)(?<!\.)"
_HUB_ID = re.compile(rf"(?:{_PART}/)?{_PART}")
_SECONDS = 10.0
_TODO = "name a directory, or a hub id (NAME or OWNER/NAME)"


def is_hub_id(name: str) -> bool:
    """Whether ``name`` is ``NAME`` or ``OWNER/NAME`` of the hub, and not a directory or file.

    What is there under that name always comes first. A name below something that is there (``models/kab`` beside a folder
    ``models``) means that place, so that a mistyped directory is never asked for at the hub.
    """
    owner, slash, _ = name.partition("/")
    if Path(name).exists() or (slash and Path(owner).exists()):
        return False
    return bool(_HUB_ID.fullmatch(name)) and "--" not in name and ".." not in name and not name.endswith(".git")


def check_name(name: str, what: str = "directory") -> None:
    """Refuse a name that is neither a directory nor a hub id that can be loaded; ``what`` says what was looked for.

    A hub id that is not in the hub's cache is asked for at the hub once, without a second try: a mistyped name of a
    directory costs no minutes.

    Raises:
        DataMissingError: there is nothing of that name.
    """
    if not name.strip():
        raise DataMissingError(f"an empty name, and no {what}", where=name, todo=_TODO)
    if Path(name).is_dir():
        return
    problem = f"no such {what}"
    if Path(name).exists():
        problem = f"a file, not a {what}"
    elif is_hub_id(name):
        answer = None if cached(name) is not None else _ask(name)
        if answer is None:
            return
        problem += f", and {answer}"
    raise DataMissingError(problem, where=name, todo=_what_to_do(name))


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
    except RepositoryNotFoundError as error:  # a gated one is there
        return None if isinstance(error, GatedRepoError) else "the hub has none of that name"
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
