"""What an interrupted ``hyperofa init`` finds of its finished stages: predicted rows on disk, keyed by all that decides them."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from hyperofa_eval.base.files import write_bytes

log = logging.getLogger(__name__)


class Stages:
    """A folder of finished stages; a stage made for other inputs or settings is made again."""

    def __init__(self, folder: Path, decided_by: Mapping[str, Any]) -> None:
        """Keep stages in ``folder``; ``decided_by`` is JSON of hashes and settings."""
        self.folder = folder
        text = json.dumps(decided_by, sort_keys=True, default=str)
        self.key = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

    def rows(
        self, name: str, make: Callable[[], tuple[np.ndarray, dict[str, Any]]]
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """The (rows, notes) of stage ``name``: from disk, or made now and kept."""
        path = self.folder / f"{name}.safetensors"
        found = self._load(path)
        if found is not None:
            log.info("going on from the finished stage %r", name)
            return found
        rows, notes = make()
        self.folder.mkdir(parents=True, exist_ok=True)
        write_bytes(path, save({"rows": rows}, {"key": self.key, "notes": json.dumps(notes)}))
        return rows, notes

    def _load(self, path: Path) -> tuple[np.ndarray, dict[str, Any]] | None:
        if not path.is_file():
            return None
        try:
            with safe_open(path, framework="numpy") as file:
                facts = file.metadata() or {}
                if facts.get("key") != self.key:
                    return None
                return file.get_tensor("rows"), json.loads(facts["notes"])
        except (SafetensorError, ValueError, KeyError) as error:
            log.warning("%s is damaged (%s); made again", path.name, error)
            return None


def digest(*arrays: np.ndarray | None) -> str:
    """SHA-256 of arrays' bytes."""
    found = hashlib.sha256()
    for array in arrays:
        found.update(b"none" if array is None else np.ascontiguousarray(array).data)
    return found.hexdigest()
