"""The state of a hypernetwork's fit after each epoch (network, optimizer, history, best weights), to go on from."""

from __future__ import annotations

import logging

import torch
from torch import Tensor, nn

from hyperofa.init.kept_work import SavedState

log = logging.getLogger(__name__)

History = dict[str, list[float]]
"""The losses of ``train`` and ``validation`` by epoch."""


def load_fit(
    store: SavedState, model: nn.Module, optimizer: torch.optim.Optimizer, epochs: int | None = None
) -> tuple[History, dict[str, Tensor] | None]:
    """The history and best weights, after restoring what was saved for the same question; else a fresh history.

    A state of more than ``epochs``, where they are given, is not taken over.
    """
    saved = store.load()
    if saved is None or (epochs is not None and len(saved[1]["history"]["train"]) > epochs):
        return {"train": [], "validation": []}, None
    tensors, record = saved
    model.load_state_dict(_part(tensors, "model."))
    plain = optimizer.state_dict()
    plain["state"] = {
        index: {name: tensors[f"optimizer.{index}.{name}"] for name in ("step", "exp_avg", "exp_avg_sq")}
        for index in plain["param_groups"][0]["params"]
    }
    optimizer.load_state_dict(plain)
    log.info("resuming the hypernetwork after epoch %d", len(record["history"]["train"]))
    return record["history"], _part(tensors, "best.") or None


def save_fit(
    store: SavedState,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    history: History,
    best: dict[str, Tensor] | None,
) -> None:
    """Keep the state; see :meth:`SavedState.save`."""
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    for index, values in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": value for name, value in values.items()}
    tensors |= {f"best.{name}": value for name, value in (best or {}).items()}
    store.save(tensors, len(history["train"]), history=history)


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
