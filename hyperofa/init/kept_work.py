"""What an interrupted ``hyperofa init`` goes on from: finished stages, and the state of a long fit."""

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
from safetensors.torch import load_file, save_file
from torch import Tensor

from hyperofa.base.rows import RowTable
from hyperofa.errors import HyperofaError, InputError
from hyperofa_eval.base.files import read_json, write_bytes, write_json

log = logging.getLogger(__name__)


class Stages:
    """A folder of finished stages; a stage made for other inputs or settings is made again."""

    def __init__(self, folder: Path, decided_by: Mapping[str, Any]) -> None:
        """Keep stages in ``folder``; ``decided_by`` is JSON of hashes and settings."""
        self.folder = folder
        text = json.dumps(decided_by, sort_keys=True, default=str)
        self.key = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

    def arrays(
        self, name: str, make: Callable[[], tuple[dict[str, np.ndarray], dict[str, Any]]]
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """The (arrays, notes) of stage ``name``: from disk, or made now and kept."""
        path = self.folder / f"{name}.safetensors"
        if (stage := self._load(path)) is not None:
            log.info("going on from the finished stage %r", name)
            return stage
        arrays, notes = make()
        self.folder.mkdir(parents=True, exist_ok=True)
        write_bytes(path, save(arrays, {"key": self.key, "notes": json.dumps(notes)}))
        return arrays, notes

    def _load(self, path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
        if not path.is_file():
            return None
        try:
            with safe_open(path, framework="numpy") as file:
                facts = file.metadata() or {}
                if facts.get("key") != self.key:
                    return None
                names = file.keys()
                return {name: file.get_tensor(name) for name in names}, json.loads(facts["notes"])
        except (SafetensorError, ValueError, KeyError) as error:
            log.warning("%s is damaged (%s); made again", path.name, error)
            return None


class SavedState:
    """One state in a folder, replaced by each later one; only the question that it answers takes it over."""

    def __init__(self, folder: Path | None, name: str, key: str) -> None:
        """Keep ``NAME.json`` and its tensors in ``folder`` (None keeps none); ``key`` is a hash of all that decides the fit."""
        self.folder, self.name, self.key = folder, name, key

    def load(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """The tensors and facts saved last for the same question; None where there are none, or they are damaged."""
        if self.folder is None or not (self.folder / f"{self.name}.json").is_file():
            return None
        try:
            record: dict[str, Any] = read_json(self.folder / f"{self.name}.json")
            if record["key"] != self.key:
                return None
            return load_file(self.folder / record["file"]), record
        except (SafetensorError, InputError, OSError, KeyError, TypeError) as error:
            log.warning("the state of %s in %s is damaged (%s); begun again", self.name, self.folder, error)
            return None

    def save(self, tensors: dict[str, Tensor], number: int, **facts: Any) -> None:
        """Write the tensors under a name with ``number``, then the JSON that points to them, then drop the old ones.

        Raises:
            HyperofaError: the tensors cannot be written.
        """
        if self.folder is None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        name = f"{self.name}-{number:06d}.safetensors"
        try:
            save_file({key: value.detach().cpu().contiguous() for key, value in tensors.items()}, self.folder / name)
        except SafetensorError as error:  # the library turns the system's errors, such as a full disk, into its own
            raise HyperofaError(f"cannot save the state of {self.name} ({error})", where=self.folder) from error
        write_json(self.folder / f"{self.name}.json", {"key": self.key, "file": name, **facts})
        for old in self.folder.glob(f"{self.name}-*.safetensors"):
            if old.name != name:
                old.unlink()


def digest(*arrays: RowTable | np.ndarray | None) -> str:
    """SHA-256 of arrays' bytes."""
    sha = hashlib.sha256()
    for array in arrays:
        content = array.bits if isinstance(array, RowTable) else array
        sha.update(b"none" if content is None else np.ascontiguousarray(content).data)
    return sha.hexdigest()
