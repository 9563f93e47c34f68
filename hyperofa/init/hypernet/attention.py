"""Attention over source tokens: a row is a learned mixture of the rows of tokens with similar words, plus a correction."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from hyperofa.init.hypernet.settings import NetworkConfig


@dataclass(frozen=True)
class SourceTable:
    """The source tokens that a network may look at.

    Attributes:
        keys: (a, d) float32, unit rows: their mean word vectors.
        rows: (a, r) float32: their rows.
        groups: (a,) int64: tokens of equal lower-cased surface share a group.
    """

    keys: Tensor
    rows: Tensor
    groups: Tensor


class SourceAttention(nn.Module):
    """OFA's weighted mean with learned weights, as one attention head over the nearest source tokens (cf. OFA, §3.3).

    It starts as OFA does: queries and keys are the same projection of mean word vectors, the temperature is 0.1, and the
    correction is zero. While it is fitted, a token does not see itself or another case of itself. The table of source tokens is
    no parameter and enters no checkpoint.
    """

    keys: Tensor
    rows: Tensor
    groups: Tensor

    def __init__(self, config: NetworkConfig, width: int, rank: int, source: SourceTable) -> None:
        super().__init__()
        for name in ("keys", "rows", "groups"):
            self.register_buffer(name, getattr(source, name), persistent=False)
        self.neighbours = config.neighbours
        self.query = nn.Linear(width, config.hidden, bias=False)
        nn.init.orthogonal_(self.query.weight)
        self.key = nn.Linear(width, config.hidden, bias=False)
        self.key.load_state_dict(self.query.state_dict())
        self.temperature = nn.Parameter(torch.tensor(math.log(0.1)))
        self.drop = nn.Dropout(config.dropout)
        self.inward = nn.Linear(width, config.hidden)
        self.outward = nn.Linear(config.hidden, rank)
        nn.init.zeros_(self.outward.weight)
        nn.init.zeros_(self.outward.bias)

    def forward(self, words: Tensor, shares: Tensor, lengths: Tensor, groups: Tensor | None = None) -> Tensor:
        """Rows (B, r) of word vectors (B, K, d), the token's shares of them (B, K) and set sizes (B,).

        ``groups`` (B,) are the groups that each token must not look at.
        """
        weights = shares.clamp(min=1e-6) * word_mask(words, lengths)
        pooled = functional.normalize((words * weights[..., None]).sum(1), dim=-1)
        with torch.no_grad():
            near = pooled.float() @ self.keys.T
            if groups is not None:
                near.masked_fill_(groups[:, None] == self.groups, -torch.inf)
            near, chosen = near.topk(min(self.neighbours, len(self.keys)), dim=1)
        query = functional.normalize(self.query(pooled), dim=-1)
        keys = functional.normalize(self.key(self.keys[chosen]), dim=-1)
        scores = torch.einsum("bh,bnh->bn", query, keys) / self.temperature.exp()
        mixture = torch.softmax(scores.masked_fill(near == -torch.inf, -torch.inf), dim=-1)
        looked = torch.einsum("bn,bnr->br", mixture, self.rows[chosen].to(mixture.dtype))
        correction: Tensor = self.outward(self.drop(functional.gelu(self.inward(pooled))))
        return looked + correction


def word_mask(words: Tensor, lengths: Tensor) -> Tensor:
    """(B, K) bool: where ``words`` (B, K, d) holds one of the ``lengths`` (B,) words of a set, and no padding."""
    return torch.arange(words.shape[1], device=words.device) < lengths.to(words.device)[:, None]
