"""Names that a user types for a model or tokenizer: a directory, or a hub id (the rule itself is the harness's)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hyperofa.errors import DataMissingError
from hyperofa_eval.base.hub import is_hub_id, problem_of

__all__ = ["check_name", "is_hub_id", "local_folder", "problem_of"]


def check_name(name: str, what: str = "directory") -> None:
    """Refuse a name that is neither a directory nor a hub id that can be loaded; ``what`` says what was looked for.

    Raises:
        DataMissingError: see :func:`hyperofa_eval.base.hub.problem_of`.
    """
    problem = problem_of(name, what)
    if problem is not None:
        raise DataMissingError(problem.what, where=name, todo=problem.todo)


def local_folder(model: str, patterns: Sequence[str]) -> Path:
    """A folder with those files of a model that match ``patterns``: its directory, or the hub's cache after fetching them.

    Where the hub cannot be reached, it is what the cache holds.

    Raises:
        DataMissingError: the hub cannot be reached, and its cache holds no model of that name.
    """
    if not is_hub_id(model):
        return Path(model)
    from huggingface_hub import snapshot_download, try_to_load_from_cache

    try:
        return Path(snapshot_download(model, allow_patterns=list(patterns)))
    except (OSError, ValueError) as error:
        held = try_to_load_from_cache(model, "config.json")
        if isinstance(held, str):
            return Path(held).parent
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataMissingError(f"cannot be fetched from the hub ({reason})", where=model) from error
