"""Fitting a hypernetwork: held-out groups, early stopping, checkpoints that resume; by one process or a team of them."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from hyperofa.base.device import multiplies_bfloat16
from hyperofa.errors import HyperofaError, InputError
from hyperofa.init.hypernet.attention import SourceTable
from hyperofa.init.hypernet.losses import LOSSES
from hyperofa.init.hypernet.networks import build_network
from hyperofa.init.hypernet.progress import load_fit, save_fit
from hyperofa.init.hypernet.sets import SetBatch, WordSets
from hyperofa.init.hypernet.settings import FitConfig, NetworkConfig
from hyperofa.init.hypernet.team import Team
from hyperofa.init.kept_work import SavedState
from hyperofa.init.linalg import VectorTable, normalise_rows, sparse_times_vectors
from hyperofa_eval.base.console import progress_bar
from hyperofa_eval.base.cpu import denormals_flushed, return_freed_memory

_BLOCK = 1 << 16
_LARGE = 1 << 13
"""Words of a batch above which its memory is given back: next to so much arithmetic, fresh pages cost little."""


@dataclass(frozen=True)
class FitReport:
    """What a fit did: losses per epoch, the epoch whose weights were kept, held-out cosine, seconds, processes, precision."""

    train_loss: list[float]
    validation_loss: list[float]
    best_epoch: int
    held_out: int
    held_out_cosine: float | None
    parameters: int
    seconds: float
    processes: int
    bf16: bool


def split_groups(groups: np.ndarray, share: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Positions (train, held out) such that no group lies on both sides.

    Tokens whose surfaces differ only in case or boundary share a group; a split over tokens would leak them.
    """
    names = np.unique(groups)
    held = rng.permutation(names)[: round(share * len(names))] if share else names[:0]
    out = np.isin(groups, held)
    return np.flatnonzero(~out), np.flatnonzero(out)


def start_network(data: FitData, network: NetworkConfig, seed: int) -> nn.Module:
    """A network that is not fitted yet; one that looks at source tokens gets them (a,) with their mean word vectors."""
    from scipy.sparse import csr_matrix

    sets, targets, groups, vectors = data
    if network.network != "attention":
        return build_network(network, vectors.shape[1], targets.shape[1], seed)
    words = csr_matrix((sets.shares, sets.indices, sets.starts), shape=(len(sets), len(vectors)))
    keys = normalise_rows(sparse_times_vectors(words, vectors))
    table = SourceTable(*(torch.from_numpy(np.ascontiguousarray(part)) for part in (keys, targets, groups)))
    return build_network(network, vectors.shape[1], targets.shape[1], seed, table)


class FitData(NamedTuple):
    """What a network is fitted to: a tokens, each with its words and its row.

    Attributes:
        sets: the words of each token.
        targets: (a, r) float32, the rows to predict.
        groups: (a,) for the held-out split; see :func:`split_groups`.
        vectors: (n, d) frozen word vectors; they never enter a checkpoint.
    """

    sets: WordSets
    targets: np.ndarray
    groups: np.ndarray
    vectors: VectorTable


class _Fit:
    """The moving parts of one fit."""

    def __init__(
        self, network: nn.Module, vectors: VectorTable, config: FitConfig, team: Team, groups: np.ndarray | None = None
    ) -> None:
        self.config = config
        self.groups = groups  # of the tokens that are fitted; None when new ones are predicted
        self.team = team
        self.device = team.device
        self.bf16 = multiplies_bfloat16(self.device) if config.bf16 is None else config.bf16
        self.network = team.wrap(network)
        # On a GPU the word vectors live there once; on the CPU they stay memory-mapped and only batches are read.
        self.vectors = torch.from_numpy(np.asarray(vectors)).to(self.device) if self.device.type == "cuda" else vectors

    def rows(self, batch: SetBatch) -> Tensor:
        """The network's rows (B, r) float32 for a batch; this process's share of them carries gradients."""
        count, batch = len(batch.items), self.team.share(batch)
        if isinstance(self.vectors, Tensor):
            words = self.vectors[torch.from_numpy(batch.words).to(self.device)].float()
        else:
            words = torch.from_numpy(np.asarray(self.vectors[batch.words], dtype=np.float32))
        shares = torch.from_numpy(batch.shares).to(self.device)
        groups = None if self.groups is None else torch.from_numpy(self.groups[batch.items]).to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            rows: Tensor = self.network(words, shares, torch.from_numpy(batch.lengths), groups)
        return self.team.join(rows.float(), count)


