"""The network's second stage: its rows are used by the frozen source model on text, and it learns by that model's loss."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from hyperofa.errors import HyperofaError
from hyperofa.init.problem import FrozenModel
from hyperofa.init.spelling.learner import Known, Learner, Scale, StandardRows, hidden_at_random
from hyperofa.init.spelling.spell import Spellings
from hyperofa_eval.base.console import progress_bar
from hyperofa_eval.base.cpu import denormals_flushed

log = logging.getLogger(__name__)

_LOOKS = 2  # at the held-out part while it learns, the last at the end
_REPLACED = 0.5  # of a batch's tokens that may be, so many have predicted rows
_SCORED = (
    0.05  # of all others, where they are scored as well: without them it would pay to score every predicted row high
)
_WARMUP = 10


@dataclass(frozen=True)
class Learnable:
    """The source tokens that the network learns from, n of V.

    Attributes:
        ids: (n,) their numbers in the vocabulary, ascending.
        known: what is known of each.
        rows: (n, r) in standard form.
        table: what each source token is spelled by.
        held: (h,) places in ``ids`` of those that are kept out.
        size: V.
    """

    ids: np.ndarray
    known: Known
    rows: StandardRows | np.ndarray
    table: Spellings
    held: np.ndarray
    size: int

    def mask(self, *, held: bool) -> np.ndarray:
        """(V,) bool: the spelled tokens that are kept out, or those that are not."""
        is_held = np.zeros(len(self.ids), dtype=bool)
        is_held[self.held] = True
        selected = np.zeros(self.size, dtype=bool)
        selected[self.ids[(is_held == held) & (self.known.spelled.counts > 0)]] = True
        return selected

    def of(self, ids: np.ndarray) -> Known:
        """What is known of these tokens (numbers in the vocabulary)."""
        return self.known.chosen(np.searchsorted(self.ids, ids))


class ModelRows:
    """From the network's answers to rows as the source model has them."""

    def __init__(self, learner: Learner, scale: Scale, centre: np.ndarray, length: float | None) -> None:
        """``length`` is that of all rows about ``centre`` (r,); None leaves rows as long as they are predicted."""
        self._learner, self._length = learner, length
        self._deviation = scale.deviation
        self._mean, self._centre = (
            torch.from_numpy(np.asarray(one)).to(learner.device) for one in (scale.mean, centre)
        )

    def __call__(self, known: Known) -> Tensor:
        """Rows (n, r), with a graph to the network where it learns."""
        return self.of(self._learner.answer(known))

    def of(self, answer: Tensor) -> Tensor:
        """Standard rows (n, r) as the model has them."""
        rows = answer.to(self._mean.device) * self._deviation + self._mean
        if self._length is None:
            return rows
        return self._centre + self._length * functional.normalize(rows - self._centre, dim=-1)


@denormals_flushed()
def learn_through(
    learner: Learner, learnable: Learnable, to_rows: ModelRows, model: FrozenModel, steps: int, seed: int
) -> dict[str, Any] | None:
    """Let the network learn by the frozen model's loss, beside its own of rows; what is best on the held-out part is kept.

    Of each batch's lines, half the tokens that the network learns from have its rows; under a tied head, so have some that the
    lines lack. The held-out part is held-out tokens in kept-out lines; the start is a candidate too. Returns a record, or None
    where the text holds too little.

    Raises:
        HyperofaError: the loss became NaN or infinite.
    """
    began = time.monotonic()
    learns, held = learnable.mask(held=False), learnable.mask(held=True)
    if not model.begin(learns, held):
        return None
    network, settings = learner.network, learner.settings
    optimizer = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], weight_decay=0.01)
    looks = {round(steps * (i + 1) / _LOOKS) for i in range(_LOOKS)}
    figures: list[tuple[int, float]] = []
    best: dict[str, Tensor] = {}

    def look(step: int) -> None:
        network.eval()
        figures.append((step, model.held_out(held, lambda ids: to_rows(learnable.of(ids)))))
        if min(figures, key=lambda one: one[1]) == figures[-1]:
            best.update((name, value.detach().clone()) for name, value in network.state_dict().items())
        network.train()

    with (
        model.at_work(),
        progress_bar("learning to spell through the model", steps) as advance,
        torch.random.fork_rng(),
    ):
        look(0)
        for step in range(steps):
            rng = np.random.default_rng([seed, 33, step])
            torch.manual_seed(int(rng.integers(2**62)))
            lines = model.batch(step)
            ids = _drawn(lines, learns, _SCORED if model.scored else 0.0, rng)
            rows = to_rows(hidden_at_random(learnable.of(ids), learnable.table, settings, rng))
            places = rng.choice(len(learnable.ids), settings.batch_size)
            places = np.setdiff1d(places, learnable.held)
            known = hidden_at_random(learnable.known.chosen(places), learnable.table, settings, rng)
            targets = learner.tensor(learnable.rows[places])
            loss = model.loss(lines, ids, rows) + model.beside * learner.loss(learner.answer(known), targets)
            if not bool(torch.isfinite(loss)):
                what = f"the loss became {float(loss.detach())} in step {step + 1}"
                raise HyperofaError(what, where="spelling network", todo="lower model_learning_rate")
            optimizer.param_groups[0]["lr"] = settings.model_learning_rate * min((step + 1) / _WARMUP, 1 - step / steps)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            if step + 1 in looks:
                look(step + 1)
            advance()
        network.load_state_dict(best)
        network.eval()
    step, figure = min(figures, key=lambda one: one[1])
    log.info("network through the model: held-out %s %.4f at the start, %.4f taken (step %d of %d, %.0f s)", model.unit,
             figures[0][1], figure, step, steps, time.monotonic() - began)  # fmt: skip
    return {"unit": model.unit, "looks": [[step, round(value, 5)] for step, value in figures], "taken": step}


def _drawn(lines: list[np.ndarray], learns: np.ndarray, other_share: float, rng: np.random.Generator) -> np.ndarray:
    """Ids, ascending, of tokens of ``learns`` (V,) bool: a part of those that the lines hold, and a share of the others."""
    in_lines = np.zeros(len(learns), dtype=bool)
    in_lines[np.concatenate(lines)] = True
    ids = np.flatnonzero(in_lines & learns)
    if len(ids):
        ids = rng.choice(ids, max(1, round(_REPLACED * len(ids))), replace=False)
    if other_share:
        ids = np.concatenate([ids, np.flatnonzero(~in_lines & learns & (rng.random(len(learns)) < other_share))])
    return np.sort(ids)


def losses_of(
    learnable: Learnable, to_rows: ModelRows, model: FrozenModel, predictions: dict[str, Any]
) -> dict[str, float]:
    """The frozen model's loss on the held-out part by each prediction: functions from what is known to standard rows."""
    held = learnable.mask(held=True)
    losses = {}
    with model.at_work():
        for name, predict in predictions.items():

            def rows_of(ids: np.ndarray, predict: Any = predict) -> Tensor:
                known = learnable.of(ids)
                return to_rows.of(torch.from_numpy(np.ascontiguousarray(predict(known))))

            losses[name] = round(model.held_out(held, rows_of), 5)
    return losses
