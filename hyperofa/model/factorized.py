"""The factorised embedding and output head: E = F P, coordinates F (V, r) times primitives P (r, D)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from hyperofa.model.loss import LossSums, linear_cross_entropy
from hyperofa.model.rows import only_rows


class FactorizedEmbedding(nn.Module):
    """Look up coordinate rows and map them to the model's width: ``scale * F[ids] P``.

    Only the wanted rows are multiplied, so the dense (V, D) matrix never exists.

    Attributes:
        coordinates: parameter F, (V, r).
        primitives: parameter P, (r, D).
        trainable_rows: buffer (V,) of 0/1 or None; if set, only these rows of F learn, and P does not.
    """

    trainable_rows: Tensor | None

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
        coordinates: Tensor = self.coordinates
        primitives: Tensor = self.primitives
        if self.trainable_rows is not None:
            coordinates, primitives = only_rows(coordinates, self.trainable_rows), primitives.detach()
        rows = functional.embedding(input_ids, coordinates, self.padding_idx)
        out = rows @ primitives
        return out if self.scale == 1.0 else out * self.scale

    def extra_repr(self) -> str:
        """Shapes, for ``print(model)``."""
        return f"{self.num_embeddings}, {self.embedding_dim}, rank={self.rank}, padding_idx={self.padding_idx}"


class FactorizedHead(nn.Module):
    """Scores of all tokens, ``(h P^T) F^T + b``; given targets, their summed cross-entropy without storing the scores.

    With tied embeddings F and P are the same parameters as the input's. The loss runs inside this module's ``forward``
    because ZeRO-3 gathers a module's own parameters only around that call.

    Attributes:
        trainable_rows: as in :class:`FactorizedEmbedding`.
        rows_learn: if False, the loss has no gradient for F and P through this module; the bias has one.
    """

    trainable_rows: Tensor | None

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

    def forward(
        self,
        hidden: Tensor,
        targets: Tensor | None = None,
        *,
        impl: str = "auto",
        chunk_bytes: int | None = None,
        softcap: float | None = None,
    ) -> Tensor | LossSums:
        """Scores ``(*, V)`` of hidden states ``(*, D)``, or with ``targets`` (N,) the losses of ``hidden`` (N, D)."""
        coordinates: Tensor = self.coordinates
        primitives: Tensor = self.primitives
        bias: Tensor | None = self.bias
        if self.trainable_rows is not None:
            coordinates, primitives = only_rows(coordinates, self.trainable_rows), primitives.detach()
            bias = None if bias is None else only_rows(bias, self.trainable_rows)
        if not self.rows_learn:
            coordinates, primitives = coordinates.detach(), primitives.detach()
        if targets is None:
            return functional.linear(functional.linear(hidden, primitives), coordinates, bias)
        return linear_cross_entropy(
            hidden,
            coordinates,
            targets,
            primitives=primitives,
            bias=bias,
            impl=impl,
            chunk_bytes=chunk_bytes,
            softcap=softcap,
        )

    def extra_repr(self) -> str:
        """Shapes, for ``print(model)``."""
        return f"{self.in_features}, {self.out_features}, rank={self.rank}, bias={self.bias is not None}"


class DenseEmbedding(nn.Embedding):
    """An unfactorised embedding that can let only some rows learn (see :class:`FactorizedEmbedding`)."""

    trainable_rows: Tensor | None

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
        weight = self.weight if self.trainable_rows is None else only_rows(self.weight, self.trainable_rows)
        out = functional.embedding(input_ids, weight, self.padding_idx)
        return out if self.scale == 1.0 else out * self.scale


class DenseHead(nn.Linear):
    """An unfactorised output head with the same two uses as :class:`FactorizedHead`."""

    trainable_rows: Tensor | None

    def __init__(self, old: nn.Linear) -> None:
        """Take over the parameters of ``old`` (nothing is copied)."""
        nn.Module.__init__(self)
        self.in_features, self.out_features = old.in_features, old.out_features
        self.weight, self.bias = old.weight, old.bias
        self.rows_learn = True
        self.register_buffer("trainable_rows", None, persistent=False)

    def forward(  # type: ignore[override]
        self,
        hidden: Tensor,
        targets: Tensor | None = None,
        *,
        impl: str = "auto",
        chunk_bytes: int | None = None,
        softcap: float | None = None,
    ) -> Tensor | LossSums:
        """Scores ``(*, V)`` of hidden states ``(*, D)``, or with ``targets`` (N,) the losses of ``hidden`` (N, D)."""
        weight: Tensor = self.weight
        bias: Tensor | None = self.bias
        if self.trainable_rows is not None:
            weight = only_rows(weight, self.trainable_rows)
            bias = None if bias is None else only_rows(bias, self.trainable_rows)
        if not self.rows_learn:
            weight = weight.detach()
        if targets is None:
            return functional.linear(hidden, weight, bias)
        return linear_cross_entropy(
            hidden, weight, targets, bias=bias, impl=impl, chunk_bytes=chunk_bytes, softcap=softcap
        )


def embedding_scale(module: nn.Module) -> float:
    """The factor some families (Gemma) apply to embedded tokens inside the embedding module; 1 where there is none."""
    own = module.scale if isinstance(module, FactorizedEmbedding) else getattr(module, "scalar_embed_scale", 1.0)
    return float(own)