@denormals_flushed()
def fit(
    data: FitData,
    network: NetworkConfig,
    config: FitConfig,
    *,
    seed: int,
    checkpoint: Path | None = None,
    team: Team | None = None,
    after_epoch: Callable[[int], None] = lambda epochs: None,
) -> tuple[nn.Module, FitReport]:
    """Fit a hypernetwork from word sets to rows.

    Args:
        data: What it is fitted to.
        network: The network's shape.
        config: How to fit.
        seed: Of the network's start, the split, and every epoch's order and sampling.
        checkpoint: A folder to save to after every epoch and to resume from; each epoch's randomness depends on (seed, epoch)
            alone, so an interrupted fit ends where an undisturbed one would.
        team: The processes that fit together, each of which calls this; by default this one alone.
        after_epoch: Called with the number of epochs done.

    Raises:
        InputError: no token is left to learn from.
        HyperofaError: the loss became NaN or infinite.
    """
    began = time.monotonic()
    sets, targets, groups, vectors = data
    train, held = split_groups(groups, config.held_out, np.random.default_rng([seed, 10]))
    if not len(train):
        what = f"held_out {config.held_out} of {len(np.unique(groups))} groups leaves no token to learn from"
        raise InputError(what, where="hypernetwork", todo="lower held_out, or give vectors of more words")
    model = start_network(data, network, seed)
    team = team or Team(config.device)
    state = _Fit(model, vectors, config, team, groups)
    optimizer = torch.optim.Adam(model.parameters(), lr=config.learning_rate)
    all_targets = torch.from_numpy(np.ascontiguousarray(targets)).to(state.device)
    store = SavedState(checkpoint, "hypernet", _key(data, network, config, seed) if checkpoint else "")
    history, best = load_fit(store, model, optimizer, config.epochs)
    with progress_bar(f"fitting the {network.network}", config.epochs) as advance:
        advance(len(history["train"]))
        for epoch in range(len(history["train"]), config.epochs):
            if _exhausted(history["validation"], config.patience):
                break
            for group in optimizer.param_groups:
                group["lr"] = config.learning_rate * config.decay ** (epoch // config.decay_every)
            rng = np.random.default_rng([seed, 12, epoch])
            history["train"].append(_train_epoch(state, optimizer, sets, all_targets, train, rng))
            if not np.isfinite(history["train"][-1]):
                what = f"the loss became {history['train'][-1]} in epoch {epoch + 1}"
                raise HyperofaError(what, where="hypernetwork", todo="lower learning_rate")
            if len(held):
                history["validation"].append(_validate(state, sets, all_targets, held, seed)[0])
                if config.patience is not None and int(np.argmin(history["validation"])) == epoch:
                    best = {name: value.detach().clone() for name, value in model.state_dict().items()}
            if team.rank == 0:
                save_fit(store, model, optimizer, history, best)
            after_epoch(len(history["train"]))
            advance()
    if best is not None and config.patience is not None:
        model.load_state_dict(best)
    cosine = _validate(state, sets, all_targets, held, seed)[1] if len(held) else None
    stops = config.patience is not None and history["validation"]
    report = FitReport(
        train_loss=history["train"],
        validation_loss=history["validation"],
        best_epoch=int(np.argmin(history["validation"])) + 1 if stops else len(history["train"]),
        held_out=len(held),
        held_out_cosine=cosine,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        seconds=time.monotonic() - began,
        processes=team.size,
        bf16=state.bf16,
    )
    return model, report


def predict(network: nn.Module, sets: WordSets, vectors: VectorTable, config: FitConfig, *, seed: int) -> np.ndarray:
    """Rows (len(sets), r) float32 that a fitted network predicts; sets above the limit are sampled with the seed."""
    state = _Fit(network, vectors, config, Team(config.device))
    network.eval()
    rng = np.random.default_rng([seed, 11])
    predicted = np.zeros((0, 0), dtype=np.float32)
    with torch.inference_mode(), progress_bar("predicting rows", len(sets)) as advance:
        for batch in sets.ordered(config.batch_size, rng):
            rows = state.rows(batch).cpu().numpy()
            if not len(predicted):
                predicted = np.empty((len(sets), rows.shape[1]), dtype=np.float32)
            predicted[batch.items] = rows
            advance(len(batch.items))
    return predicted


def _train_epoch(
    state: _Fit,
    optimizer: torch.optim.Optimizer,
    sets: WordSets,
    targets: Tensor,
    items: np.ndarray,
    rng: np.random.Generator,
) -> float:
    config = state.config
    state.network.train()
    total, count = torch.zeros((), device=state.device), 0
    with torch.random.fork_rng():
        torch.manual_seed(int(rng.integers(2**62)) + state.team.rank)  # dropout too depends on (seed, epoch) alone
        for batch in sets.epoch(items, config.batch_size, rng, thin=config.thin):
            loss = _loss(config, state.rows(batch), targets[torch.from_numpy(batch.items).to(state.device)])
            optimizer.zero_grad(set_to_none=True)
            state.team.backward(loss)
            optimizer.step()
            total += loss.detach() * len(batch.items)
            count += len(batch.items)
            if state.device.type == "cpu" and batch.lengths.sum() > _LARGE:
                return_freed_memory()
    return state.team.agree(float(total) / count)


def _validate(state: _Fit, sets: WordSets, targets: Tensor, items: np.ndarray, seed: int) -> tuple[float, float]:
    """(loss, mean cosine) over the held-out items; the last batch counts like any other."""
    rng = np.random.default_rng([seed, 13])
    state.network.eval()
    total = cosine = 0.0
    with torch.inference_mode():
        for start in range(0, len(items), state.config.batch_size):
            batch = sets.batch(items[start : start + state.config.batch_size], rng)
            rows, true_rows = state.rows(batch), targets[torch.from_numpy(batch.items).to(state.device)]
            total += float(_loss(state.config, rows, true_rows)) * len(batch.items)
            cosine += float(nn.functional.cosine_similarity(rows, true_rows, dim=-1).sum())
    return state.team.agree(total / len(items)), state.team.agree(cosine / len(items))


def _loss(config: FitConfig, rows: Tensor, targets: Tensor) -> Tensor:
    return LOSSES[config.loss](rows, targets, weight=config.contrastive_weight, temperature=config.temperature)


def _exhausted(validation: list[float], patience: int | None) -> bool:
    if patience is None or not validation:
        return False
    return len(validation) - 1 - int(np.argmin(validation)) >= patience


def _key(data: FitData, network: NetworkConfig, config: FitConfig, seed: int) -> str:
    """SHA-256 of all that decides what is fitted: only a checkpoint with this key is taken over.

    The number of epochs is no part of it: a shorter fit is the beginning of a longer one.
    Words are numbered by their order among those used, and only the vectors of those are read: several processes, which get no
    others, have the key of one.
    """
    sets, targets, groups, vectors = data
    fitting = dataclasses.asdict(config)
    del fitting["device"], fitting["processes"], fitting["epochs"]  # they do not change what an epoch does
    facts = json.dumps([dataclasses.asdict(network), fitting, seed, sets.limit, vectors.shape[1]], sort_keys=True)
    sha = hashlib.sha256(facts.encode())
    used, indices = np.unique(sets.indices, return_inverse=True)
    for array in (sets.starts, indices.astype(np.int64), sets.shares, targets, np.asarray(groups, dtype=np.int64)):
        sha.update(np.ascontiguousarray(array).data)
    for start in range(0, len(used), _BLOCK):
        sha.update(np.ascontiguousarray(vectors[used[start : start + _BLOCK]]).data)
    return sha.hexdigest()
