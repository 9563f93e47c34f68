"""What the network is given and gives: known things of tokens as one vector each, rows in standard form, predictions."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor
from torch.nn import functional as F

from hyperofa.base.device import device_named, multiplies_bfloat16
from hyperofa.base.rows import RowTable
from hyperofa.init.linalg import sparse_times_vectors
from hyperofa.init.spelling.network import SpellingNetwork
from hyperofa.init.spelling.settings import NetworkSettings
from hyperofa.init.spelling.spell import Spellings

MOST_COLUMNS = 768
"""Wider rows are looked at in so many directions, those of their largest deviation."""
_BLOCK, _COLUMNS = 1 << 13, 1024


@dataclass(frozen=True)
class Evidence:
    """One more thing that may be known of a token beside its spelling.

    Attributes:
        name: for the record.
        features: (n, d) float32, zero where nothing is known; about 1 in size.
        is_known: (n,) bool: where something is known.
    """

    name: str
    features: np.ndarray
    is_known: np.ndarray


@dataclass(frozen=True)
class Known:
    """What is known of n tokens.

    Attributes:
        spelled: the pieces that spell them.
        inside: the longest source tokens that lie within them, wherever they begin.
        order: (n,) float32: the logarithm of their place in the vocabulary, in standard form: the later, the rarer.
        evidence: what else, one row a token.
    """

    spelled: Spellings
    inside: Spellings
    order: np.ndarray
    evidence: Sequence[Evidence] = ()

    def chosen(self, ids: np.ndarray) -> Known:
        """Of the tokens ``ids`` alone."""
        evidence = [Evidence(one.name, one.features[ids], one.is_known[ids]) for one in self.evidence]
        return Known(self.spelled.chosen(ids), self.inside.chosen(ids), self.order[ids], evidence)

    def __len__(self) -> int:
        return len(self.spelled)


class Scale:
    """Rows about their mean, over their deviation overall: what the network sees and answers."""

    def __init__(self, rows: RowTable | np.ndarray) -> None:
        """Measure ``rows`` (V_s, r)."""
        table = RowTable.of(rows)
        self.mean = table.mean()
        squares = sum(float(np.square(block - self.mean, dtype=np.float64).sum()) for block in table.blocks())
        self.deviation = float(np.sqrt(squares / max(1, len(table) * table.shape[1]))) or 1.0

    def enter(self, rows: np.ndarray) -> np.ndarray:
        """Standard rows."""
        standard: np.ndarray = (rows - self.mean) / np.float32(self.deviation)
        return standard

    def leave(self, rows: np.ndarray) -> np.ndarray:
        """Rows as the model has them."""
        model_rows: np.ndarray = rows * np.float32(self.deviation) + self.mean
        return model_rows


@dataclass(frozen=True)
class StandardRows:
    """Rows (n, r) in standard form, worked out where they are read: all at once they may be gigabytes.

    Attributes:
        rows: as the source stores them.
        scale: of the standard form.
    """

    rows: RowTable
    scale: Scale

    @property
    def shape(self) -> tuple[int, int]:
        """(n, r)."""
        return self.rows.shape

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any, /) -> np.ndarray:
        """The rows that ``index`` chooses, float32."""
        return self.scale.enter(self.rows[index])

    def take(self, ids: np.ndarray) -> StandardRows:
        """The rows ``ids``; nothing is copied."""
        return StandardRows(self.rows.take(ids), self.scale)


class Learner:
    """A network with the rows that it looks up pieces in.

    Attributes:
        rows: (V_s, r): the source's in standard form, held as float32 unless they are wide.
        seen: (V_s, s) float32: the same, or their main directions where they are wide; what the network sees of pieces.
    """

    def __init__(
        self, rows: StandardRows | np.ndarray, features: Sequence[int], settings: NetworkSettings, seed: int
    ) -> None:
        """``rows`` (V_s, r) are the source's in standard form; ``features`` the widths of other evidence."""
        self.settings = settings
        self.rows: StandardRows | np.ndarray = rows
        if rows.shape[1] <= MOST_COLUMNS:
            self.rows = self.seen = rows[:]
        else:
            directions = main_directions(rows, MOST_COLUMNS)
            self.seen = np.concatenate([block @ directions for block in _blocks(rows)])
        self.device = device_named(settings.device, "spelling network")
        self.bf16 = multiplies_bfloat16(self.device) if settings.bf16 is None else settings.bf16
        known = 4 * self.seen.shape[1] + 3 + sum(size + 1 for size in features)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = SpellingNetwork(known, rows.shape[1], settings.hidden, settings.layers, settings.dropout)
        self.network = network.to(self.device)

    def vectors(self, known: Known) -> np.ndarray:
        """(B, k) float32: mean, first and last piece, mean of the tokens inside, how many pieces; then other evidence."""
        spelled, rows = known.spelled, self.seen
        has_pieces = spelled.counts > 0
        ends = np.zeros((2, len(known), rows.shape[1]), dtype=np.float32)
        ends[0, has_pieces] = rows[spelled.pieces[spelled.starts[:-1][has_pieces]]]
        ends[1, has_pieces] = rows[spelled.pieces[spelled.starts[1:][has_pieces] - 1]]
        evidence = [
            one for each in known.evidence for one in (each.features * each.is_known[:, None], each.is_known[:, None])
        ]
        size = np.log2(np.maximum(spelled.counts, 1))
        parts = [
            mean_of_pieces(rows, spelled),
            *ends,
            mean_of_pieces(rows, known.inside),
            has_pieces[:, None],
            size[:, None],
        ]
        parts.append(known.order[:, None])
        return np.concatenate([*parts, *evidence], axis=1, dtype=np.float32)

    def answer(self, known: Known) -> Tensor:
        """Standard rows (B, r): the mean of the pieces, and what the network makes of all that is known."""
        added: Tensor = self.network(self.tensor(self.vectors(known)), bf16=self.bf16)
        return self.tensor(mean_of_pieces(self.rows, known.spelled)) + added

    def tensor(self, array: np.ndarray) -> Tensor:
        """The array on the network's device."""
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)

    def predict(self, known: Known) -> np.ndarray:
        """Standard rows (n, r) float32 of tokens of each of which something is known."""
        self.network.eval()
        step = 4 * self.settings.batch_size
        predicted = np.empty((len(known), self.rows.shape[1]), dtype=np.float32)
        with torch.inference_mode():
            for start in range(0, len(predicted), step):
                ids = np.arange(start, min(start + step, len(predicted)))
                predicted[ids] = self.answer(known.chosen(ids)).cpu().numpy()
        return predicted

    def loss(self, predicted: Tensor, targets: Tensor) -> Tensor:
        """1 - cosine, and the squared error of a column."""
        cosine = F.cosine_similarity(predicted, targets)
        return (1 - cosine).mean() + self.settings.squared_error * (predicted - targets).square().mean()

    def start_linear(self, known: Known, targets: np.ndarray) -> None:
        """Set the linear map to ridge regression of what these n tokens' rows ``targets`` (n, r) are beyond the mean of pieces.

        So the penalty draws rows to the mean of pieces, not to nothing: what regression cannot tell stays as the pieces have it.
        """
        beyond = targets - mean_of_pieces(self.rows, known.spelled)
        weights, intercept = ridge(self.vectors(known), beyond, self.settings.ridge_penalty)
        with torch.no_grad():
            self.network.linear.weight.copy_(torch.from_numpy(weights.T))
            self.network.linear.bias.copy_(torch.from_numpy(intercept))


