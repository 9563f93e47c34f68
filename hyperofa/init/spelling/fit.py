"""Learning the network on the source's own tokens, spelled as if they were new; a held-out part says when to stop."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from hyperofa.base.rows import RowTable
from hyperofa.errors import HyperofaError
from hyperofa.init.hypernet.fit import split_groups
from hyperofa.init.hypernet.progress import History, load_fit, save_fit
from hyperofa.init.kept_work import SavedState, digest
from hyperofa.init.spelling.learner import Known, Learner, StandardRows, cosines, hidden_at_random
from hyperofa.init.spelling.spell import Spellings
from hyperofa_eval.base.console import progress_bar
from hyperofa_eval.base.cpu import denormals_flushed, return_freed_memory

_REGRESSED = 100_000
"""So many tokens at most are given to the regression that the network begins as."""
log = logging.getLogger(__name__)


@denormals_flushed()
def fit(
    learner: Learner,
    known: Known,
    targets: StandardRows | np.ndarray,
    table: Spellings,
    groups: np.ndarray,
    epochs: int,
    *,
    seed: int,
    checkpoint: Path | None = None,
) -> tuple[History, np.ndarray]:
    """Let the network learn n tokens' rows; the weights of the best epoch by the held-out part are kept.

    Args:
        learner: What learns.
        known: What is known of the n tokens.
        targets: (n, r) their rows in standard form.
        table: What each source token is spelled by, to spell pieces by smaller ones.
        groups: (n,) tokens that share a number are on one side of the split.
        epochs: Passes.
        seed: Of the split, and of every epoch's order and draws.
        checkpoint: A folder where the state is kept after every epoch, to go on from.

    Returns the losses by epoch (``validation`` is 1 - cosine), and the places of the held-out tokens.

    Raises:
        HyperofaError: the loss became NaN or infinite, or the state cannot be kept.
    """
    settings = learner.settings
    share = min(0.05, settings.held_out / max(len(targets), 1))
    train, held = split_groups(groups, share, np.random.default_rng([seed, 30]))
    parameters = [one for one in learner.network.parameters() if one.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=settings.learning_rate, weight_decay=0.01)
    store = SavedState(checkpoint, "spelling", _key(learner, known, targets, epochs, seed) if checkpoint else "")
    rng = np.random.default_rng([seed, 32])
    sample = rng.permutation(train)[:_REGRESSED]
    learner.start_linear(hidden_at_random(known.chosen(sample), table, settings, rng), targets[sample])
    return_freed_memory()  # of the regression, which is larger than all that follows
    history, best = load_fit(store, learner.network, optimizer)
    steps = math.ceil(len(train) / settings.batch_size)
    with progress_bar("learning to spell rows", epochs * steps) as advance:
        advance(len(history["train"]) * steps)
        for epoch in range(len(history["train"]), epochs):
            rng = np.random.default_rng([seed, 31, epoch])
            total = 0.0
            learner.network.train()
            with torch.random.fork_rng():
                torch.manual_seed(int(rng.integers(2**62)))  # dropout too depends on (seed, epoch) alone
                for step, ids in enumerate(_batches(train, settings.batch_size, rng)):
                    rate = _rate(epoch * steps + step, epochs * steps)
                    for group in optimizer.param_groups:
                        group["lr"] = settings.learning_rate * rate
                    batch = hidden_at_random(known.chosen(ids), table, settings, rng)
                    loss = learner.loss(learner.answer(batch), learner.tensor(targets[ids]))
                    optimizer.zero_grad(set_to_none=True)
                    loss.backward()
                    optimizer.step()
                    total += float(loss.detach()) * len(ids)
                    advance()
            history["train"].append(total / max(len(train), 1))
            if not np.isfinite(history["train"][-1]):
                what = f"the loss became {history['train'][-1]} in epoch {epoch + 1}"
                raise HyperofaError(what, where="spelling network", todo="lower learning_rate")
            if len(held):
                predicted = learner.predict(known.chosen(held))
                history["validation"].append(1 - float(cosines(predicted, targets[held]).mean()))
                if int(np.argmin(history["validation"])) == epoch:
                    best = {name: value.detach().clone() for name, value in learner.network.state_dict().items()}
            log.debug("epoch %d: %s", epoch + 1, {name: values[-1:] for name, values in history.items()})
            save_fit(store, learner.network, optimizer, history, best)
    if best is not None:
        learner.network.load_state_dict(best)
    return history, held


def _batches(items: np.ndarray, size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    order = rng.permutation(items)
    for start in range(0, len(order), size):
        yield order[start : start + size]


def _rate(step: int, steps: int, warmup: int = 50) -> float:
    return min(1.0, (step + 1) / warmup) * 0.5 * (1 + math.cos(math.pi * step / max(steps, 1)))


def _key(learner: Learner, known: Known, targets: StandardRows | np.ndarray, epochs: int, seed: int) -> str:
    """SHA-256 of all that decides what is learned."""
    settings = {name: value for name, value in dataclasses.asdict(learner.settings).items() if name != "device"}
    facts = json.dumps([settings, epochs, seed, [one.name for one in known.evidence]], sort_keys=True)
    arrays: list[RowTable | np.ndarray | None] = [
        known.spelled.starts,
        known.spelled.pieces,
        known.inside.starts,
        known.inside.pieces,
    ]
    for rows in (targets, learner.rows):
        arrays += [rows] if isinstance(rows, np.ndarray) else [rows.rows, rows.scale.mean]
    arrays += [array for one in known.evidence for array in (one.features, one.is_known)]
    return hashlib.sha256(f"{facts}{digest(*arrays)}".encode()).hexdigest()
