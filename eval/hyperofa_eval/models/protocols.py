"""What a model must offer to be scored: each task names a protocol, and any object with its members will do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from hyperofa_eval.base.errors import InputError
from hyperofa_eval.data.readers import Sentence
from hyperofa_eval.models.encoding import EncodeSettings

Vectors = NDArray[np.float32]
TagSentences = Callable[[Sequence[Sentence]], Sequence[Sequence[str]]]
"""A fitted tagger: one tag for each token of each sentence."""
Loss = tuple[float, int, int, int]
"""Of one text: nats, predicted tokens, characters they stand for, unknown tokens among them."""
Settings_contra = TypeVar("Settings_contra", contravariant=True)


class Model(Protocol):
    """What every model has."""

    @property
    def identity(self) -> Mapping[str, Any]:
        """``name``, ``sha256`` and ``tokenizer_sha256`` at least: results name the model by it, and old ones hold by it.

        ``prompt`` is what the model itself puts before a text, where the settings name no prompt.
        """


class Encoder(Model, Protocol):
    """A model that gives sentence vectors."""

    def encode(self, texts: Sequence[str], settings: EncodeSettings) -> Vectors:
        """One vector per text, shape ``(n, D)``, finite."""


@runtime_checkable
class Layered(Protocol):
    """A model that can say which of its blocks were pooled."""

    def blocks(self, settings: EncodeSettings) -> tuple[int, ...]:
        """The 1-based blocks that ``settings`` names."""


class BlockEncoder(Encoder, Layered, Protocol):
    """A model that gives the vectors of several blocks in one pass."""

    def encode_blocks(self, texts: Sequence[str], settings: EncodeSettings) -> Vectors:
        """Vectors of each text and block, shape ``(n, blocks, D)``, finite."""


class Taggable(Model, Protocol[Settings_contra]):
    """A model that can be fine-tuned to tag words."""

    def fine_tune(
        self, train: Sequence[Sentence], dev: Sequence[Sentence], settings: Settings_contra, seed: int
    ) -> TagSentences:
        """A tagger fitted to ``train``, chosen by ``dev``."""


class TextScorer(Model, Protocol):
    """A model with a language-model head."""

    @property
    def head(self) -> str:
        """``masked`` or ``causal``."""

    def text_losses(self, texts: Sequence[str], share: float, seed: int) -> Sequence[Loss]:
        """The losses of each text; of a masked model, those of ``share`` of its words, chosen by the seed."""


@runtime_checkable
class Tokenized(Protocol):
    """A model whose tokenizer cuts words, so that long sentences can be cut where the model's input ends."""

    @property
    def tokenizer(self) -> Any:
        """A transformers tokenizer."""


@runtime_checkable
class Placed(Protocol):
    """A model that works on a device; the nearest neighbours of its vectors are searched there too."""

    @property
    def device(self) -> str:
        """The name of a torch device."""


def check_offers(model: Model, needs: type, who: str) -> None:
    """Refuse, as :class:`InputError`, a model that lacks a member of the protocol ``needs``; ``who`` is the task."""
    missing = [name for name in dir(needs) if not name.startswith("_") and not hasattr(model, name)]
    if missing:
        where = name_of(model) if hasattr(model, "identity") else type(model).__name__
        raise InputError(f"the task {who} needs a model with {' and '.join(missing)}", where=where)


def name_of(model: Model) -> str:
    """What errors call the model."""
    return str(model.identity.get("name", "model"))