def ridge(inputs: np.ndarray, targets: np.ndarray, penalty: float) -> tuple[np.ndarray, np.ndarray]:
    """Weights (k, r) and intercept (r,) float32 of ridge regression, the sums in float32 and the solution in float64.

    ``penalty`` is in units of the mean squared input of a column over ``k``, times 1 / n: 1 counts like one token a column.
    """
    centre_in, centre_out = inputs.mean(axis=0), targets.mean(axis=0)
    centred = torch.from_numpy(inputs - centre_in)
    gram = (centred.T @ centred).double()
    gram.diagonal().add_(penalty * max(float(gram.diagonal().mean()), 1e-12) / max(len(inputs), 1) * inputs.shape[1])
    products = torch.empty((inputs.shape[1], targets.shape[1]))
    for start in range(0, targets.shape[1], _COLUMNS):  # a second copy of what is wanted may be gigabytes
        part = slice(start, start + _COLUMNS)
        products[:, part] = centred.T @ torch.from_numpy(targets[:, part] - centre_out[part])
    weights = torch.linalg.solve(gram, products.double()).float().numpy()
    return weights, centre_out - centre_in @ weights


def order_of(size: int) -> np.ndarray:
    """(size,) float32: the logarithm of each place in a vocabulary, in standard form.

    Every trainer of tokenizers gives the more frequent pieces the smaller numbers.
    """
    places = np.log1p(np.arange(size, dtype=np.float32))
    standard: np.ndarray = (places - places.mean()) / max(float(places.std()), 1e-6)
    return standard


