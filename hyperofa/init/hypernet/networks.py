"""The hypernetworks behind one interface: BiLSTM (the paper's), set transformer, deep sets, attention over source tokens."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from hyperofa.init.hypernet.attention import SourceAttention, SourceTable, word_mask
from hyperofa.init.hypernet.recurrence import final_states
from hyperofa.init.hypernet.settings import NetworkConfig


class BiLstm(nn.Module):
    """Words as a sequence; the last layer's final states of both directions through a two-layer head (HyperOFA, §3.3)."""

    def __init__(self, config: NetworkConfig, width: int, rank: int) -> None:
        super().__init__()
        between = config.dropout if config.layers > 1 else 0.0
        self.lstm = nn.LSTM(width, config.hidden, config.layers, batch_first=True, bidirectional=True, dropout=between)
        self.head = _head(2 * config.hidden, rank, config.dropout)

    def forward(self, words: Tensor, shares: Tensor, lengths: Tensor, groups: Tensor | None = None) -> Tensor:
        """Rows (B, r) of word vectors (B, K, d), the token's shares of them (B, K) and set sizes (B,).

        ``groups`` (B,) are the tokens' groups, which only a network that looks at source tokens needs (and only while it is
        fitted, so that a token does not see itself).
        """
        rows: Tensor = self.head(final_states(self.lstm, words, lengths))
        return rows


class SetTransformer(nn.Module):
    """Transformer encoder without positions, masked mean pooling (HyperOFA's "SetFormer", appendix)."""

    def __init__(self, config: NetworkConfig, width: int, rank: int) -> None:
        super().__init__()
        self.inward = nn.Linear(width, config.hidden)
        layer = nn.TransformerEncoderLayer(
            config.hidden, config.heads, 4 * config.hidden, config.dropout, "gelu", batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, config.layers, enable_nested_tensor=False)
        self.head = _head(config.hidden, rank, config.dropout)

    def forward(self, words: Tensor, shares: Tensor, lengths: Tensor, groups: Tensor | None = None) -> Tensor:
        """Rows (B, r); see :meth:`BiLstm.forward`."""
        mask = word_mask(words, lengths)
        hidden = self.encoder(self.inward(words), src_key_padding_mask=~mask)
        return self.head(_mean(hidden, mask.to(hidden.dtype)))


class DeepSets(nn.Module):
    """Each word through a network, the mean weighted by the token's shares, and the mean through another (Zaheer et al. 2017)."""

    def __init__(self, config: NetworkConfig, width: int, rank: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for index in range(config.layers):
            layers += [nn.Linear(width if index == 0 else config.hidden, config.hidden), nn.GELU()]
        self.each = nn.Sequential(*layers, nn.Dropout(config.dropout))
        self.weight = nn.Parameter(torch.ones(()))
        self.head = _head(config.hidden + width, rank, config.dropout)

    def forward(self, words: Tensor, shares: Tensor, lengths: Tensor, groups: Tensor | None = None) -> Tensor:
        """Rows (B, r); see :meth:`BiLstm.forward`."""
        weights = shares.clamp(min=1e-6) ** self.weight * word_mask(words, lengths).to(words.dtype)
        pooled = torch.cat([_mean(self.each(words), weights), _mean(words, weights)], dim=-1)
        return self.head(pooled)


def _head(width: int, rank: int, dropout: float) -> nn.Sequential:
    """Linear(2h, 2D') -> GELU -> Dropout -> Linear(2D', D') (HyperOFA, §3.3)."""
    return nn.Sequential(nn.Linear(width, 2 * rank), nn.GELU(), nn.Dropout(dropout), nn.Linear(2 * rank, rank))


def _mean(values: Tensor, weights: Tensor) -> Tensor:
    total = (values * weights[..., None]).sum(dim=1)
    return total / weights.sum(dim=1).clamp(min=1e-6)[:, None]


NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "bilstm": BiLstm,
    "set-transformer": SetTransformer,
    "deep-sets": DeepSets,
    "attention": SourceAttention,
}


def build_network(
    config: NetworkConfig, width: int, rank: int, seed: int, source: SourceTable | None = None
) -> nn.Module:
    """A network of the shape ``config`` from word vectors (d = ``width``) to rows (r = ``rank``), drawn with ``seed``.

    All share one interface, see :meth:`BiLstm.forward`. ``source`` is for those that look at source tokens.

    Raises:
        ValueError: the network looks at source tokens, and none are given.
    """
    looks = config.network == "attention"
    if looks and source is None:
        raise ValueError(f"the network {config.network} needs the table of source tokens")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return NETWORKS[config.network](config, width, rank, *([source] if looks else []))
