"""The network: what is known of a token in one vector, to what its row is beyond a base: a linear map and a small network."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class SpellingNetwork(nn.Module):
    """A linear map plus a feed-forward network whose answer is zero before it has learned.

    ``linear`` is set from outside and does not learn: a regression drawn to the base would forget by what.
    """

    def __init__(self, known: int, width: int, hidden: int, layers: int, dropout: float) -> None:
        """From ``known`` numbers of a token to rows of ``width``."""
        super().__init__()
        self.linear = nn.Linear(known, width).requires_grad_(requires_grad=False)
        nn.init.zeros_(self.linear.weight)  # a source none of whose tokens is spelled by others teaches nothing
        nn.init.zeros_(self.linear.bias)
        parts: list[nn.Module] = []
        size = known
        for _ in range(layers):
            parts += [nn.Linear(size, hidden), nn.GELU(), nn.Dropout(dropout)]
            size = hidden
        self.hidden = nn.Sequential(*parts)
        self.leave = nn.Linear(size, width)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, known: Tensor, *, bf16: bool) -> Tensor:
        """Rows (B, width) float32 of tokens (B, known); with ``bf16`` the added part is worked out in bfloat16."""
        with torch.autocast(known.device.type, torch.bfloat16, enabled=bf16):
            added = self.leave(self.hidden(known))
        rows: Tensor = self.linear(known) + added.float()
        return rows
