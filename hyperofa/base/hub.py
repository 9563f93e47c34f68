"""The files of a model on the hub."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hyperofa.errors import DataMissingError
from hyperofa_eval.base.errors import first_line
from hyperofa_eval.base.hub import is_hub_id


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
        raise DataMissingError(f"cannot be fetched from the hub ({first_line(error)})", where=model) from error
