"""The state of a long fit on disk, from which an interrupted one goes on: tensors, and a JSON that points to them."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from hyperofa.errors import HyperofaError, InputError
from hyperofa_eval.base.files import read_json, write_json

log = logging.getLogger(__name__)


class SavedState:
    """One state in a folder, replaced by each later one; only the question that it answers takes it over."""

    def __init__(self, folder: Path | None, name: str, key: str) -> None:
        """Keep ``NAME.json`` and its tensors in ``folder`` (None keeps none); ``key`` is a hash of all that decides the fit."""
        self.folder = folder
        self.name = name
        self.key = key

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
