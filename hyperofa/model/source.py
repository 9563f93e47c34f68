"""A source model in memory, and views of the parts that initialisation extends."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from transformers import PreTrainedModel

from hyperofa.model.families import Family, family_of, input_embedding, output_head


@dataclass(frozen=True)
class Source:
    """A source model and views of what initialisation needs.

    Attributes:
        model: the model with its language-model head.
        input_embeddings: (V, D) in the model's own dtype; V may exceed the tokenizer's size (padded rows).
        output_embeddings: (V, D) likewise, or None when the head is tied to the input.
        head_bias: (V,) float32, or None when the head has none.
        head_is_new: the checkpoint holds no language-model head, so one was made with the seed.
        family: the row of the families table.
    """

    model: PreTrainedModel
    input_embeddings: Tensor
    output_embeddings: Tensor | None
    head_bias: Tensor | None
    head_is_new: bool
    family: Family


def source_of(model: PreTrainedModel, *, head_is_new: bool = False) -> Source:
    """A :class:`Source` of a plain model in memory, as :func:`load_source` makes it."""
    family = family_of(model.config)
    embedding, head = input_embedding(model).weight, output_head(model)
    tied = head.weight is embedding
    bias = head.bias
    return Source(
        model=model,
        input_embeddings=embedding.detach(),
        output_embeddings=None if tied else head.weight.detach(),
        head_bias=None if bias is None else bias.detach().float(),
        head_is_new=head_is_new,
        family=family,
    )
