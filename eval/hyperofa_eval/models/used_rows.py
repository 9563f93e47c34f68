"""An embedding matrix of which only the rows that a text uses are trained: the others would not change in any case."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.nn.functional import embedding


class UsedRows(nn.Module):
    """The embedding of some rows that learn and of all others as they are.

    Rows that a text does not hold have no gradient, and without weight decay AdamW leaves them alone. So the outcome is that of
    training the whole matrix, but gradient, norm and moments are of the used rows alone: a multilingual vocabulary has some
    250,000, and 600 sentences use 5,000.
    """

    def __init__(self, whole: nn.Embedding, used: Iterable[int]) -> None:
        super().__init__()
        self.whole = whole.requires_grad_(False)
        ids = torch.tensor(sorted({*used} - {whole.padding_idx}), device=whole.weight.device)
        self.rows = nn.Parameter(whole.weight[ids].clone())
        self.places: torch.Tensor
        self.register_buffer("places", torch.full((whole.num_embeddings,), -1, device=ids.device), persistent=False)
        self.places[ids] = torch.arange(len(ids), device=ids.device)

    @property
    def weight(self) -> torch.Tensor:
        """The matrix (V, D) as it was before training."""
        return self.whole.weight

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Rows of tokens, (..., D)."""
        places = self.places[ids]
        learning = embedding(places.clamp(min=0), self.rows)
        return torch.where((places >= 0).unsqueeze(-1), learning, self.whole(ids))

    def written(self) -> nn.Embedding:
        """The plain embedding, with the rows that have learnt."""
        with torch.no_grad():
            self.whole.weight[self.places >= 0] = self.rows.to(self.whole.weight.dtype)
        return self.whole.requires_grad_(True)


def train_used_rows(body: Any, used: Iterable[int]) -> UsedRows | None:
    """Put :class:`UsedRows` in place of a body's input embedding.

    None, and nothing changed, where it is not a plain one, or the body does not give it or let it be replaced.
    """
    try:
        whole = body.get_input_embeddings()
        body.set_input_embeddings(whole)  # as it is, to learn whether that can be done
    except NotImplementedError:
        return None
    if type(whole) is not nn.Embedding or whole.max_norm is not None or whole.scale_grad_by_freq or whole.sparse:
        return None
    if sum(parameter is whole.weight for _, parameter in body.named_parameters(remove_duplicate=False)) > 1:
        return None
    rows = UsedRows(whole, used)
    body.set_input_embeddings(rows)
    return rows
