"""Refining the new rows of an extended matrix: the loop, its checkpoint, and what is written into ``init.json``."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hyperofa.base.rows import RowTable
from hyperofa.errors import HyperofaError
from hyperofa.init.kept_work import SavedState, digest
from hyperofa.init.refine.body import Body
from hyperofa.init.refine.distill import Distill
from hyperofa.init.refine.learned_rows import LearnedRows, Start
from hyperofa.init.refine.settings import RefineConfig
from hyperofa.init.refine.translations import Parallel
from hyperofa_eval.base.console import progress_bar

log = logging.getLogger(__name__)

_SAVE_EVERY = 50


Objective = Parallel | Distill
"""What a refinement learns from: the target tokens that occur in its text, and the loss of a step."""


def refine(
    start: Start, objective: Objective, body: Body, config: RefineConfig, *, seed: int, checkpoint: Path | None = None
) -> tuple[RowTable, dict[str, Any]]:
    """The refined rows (V, r) and a record of what was done.

    ``seed`` is what the objective's draws were seeded with. The folder ``checkpoint`` keeps the state every 50 steps: an
    interrupted refinement ends where an undisturbed one would.

    Raises:
        HyperofaError: the loss became NaN or infinite.
    """
    began = time.monotonic()
    rows = LearnedRows(start, objective.used).to(body.device)
    rows.shared.requires_grad_(config.shared_rate > 0 and len(start.predicted_ids) > 0)
    key = _key(start, objective, body, config, seed) if checkpoint else ""
    store = SavedState(checkpoint, "refine", key)
    with body.frozen():
        objective.prepare(body)
        losses = _learn(rows, objective, body, config, store)
    record = dataclasses.asdict(config) | {
        "block": body.layer,
        "mix": config.share_taken,
        "texts": objective.languages,
        "tokens_in_text": len(objective.used),
        "tokens_learned": len(rows.learned_ids),
        "loss_first": _mean(losses[:20]),
        "loss_last": _mean(losses[-20:]),
    }
    log.info("refined %d rows in %.1f s", len(rows.learned_ids), time.monotonic() - began)
    return rows.refined(start, config.share_taken), record


def _learn(rows: LearnedRows, objective: Objective, body: Body, config: RefineConfig, store: SavedState) -> list[float]:
    sparse = torch.optim.SparseAdam([rows.own], lr=config.learning_rate)
    optimizers: list[tuple[torch.optim.Optimizer, float]] = [(sparse, config.learning_rate)]
    if rows.shared.requires_grad:
        optimizers.append((torch.optim.Adam([rows.shared], lr=config.shared_rate), config.shared_rate))
    losses = _restore(store, rows, [optimizer for optimizer, _ in optimizers])
    with progress_bar(f"refining rows ({config.kind})", config.steps) as advance:
        advance(len(losses))
        for step in range(len(losses), config.steps):
            for optimizer, rate in optimizers:
                optimizer.param_groups[0]["lr"] = rate * config.rate(step)
                optimizer.zero_grad(set_to_none=True)
            loss = objective.loss(rows, body, step)
            loss.backward()
            losses.append(float(loss.detach()))
            if not np.isfinite(losses[-1]):
                what = f"the loss became {losses[-1]} in step {step + 1}"
                raise HyperofaError(what, where="refinement", todo="lower learning_rate")
            for optimizer, _ in optimizers:
                optimizer.step()
            if (step + 1) % _SAVE_EVERY == 0 or step + 1 == config.steps:
                tensors: dict[str, Tensor] = {"own": rows.own, "shared": rows.shared}
                for index, (optimizer, _) in enumerate(optimizers):
                    state = optimizer.state_dict()["state"][0]
                    tensors |= {f"{index}.{name}": state[name] for name in ("exp_avg", "exp_avg_sq")}
                store.save(tensors, len(losses), losses=losses)
            advance()
    return losses


def _mean(values: Sequence[float]) -> float | None:
    return round(float(np.mean(values)), 4) if len(values) else None


def _key(start: Start, objective: Objective, body: Body, config: RefineConfig, seed: int) -> str:
    """SHA-256 of all that decides a refinement: only a state with this key is taken over."""
    asked = json.dumps([dataclasses.asdict(config), seed, objective.digest(), body.digest()], sort_keys=True)
    parts = (getattr(start, field.name) for field in dataclasses.fields(start))
    return hashlib.sha256(f"{asked}{digest(*parts)}".encode()).hexdigest()


def _restore(store: SavedState, rows: LearnedRows, optimizers: list[torch.optim.Optimizer]) -> list[float]:
    """Put what is saved for the same question into ``rows`` and ``optimizers``; the losses so far, none if nothing is."""
    found = store.load()
    if found is None:
        return []
    tensors, record = found
    with torch.no_grad():
        rows.own.copy_(tensors["own"])
        rows.shared.copy_(tensors["shared"])
    losses: list[float] = record["losses"]
    for index, optimizer in enumerate(optimizers):
        state = optimizer.state_dict()
        moments = {name: tensors[f"{index}.{name}"] for name in ("exp_avg", "exp_avg_sq")}
        # SparseAdam counts its steps as a number, Adam as a tensor.
        step = len(losses) if isinstance(optimizer, torch.optim.SparseAdam) else torch.tensor(float(len(losses)))
        state["state"] = {0: {"step": step} | moments}
        optimizer.load_state_dict(state)
    log.info("resuming the refinement after step %d", len(losses))
    return losses
