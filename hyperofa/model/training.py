"""The module that is trained: a pre-trained model whose forward pass ends in the loss of the wanted positions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel
from transformers.utils import ModelOutput

from hyperofa.base.modeltypes import Phase, TiedGradient
from hyperofa.errors import InputError
from hyperofa.model.documents import separate_documents
from hyperofa.model.dropout import StatelessDropout, make_stateless
from hyperofa.model.factorized import DenseEmbedding, DenseHead
from hyperofa.model.families import (
    family_of,
    final_softcap,
    input_embedding,
    is_factorized,
    is_tied,
    lm_class,
    output_head,
    parameter_dtype,
)
from hyperofa.model.loss import sentence_losses
from hyperofa.model.phases import enter_phase, freeze_beyond_body
from hyperofa.model.pretrained import read_config, read_weights

if TYPE_CHECKING:
    from hyperofa.model.adapter import Adapter

IGNORED = -100
"""The label of a position that is not wanted."""


@dataclass
class TrainingOutput(ModelOutput):
    """What one micro-batch contributes; the trainer divides the global sum by the global count.

    Attributes:
        loss_sum: () float32, the sum of the losses of the wanted positions; has a graph even where there is none.
        n_targets: () int64, the number of wanted positions.
        row_loss_sums: (B,) float32 without a graph, the same per sequence.
        row_targets: (B,) int64, the same per sequence.
    """

    loss_sum: Tensor | None = None
    n_targets: Tensor | None = None
    row_loss_sums: Tensor | None = None
    row_targets: Tensor | None = None


class TrainingModel(nn.Module):
    """A pre-trained model with its loss inside ``forward``, so that ZeRO-3 gathers each parameter where it is used.

    Attributes:
        pretrained: the transformers model; save this one. Its parameters are this module's, under ``pretrained.``.
        objective: ``mlm``, ``causal``, or ``sentence`` in :class:`SentenceModel`.
        graph_below_head: False where only the head learns now and nothing else below it ever will.
        adapter: what :func:`hyperofa.model.adapter.add_adapter` gave back, where the body has adapters.
    """

    def __init__(
        self,
        pretrained: PreTrainedModel,
        *,
        impl: str = "auto",
        chunk_bytes: int | None = None,
        separate_documents: bool = False,
        dropout: float | None = None,
        tied_gradient: TiedGradient = "both",
    ) -> None:
        """Wrap a model with a language-model head.

        Args:
            pretrained: factorised or plain.
            impl: see :func:`hyperofa.model.linear_cross_entropy`.
            chunk_bytes: likewise.
            separate_documents: keep the documents of a packed sequence apart (the paper lets them see each other).
            dropout: rate for all dropout layers of the body; None keeps the config's. Attention probabilities are never
                dropped. The masks are functions of ``dropout_keys``, see :mod:`hyperofa.model.dropout`.
            tied_gradient: ``input`` lets rows that are tied to the head learn as inputs only. As an output, every row is
                pushed away from the mean state at every position that wants another token; rows of rare tokens, which the
                input side seldom corrects, then drift in one common direction (Gao et al. 2019, Representation
                degeneration). ``input`` spares a short training of a frozen body from that.

        Raises:
            InputError: ``tied_gradient`` is ``input`` and the head is not tied: its rows would never learn.
        """
        super().__init__()
        self.pretrained = pretrained
        self.family = family_of(pretrained.config)
        self.objective: str = self.family.objective
        self.impl, self.chunk_bytes = impl, chunk_bytes
        self.separate_documents = separate_documents
        if not is_factorized(pretrained.config):
            embedding, head = input_embedding(pretrained), output_head(pretrained)
            if not isinstance(embedding, DenseEmbedding):
                pretrained.base_model.set_submodule(self.family.embedding, DenseEmbedding(embedding))
                pretrained.set_submodule(self.family.head, DenseHead(head))
        self.dropouts: list[StatelessDropout] = make_stateless(pretrained, dropout)
        self.graph_below_head = True
        self.adapter: Adapter | None = None
        output_head(pretrained).rows_learn = tied_gradient == "both"
        if tied_gradient == "input" and not is_tied(pretrained):
            raise InputError("tied_gradient is input, but the model's head is not tied", todo="leave tied_gradient out")

    @property
    def config(self) -> Any:
        """The pre-trained model's config (DeepSpeed integrations look for it here)."""
        return self.pretrained.config

    @property
    def max_length(self) -> int | None:
        """The longest sequence the model has positions for; None where the config states no limit."""
        positions = getattr(self.config, "max_position_embeddings", None)
        if positions is None or not self.family.shifted_positions:
            return positions
        return positions - self.config.pad_token_id - 1

    def plain_state(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """A state dict of this module by the names of :attr:`pretrained`, with adapters merged into their matrices."""
        own = {name.removeprefix("pretrained."): tensor for name, tensor in state.items()}
        return own if self.adapter is None else self.adapter.merged(own)

    def set_phase(self, phase: Phase, new_rows: Tensor | None = None) -> None:
        """Choose what learns from now on; see :func:`hyperofa.model.phases.enter_phase`."""
        self.graph_below_head = enter_phase(self.pretrained, phase, new_rows)

    def gradient_checkpointing_enable(self) -> None:
        """Recompute each layer in the backward pass instead of storing its activations."""
        new = getattr(self.pretrained, "activation_checkpointing_enable", None)  # transformers 5.2x; the old name warns
        (new or self.pretrained.gradient_checkpointing_enable)({"use_reentrant": False})

    def forward(
        self,
        input_ids: Tensor,
        labels: Tensor,
        segments: Tensor | None = None,
        attention_mask: Tensor | None = None,
        dropout_keys: Tensor | None = None,
    ) -> TrainingOutput:
        """The loss of one micro-batch.

        Args:
            input_ids: (B, L) int64.
            labels: (B, L) int64, -100 where nothing is wanted; not shifted: a causal model's state at position i
                is scored against ``labels[:, i + 1]``.
            segments: (B, L) int64, document index within the sequence; needed to keep documents apart.
            attention_mask: (B, L), 0 at padding; leave it out where there is none, attention is then faster.
            dropout_keys: (B,) int64, one key per sequence and visit; needed when dropout is on.
        """
        for dropout in self.dropouts:
            dropout.keys = dropout_keys
        inputs: dict[str, Any] = {"attention_mask": attention_mask}
        if self.separate_documents:
            if segments is None:
                raise ValueError("segments are needed to keep documents apart")
            dtype = parameter_dtype(self.pretrained)
            inputs = separate_documents(self.family, self.config, segments, dtype)
        if self.objective == "causal":
            inputs["use_cache"] = False
        with torch.set_grad_enabled(self.graph_below_head and torch.is_grad_enabled()):
            hidden = self.pretrained.base_model(input_ids=input_ids, **inputs).last_hidden_state
        if self.objective == "causal":
            hidden, labels = hidden[:, :-1], labels[:, 1:]
        rows, columns = (labels != IGNORED).nonzero(as_tuple=True)
        wanted = self.family.before_head(self.pretrained, hidden[rows, columns])
        total, losses = output_head(self.pretrained)(
            wanted,
            labels[rows, columns],
            impl=self.impl,
            chunk_bytes=self.chunk_bytes,
            softcap=final_softcap(self.config),
        )
        batch = labels.shape[0]
        return TrainingOutput(
            loss_sum=total,
            n_targets=torch.tensor(rows.shape[0], device=labels.device),
            row_loss_sums=losses.new_zeros(batch).index_add_(0, rows, losses),
            row_targets=torch.bincount(rows, minlength=batch),
        )


@dataclass(frozen=True)
class SentenceTargets:
    """How a sentence's vector is made, and where the targets lie.

    Attributes:
        pooling: ``mean`` of the last states, specials included, or ``cls``, the first one.
        normalised: vectors are scaled to length 1.
        mean: (D,) the targets' mean.
        variance: their mean squared distance from it.
    """

    pooling: str
    normalised: bool
    mean: Tensor
    variance: float

    def vectors(self, states: Tensor, mask: Tensor) -> Tensor:
        """Vectors (B, D) float32 of states (B, L, D) under a mask (B, L) of 0 and 1."""
        states = states.float()
        if self.pooling == "cls":
            pooled = states[:, 0]
        else:
            weights = mask.float()[..., None]
            pooled = (states * weights).sum(1) / weights.sum(1).clamp(min=1)
        return functional.normalize(pooled, dim=1) if self.normalised else pooled


class SentenceModel(TrainingModel):
    """An encoder whose sentences' vectors learn target vectors; its language-model head takes no part and stays as it is."""

    def __init__(self, pretrained: PreTrainedModel, *, targets: SentenceTargets, **options: Any) -> None:
        """Wrap an encoder; ``options`` are those of :class:`TrainingModel`.

        Raises:
            InputError: the model is a decoder, or its states have another size than the targets.
        """
        super().__init__(pretrained, **options)
        if self.objective != "mlm":
            what = f"objective sentence is for encoders, and {self.family.model_type} is a decoder"
            raise InputError(what, todo="leave objective out")
        if (width := self.config.hidden_size) != len(targets.mean):
            what = f"the corpus's target vectors have {len(targets.mean)} numbers, the model's states {width}"
            raise InputError(what, todo="prepare the corpus with the source that the model was made from")
        self.objective, self.targets = "sentence", targets
        freeze_beyond_body(pretrained)

    def forward(  # type: ignore[override]
        self, input_ids: Tensor, attention_mask: Tensor, targets: Tensor, dropout_keys: Tensor | None = None
    ) -> TrainingOutput:
        """The loss of one micro-batch; every sentence counts once.

        Args:
            input_ids: (B, L) int64.
            attention_mask: (B, L) int64, 0 at padding.
            targets: (B, D) float32.
            dropout_keys: (B,) int64, one key per sentence and visit; needed when dropout is on.
        """
        for dropout in self.dropouts:
            dropout.keys = dropout_keys
        states = self.pretrained.base_model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        vectors = self.targets.vectors(states, attention_mask)
        losses = sentence_losses(vectors, targets, self.targets.mean.to(vectors.device), self.targets.variance)
        ones = torch.ones_like(input_ids[:, 0])
        return TrainingOutput(
            loss_sum=losses.sum(), n_targets=ones.sum(), row_loss_sums=losses.detach(), row_targets=ones
        )


def load_for_training(path: str | Path, *, sentences: SentenceTargets | None = None, **options: Any) -> TrainingModel:
    """Load a model directory (factorised or plain) for training, in float32 and in training mode.

    Args:
        path: directory written by ``hyperofa init``, or any model of a supported family.
        sentences: what its sentences' vectors learn; None: the loss is the model's own, over tokens.
        options: those of :class:`TrainingModel`.

    Raises:
        DataMissingError: there is no such model, or it is damaged.
        InputError: the family is unknown, the config does not fit the weights, or the checkpoint lacks some.
    """
    config = read_config(str(path))
    family = family_of(config, path)
    model_class = lm_class(family, factorized=is_factorized(config))
    pretrained, missing = read_weights(model_class, str(path), dtype=torch.float32)
    if missing:
        what = f"the checkpoint lacks {len(missing)} weights, such as {missing[0]}"
        raise InputError(what, where=path, todo="make it with hyperofa init")
    if sentences is not None:
        return SentenceModel(pretrained, targets=sentences, **options).train()
    return TrainingModel(pretrained, **options).train()