def main_directions(rows: StandardRows | np.ndarray, count: int) -> np.ndarray:
    """(r, count) float32 orthonormal: the directions in which centred ``rows`` (V_s, r) deviate most."""
    gram = torch.zeros((rows.shape[1],) * 2, dtype=torch.float64)
    for block in _blocks(rows):
        values = torch.from_numpy(block)
        gram += values.T @ values
    _, directions = torch.linalg.eigh(gram)
    return np.ascontiguousarray(directions[:, -count:].float().numpy())


def _blocks(rows: StandardRows | np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(rows), _BLOCK):
        yield rows[start : start + _BLOCK]


def mean_of_pieces(rows: StandardRows | np.ndarray, spelled: Spellings) -> np.ndarray:
    """(n, r) float32: the mean row of each token's pieces; zero where it has none."""
    data = np.repeat(1 / np.maximum(spelled.counts, 1), spelled.counts).astype(np.float32)
    shares = csr_matrix((data, spelled.pieces, spelled.starts), shape=(len(spelled), len(rows)))
    means: np.ndarray = shares @ rows if isinstance(rows, np.ndarray) else sparse_times_vectors(shares, rows)
    return means


def cosines(predicted: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """(n,) cosine of each row with the one it should be; 0 where either is none."""
    lengths = np.linalg.norm(predicted, axis=1) * np.linalg.norm(targets, axis=1)
    products: np.ndarray = np.einsum("nr,nr->n", predicted, targets) / np.maximum(lengths, 1e-12)
    return products


def finer_like(own: Spellings, new: Spellings) -> float:
    """The share of pieces to hide so that the source's ``own`` tokens have as many as ``new`` ones; a half at most."""
    own_mean = own.counts[own.counts > 0].mean() if own.counts.any() else 1.0
    new_mean = new.counts[new.counts > 0].mean() if new.counts.any() else 1.0
    # A hidden piece is replaced by as many as a token has on average.
    return float(np.clip((new_mean / own_mean - 1) / max(own_mean - 1, 1e-6), 0, 0.5))


def hidden_at_random(known: Known, table: Spellings, settings: NetworkSettings, rng: np.random.Generator) -> Known:
    """Tokens as new ones might be known: some pieces hidden, and spelled by smaller ones; some evidence missing."""
    spelled, inside = known.spelled, known.inside
    if settings.finer:
        # By token: new tokens differ in how finely the source cuts their language.
        rate = 2 * settings.finer * rng.random(len(known))
        owner = np.repeat(np.arange(len(known)), spelled.counts)
        cut = (rng.random(len(spelled.pieces)) < rate[owner]) & (table.counts[spelled.pieces] > 0)
        bound = np.full(len(known), np.iinfo(np.int64).max)
        np.minimum.at(bound, owner[cut], table.lengths[spelled.pieces[cut]])
        # A source without that piece would have none of its length within the token either.
        within = table.lengths[inside.pieces] >= np.repeat(bound, inside.counts)
        spelled, inside = spelled.finer(cut, table), inside.finer(within, table)
    evidence = []
    for one in known.evidence:
        is_known = one.is_known & ((rng.random(len(known)) >= settings.absent) | (spelled.counts == 0))
        evidence.append(dataclasses.replace(one, is_known=is_known))
    return Known(spelled, inside, known.order, evidence)
