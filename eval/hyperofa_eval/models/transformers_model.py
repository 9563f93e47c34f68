"""A transformers model as one that every task can score."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from hyperofa_eval.data.readers import Sentence
from hyperofa_eval.models.encoder import Encoder
from hyperofa_eval.models.encoding import EncodeSettings
from hyperofa_eval.models.loaded import LoadedModel
from hyperofa_eval.models.protocols import Loss, Vectors
from hyperofa_eval.tasks.tagging import Tagging

if TYPE_CHECKING:
    from hyperofa_eval.models.tagger import Tagger


class TransformersModel(LoadedModel):
    """Offers what :mod:`hyperofa_eval.models.protocols` names."""

    @cached_property
    def encoder(self) -> Encoder:
        """The sentence encoder over the body."""
        return Encoder(self)

    def encode(self, texts: Sequence[str], settings: EncodeSettings) -> Vectors:
        """Sentence vectors (n, D); see :class:`hyperofa_eval.models.protocols.Encoder`."""
        return self.encoder.encode(texts, settings)[:, 0]

    def encode_blocks(self, texts: Sequence[str], settings: EncodeSettings) -> Vectors:
        """Sentence vectors of several blocks in one pass, (n, blocks, D)."""
        return self.encoder.encode(texts, settings)

    def fine_tune(self, train: Sequence[Sentence], dev: Sequence[Sentence], settings: Tagging, seed: int) -> Tagger:
        """A tagger over a copy of the body; see :func:`hyperofa_eval.models.tagger.fit`."""
        from hyperofa_eval.models.tagger import fit  # these two import torch

        return fit(self, train, dev, settings, seed)

    def text_losses(self, texts: Sequence[str], share: float, seed: int) -> list[Loss]:
        """Nats, predicted tokens, their characters and unknown tokens, per text; see :mod:`hyperofa_eval.models.losses`."""
        from hyperofa_eval.models.losses import text_losses

        return text_losses(self, texts, share, seed)

    def blocks(self, settings: EncodeSettings) -> tuple[int, ...]:
        """The 1-based blocks that ``settings`` names on this model."""
        return self.encoder.resolve(settings)
