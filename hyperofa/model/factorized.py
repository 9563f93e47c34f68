"""Embeddings and output heads: factorised, E = F P with coordinates F (V, r) and primitives P (r, D), and plain ones."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from hyperofa.model.loss import LossSums, linear_cross_entropy


class _OnlyRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, matrix: Tensor, rows: Tensor) -> Tensor:
        ctx.save_for_backward(rows)
        return matrix.view_as(matrix)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (rows,) = ctx.saved_tensors
        grad = grads[0]
        keep = rows.to(grad.dtype)
        return grad * (keep[:, None] if grad.dim() == 2 else keep), None


class _Rows(nn.Module):
    """A module with a row per token, of which only some may learn.

    Attributes:
        trainable_rows: buffer (V,) of 0/1 or None; if set, only these rows learn, and what all rows share does not. It is part
            of the graph, so it holds under every engine.
    """

    trainable_rows: Tensor | None

    def _only_trainable(self, matrix: Tensor) -> Tensor:
        """``matrix`` (V, …) unchanged, with a gradient that is zero outside the trainable rows."""
        return matrix if self.trainable_rows is None else _OnlyRows.apply(matrix, self.trainable_rows)

    def _shared(self, matrix: Tensor) -> Tensor:
        return matrix if self.trainable_rows is None else matrix.detach()


class FactorizedEmbedding(_Rows):
    """Look up coordinate rows and map them to the model's width: ``scale * F[ids] P``.

    Only the wanted rows are multiplied, so the dense (V, D) matrix never exists.

    Attributes:
        coordinates: parameter F, (V, r).
        primitives: parameter P, (r, D).
    """

    def __init__(
        self, num_embeddings: int, embedding_dim: int, rank: int, padding_idx: int | None = None, scale: float = 1.0
    ) -> None:
        super().__init__()
        self.num_embeddings, self.embedding_dim, self.rank = num_embeddings, embedding_dim, rank
        self.padding_idx, self.scale = padding_idx, scale
        self.coordinates = nn.Parameter(torch.empty(num_embeddings, rank))
        self.primitives = nn.Parameter(torch.empty(rank, embedding_dim))
        self.register_buffer("trainable_rows", None, persistent=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw both factors so that a dense row has the usual standard deviation of 0.02."""
        nn.init.normal_(self.coordinates, std=0.02)
        nn.init.normal_(self.primitives, std=self.rank**-0.5)

    def forward(self, input_ids: Tensor) -> Tensor:
        """Embeddings ``(*ids, D)`` of token ids."""
        rows = functional.embedding(input_ids, self._only_trainable(self.coordinates), self.padding_idx)
        out = rows @ self._shared(self.primitives)
        return out if self.scale == 1.0 else out * self.scale

    def extra_repr(self) -> str:
        """Shapes, for ``print(model)``."""
        return f"{self.num_embeddings}, {self.embedding_dim}, rank={self.rank}, padding_idx={self.padding_idx}"


class _Head(_Rows):
    """Scores of all tokens; given targets, their summed cross-entropy without storing the scores.

    The loss runs inside this module's ``forward`` because ZeRO-3 gathers a module's own parameters only around that call.

    Attributes:
        rows_learn: if False, the loss has no gradient for the rows (nor the primitives) through this module; the bias has one.
    """

    bias: Any
    rows_learn: bool

    def _score(
        self,
        hidden: Tensor,
        weight: Tensor,
        primitives: Tensor | None,
        targets: Tensor | None = None,
        **options: Any,
    ) -> Tensor | LossSums:
        """Scores ``(*, V)`` of hidden states ``(*, D)``, or with ``targets`` (N,) the losses of ``hidden`` (N, D).

        ``options``: those of :func:`hyperofa.model.linear_cross_entropy`.
        """
        weight, primitives = self._only_trainable(weight), None if primitives is None else self._shared(primitives)
        bias = None if self.bias is None else self._only_trainable(self.bias)
        if not self.rows_learn:
            weight, primitives = weight.detach(), None if primitives is None else primitives.detach()
        if targets is None:
            hidden = hidden if primitives is None else functional.linear(hidden, primitives)
            return functional.linear(hidden, weight, bias)
        return linear_cross_entropy(hidden, weight, targets, primitives=primitives, bias=bias, **options)


class FactorizedHead(_Head):
    """An output head of scores ``(h P^T) F^T + b``. With tied embeddings F and P are the input's own parameters."""

    def __init__(self, in_features: int, out_features: int, rank: int, *, bias: bool) -> None:
        super().__init__()
        self.rows_learn = True
        self.in_features, self.out_features, self.rank = in_features, out_features, rank
        self.coordinates = nn.Parameter(torch.empty(out_features, rank))
        self.primitives = nn.Parameter(torch.empty(rank, in_features))
        self.bias = nn.Parameter(torch.zeros(out_features)) if bias else None
        self.register_buffer("trainable_rows", None, persistent=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw both factors so that a dense row has the usual standard deviation of 0.02; the bias is zero."""
        nn.init.normal_(self.coordinates, std=0.02)
        nn.init.normal_(self.primitives, std=self.rank**-0.5)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, hidden: Tensor, targets: Tensor | None = None, **options: Any) -> Tensor | LossSums:
        """Scores of all tokens, or the losses of ``targets``; see :meth:`_Head._score`."""
        return self._score(hidden, self.coordinates, self.primitives, targets, **options)

    def extra_repr(self) -> str:
        """Shapes, for ``print(model)``."""
        return f"{self.in_features}, {self.out_features}, rank={self.rank}, bias={self.bias is not None}"


class DenseEmbedding(_Rows, nn.Embedding):
    """An unfactorised embedding that can let only some rows learn."""

    def __init__(self, old: nn.Embedding) -> None:
        """Take over the parameter of ``old`` (nothing is copied)."""
        nn.Module.__init__(self)
        self.num_embeddings, self.embedding_dim = old.num_embeddings, old.embedding_dim
        self.padding_idx, self.max_norm, self.norm_type = old.padding_idx, old.max_norm, old.norm_type
        self.scale_grad_by_freq, self.sparse = old.scale_grad_by_freq, old.sparse
        self.scale = embedding_scale(old)
        self.weight = old.weight
        self.register_buffer("trainable_rows", None, persistent=False)

    def forward(self, input_ids: Tensor) -> Tensor:
        """Embeddings ``(*ids, D)`` of token ids."""
        out = functional.embedding(input_ids, self._only_trainable(self.weight), self.padding_idx)
        return out if self.scale == 1.0 else out * self.scale


class DenseHead(_Head, nn.Linear):
    """An unfactorised output head with the same two uses as :class:`FactorizedHead`."""

    def __init__(self, old: nn.Linear) -> None:
        """Take over the parameters of ``old`` (nothing is copied)."""
        nn.Module.__init__(self)
        self.in_features, self.out_features = old.in_features, old.out_features
        self.weight, self.bias = old.weight, old.bias
        self.rows_learn = True
        self.register_buffer("trainable_rows", None, persistent=False)

    def forward(self, hidden: Tensor, targets: Tensor | None = None, **options: Any) -> Tensor | LossSums:  # type: ignore[override]
        """Scores of all tokens, or the losses of ``targets``; see :meth:`_Head._score`."""
        return self._score(hidden, self.weight, None, targets, **options)


def embedding_scale(module: nn.Module) -> float:
    """The factor some families (Gemma) apply to embedded tokens inside the embedding module; 1 where there is none."""
    own = module.scale if isinstance(module, FactorizedEmbedding) else getattr(module, "scalar_embed_scale", 1.0)
    return float(own)
