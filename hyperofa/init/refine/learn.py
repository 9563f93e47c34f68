"""How new rows learn: the loop, its checkpoint, and which step's rows are taken, by text that is kept out of the learning."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from hyperofa.base.interrupts import first_interrupt
from hyperofa.errors import HyperofaError
from hyperofa.init.kept_work import SavedState
from hyperofa.init.refine.learned_rows import LearnedRows
from hyperofa.init.refine.settings import RefineConfig
from hyperofa_eval.base.console import progress_bar

log = logging.getLogger(__name__)

_SAVE_EVERY = 50
_LOOKS = 3  # at the held-out text while it learns, the last at the end
_SHARES = (1.0, 0.7, 0.35)
"""Of the learned change, what is tried at the end. Between the start and the end of a fine-tuning lie weights that are better
than both on other text (Wortsman et al. 2022, arXiv 2109.01903): rare tokens overshoot."""


class Objective(Protocol):
    """What rows learn from, and how: ``config`` is complete once it has begun."""

    name: str
    unit: str
    config: RefineConfig
    languages: dict[str, int]

    def begin(self, learning: np.ndarray) -> np.ndarray:
        """Prepare the steps; see :meth:`hyperofa.init.refine.own_loss.OwnLoss.begin`."""

    def digest(self) -> str:
        """SHA-256 of what is learned from."""

    def loss(self, rows: LearnedRows, head: LearnedRows, step: int) -> Tensor:
        """The loss of a step, with a graph."""

    def held_out(self, rows: LearnedRows, head: LearnedRows) -> float:
        """The figure on text that is kept out; lower is better."""


@dataclass
class Course:
    """What happened: the losses of all steps, and the figures on held-out text as (step, share, figure)."""

    losses: list[float] = field(default_factory=list)
    looks: list[tuple[int, float, float]] = field(default_factory=list)
    interrupted: bool = False

    @property
    def best(self) -> tuple[int, float, float]:
        """The look with the lowest figure; the earliest of equals, so the start where nothing is better."""
        return min(self.looks, key=lambda look: look[2])


def learn(rows: LearnedRows, head: LearnedRows, objective: Objective, store: SavedState) -> Course:
    """Let the rows learn, and leave them as they were where they were best on text that is kept out, the start included.

    ``head`` is ``rows`` where the head is tied to the input. The state is kept in ``store`` every 50 steps: an interrupted run
    ends where an undisturbed one would. The first Ctrl-C of a command ends the learning early.

    Raises:
        HyperofaError: the loss became NaN or infinite.
    """
    loop = _Loop(rows, head, objective, store)
    loop.run()
    loop.take_best()
    return loop.course


class _Loop:
    def __init__(self, rows: LearnedRows, head: LearnedRows, objective: Objective, store: SavedState) -> None:
        self.rows, self.head, self.objective, self.config, self.store = rows, head, objective, objective.config, store
        self.modules = [rows] if head is rows else [rows, head]
        self.optimizers = _optimizers(self.modules, self.config)
        self.course, self.best = _restore(store, self.modules, [optimizer for optimizer, _ in self.optimizers])

    def run(self) -> None:
        steps, course = self.config.steps or 1, self.course
        looks = {round(steps * (i + 1) / _LOOKS) for i in range(_LOOKS)} - {0, steps}
        if not course.looks:
            self.look(0.0)
        first = len(course.losses)
        start = course.looks[0][2]
        log.info("rows learn from %s: held-out %s %.4f at the start", self.objective.name, self.objective.unit, start)
        with progress_bar("learning rows", steps) as advance, first_interrupt() as asked_to_end:
            advance(first)
            for step in range(first, steps):
                if asked_to_end():
                    course.interrupted = True
                    break
                self.step(step)
                if step + 1 in looks:
                    self.look(1.0)
                if (step + 1) % _SAVE_EVERY == 0:
                    _save(self.store, self.modules, self.optimizers, course, self.best)
                advance(note=self.note())
        for share in _SHARES if len(course.losses) else ():
            self.look(share)

    def step(self, step: int) -> None:
        for optimizer, rate in self.optimizers:
            optimizer.param_groups[0]["lr"] = rate * self.config.rate(step)
            optimizer.zero_grad(set_to_none=True)
        loss = self.objective.loss(self.rows, self.head, step)
        loss.backward()
        self.course.losses.append(float(loss.detach()))
        if not np.isfinite(self.course.losses[-1]):
            what = f"the loss became {self.course.losses[-1]} in step {step + 1}"
            raise HyperofaError(what, where="refinement", todo="lower learning_rate")
        for optimizer, _ in self.optimizers:
            (parameter,) = optimizer.param_groups[0]["params"]
            if step == 0 and isinstance(optimizer, torch.optim.Adam) and any(parameter is m.own for m in self.modules):
                optimizer.param_groups[0]["eps"] = _typical(parameter.grad)
            optimizer.step()

    def look(self, share: float) -> None:
        """Measure the rows with a share of their change on held-out text, and keep them where they are the best so far."""
        for module in self.modules:
            module.share = share
        entry = (len(self.course.losses), share, self.objective.held_out(self.rows, self.head))
        self.course.looks.append(entry)
        if self.course.best == entry:
            self.best = [[p.detach().clone() for p in module.parameters()] for module in self.modules]
        for module in self.modules:
            module.share = 1.0

    def note(self) -> str:
        recent, unit, figure = float(np.mean(self.course.losses[-20:])), self.objective.unit, self.course.best[2]
        return f"loss {recent:.3f}, best held-out {unit} {figure:.4f}"

    def take_best(self) -> None:
        step, share, figure = self.course.best
        with torch.no_grad():
            for module, values in zip(self.modules, self.best, strict=True):
                module.share = share
                for parameter, value in zip(module.parameters(), values, strict=True):
                    parameter.copy_(value)
        if self.course.interrupted:
            log.warning(
                "interrupted after %d steps of %d: the best rows so far are taken",
                len(self.course.losses),
                self.config.steps,
            )
        what = f"step {step}, {share:.0%} of the change" if step else "the start, since nothing learned was better"
        unit, start = self.objective.unit, self.course.looks[0][2]
        log.info("taken: %s; held-out %s %.4f, at the start %.4f", what, unit, figure, start)


def _typical(gradient: Tensor) -> float:
    """The root mean square of a gradient (k, r), to stand as Adam's epsilon; rows above the 99th percentile count as that.

    One row with a gradient a thousand times as large as others' would otherwise slow the learning of all.

    A head pushes every row that a batch does not hold a little away from its states, all in one direction. Adam would make steps
    of those small gradients as large as of any other, and in a few of them all new rows would drift off together.
    """
    rows = gradient.square().mean(dim=1)
    most = rows.kthvalue(max(1, round(0.99 * len(rows)))).values
    return max(float(rows.clamp(max=most).mean().sqrt()), 1e-12)


def _optimizers(modules: list[LearnedRows], config: RefineConfig) -> list[tuple[torch.optim.Optimizer, float]]:
    own, shared = config.learning_rate or 0.0, config.shared_rate or 0.0
    optimizers: list[tuple[torch.optim.Optimizer, float]] = []
    for module in modules:
        if module.sparse:
            optimizers.append((torch.optim.SparseAdam([module.own], lr=own), own))
        else:
            optimizers.append((torch.optim.Adam([module.own], lr=own, betas=(0.9, 0.99)), own))
        if module.shared.requires_grad:
            optimizers.append((torch.optim.Adam([module.shared], lr=shared), shared))
    return optimizers


def _save(
    store: SavedState,
    modules: list[LearnedRows],
    optimizers: list[tuple[torch.optim.Optimizer, float]],
    course: Course,
    best: list[list[Tensor]],
) -> None:
    tensors: dict[str, Tensor] = {}
    for i, module in enumerate(modules):
        for j, parameter in enumerate(module.parameters()):
            tensors |= {f"now.{i}.{j}": parameter, f"best.{i}.{j}": best[i][j]}
    for i, (optimizer, _) in enumerate(optimizers):
        state = optimizer.state_dict()["state"][0]
        tensors |= {f"{name}.{i}": state[name] for name in ("exp_avg", "exp_avg_sq")}
        tensors[f"eps.{i}"] = torch.tensor(optimizer.param_groups[0]["eps"], dtype=torch.float64)
    store.save(tensors, len(course.losses), losses=course.losses, looks=course.looks)


def _restore(
    store: SavedState, modules: list[LearnedRows], optimizers: list[torch.optim.Optimizer]
) -> tuple[Course, list[list[Tensor]]]:
    """Put what is saved for the same question into ``modules`` and ``optimizers``; what happened so far, and the best rows."""
    saved = store.load()
    if saved is None:
        return Course(), []
    tensors, record = saved
    best = []
    with torch.no_grad():
        for i, module in enumerate(modules):
            parameters = list(module.parameters())
            for j, parameter in enumerate(parameters):
                parameter.copy_(tensors[f"now.{i}.{j}"])
            best.append([tensors[f"best.{i}.{j}"].to(parameters[0].device) for j in range(len(parameters))])
    course = Course(record["losses"], [(step, share, figure) for step, share, figure in record["looks"]])
    for i, optimizer in enumerate(optimizers):
        state: dict[str, Any] = optimizer.state_dict()
        moments = {name: tensors[f"{name}.{i}"] for name in ("exp_avg", "exp_avg_sq")}
        # SparseAdam counts its steps as a number, Adam as a tensor.
        n = len(course.losses)
        state["state"] = {
            0: {"step": n if isinstance(optimizer, torch.optim.SparseAdam) else torch.tensor(float(n))} | moments
        }
        optimizer.load_state_dict(state)
        optimizer.param_groups[0]["eps"] = float(tensors[f"eps.{i}"])
    log.info("resuming the learning after step %d", len(course.losses))
    return course, best
