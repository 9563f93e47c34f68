"""The state of a hypernetwork's fit after each epoch, from which an interrupted one goes on."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from hyperofa.files import read_json, write_json

log = logging.getLogger(__name__)

_STATE = "hypernet.json"


class Checkpoint:
    """Network and optimizer as safetensors, history and best weights; only the same question takes them over."""

    def __init__(self, folder: Path | None, key: str) -> None:
        """Keep the state in ``folder`` (None keeps none); ``key`` is a hash of all that decides the fit."""
        self.folder = folder
        self.key = key

    def load(
        self, model: nn.Module, optimizer: torch.optim.Optimizer
    ) -> tuple[dict[str, list[float]], dict[str, Tensor] | None]:
        """Restore what is there for the same question; else a fresh history."""
        fresh: dict[str, list[float]] = {"train": [], "validation": []}
        if self.folder is None or not (self.folder / _STATE).is_file():
            return fresh, None
        record: dict[str, Any] = read_json(self.folder / _STATE)
        if record["key"] != self.key:
            return fresh, None
        tensors = load_file(self.folder / record["file"])
        model.load_state_dict(_part(tensors, "model."))
        plain = optimizer.state_dict()
        plain["state"] = {
            index: {name: tensors[f"optimizer.{index}.{name}"] for name in ("step", "exp_avg", "exp_avg_sq")}
            for index in range(len(list(model.parameters())))
        }
        optimizer.load_state_dict(plain)
        best = _part(tensors, "best.") or None
        log.info("resuming the hypernetwork after epoch %d", len(record["history"]["train"]))
        return record["history"], best

    def save(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        history: dict[str, list[float]],
        best: dict[str, Tensor] | None,
    ) -> None:
        """Write the tensors under a new name, then the JSON that points to them, then drop the old ones."""
        if self.folder is None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
        for index, values in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": value for name, value in values.items()}
        tensors |= {f"best.{name}": value for name, value in (best or {}).items()}
        name = f"hypernet-{len(history['train']):05d}.safetensors"
        save_file({key: value.detach().cpu().contiguous() for key, value in tensors.items()}, self.folder / name)
        write_json(self.folder / _STATE, {"key": self.key, "file": name, "history": history})
        for old in self.folder.glob("hypernet-*.safetensors"):
            if old.name != name:
                old.unlink()


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
