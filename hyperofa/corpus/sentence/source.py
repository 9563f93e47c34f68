"""The frozen source model whose vectors sentences learn, made as sentence-transformers makes them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hyperofa.base.device import device_named
from hyperofa.base.sentence_modules import SentenceForm, sentence_form
from hyperofa.corpus.packing import chunks
from hyperofa.errors import InputError
from hyperofa_eval.base.processes import Processes
from hyperofa_eval.models.encoding import EncodeSettings
from hyperofa_eval.models.loading import load_model
from hyperofa_eval.settings.evaluation import NumberFormat
from hyperofa_eval.text.plain_text import PlainText

log = logging.getLogger(__name__)

_LENGTH = 512
"""Tokens kept of a text where the source's files say nothing; less where it has fewer positions."""
_TOGETHER = 8192
"""Texts after which a cache holds their vectors, so that interrupted work goes on there."""


class SourceVectors:
    """Vectors of texts: the last block's states, pooled, and scaled to length 1 where the source's files say so.

    A module with weights behind the pooling, such as a projection, stays behind it in the trained model, so what comes before it
    is what is learned.

    Attributes:
        prompt: stands before every text.
        record: what says which vectors these are.
    """

    def __init__(
        self, model: str, *, prompt: str | None, cache: Path | None = None, dtype: NumberFormat = "float32"
    ) -> None:
        """Load a directory or hub id; ``cache`` keeps its vectors, found by content.

        Raises:
            DataMissingError: there is no such model.
            InputError: it cannot be read, or pools in an unknown way, or it is a decoder.
        """
        self.form = sentence_form(model) or SentenceForm()
        processes = Processes(device=str(device_named("auto", "corpus prepare")))
        self._model = load_model(model, dtype=dtype, processes=processes, cache=cache)
        if "CausalLM" in " ".join(self._model.body.config.architectures or []):
            raise InputError("a decoder, and sentences learn from an encoder", where=model, todo="leave --source out")
        self.prompt = self._model.prompt if prompt is None else prompt
        pooling = {"mean": "mean-all", "cls": "cls"}[self.form.pooling]
        self._settings = EncodeSettings(
            self._model.encoder.depth,
            pooling,  # type: ignore[arg-type]
            self.form.max_length or _LENGTH,
            self.prompt,
        )

    @property
    def record(self) -> dict[str, object]:
        """What ``corpus.json`` says of the source."""
        known = self._model.identity
        facts = {"source": known["name"], "source_sha256": known["sha256"], "prompt": self.prompt}
        return {**facts, "pooling": self.form.pooling, "normalised": self.form.normalised}

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The vectors (n, D) of n texts."""
        vectors = np.concatenate([self._model.encode(part, self._settings) for part in chunks(texts, _TOGETHER)])
        if self.form.normalised:
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True).clip(min=1e-12)
        return vectors

    def unknown(self, texts: Sequence[str]) -> float:
        """The share of unknown tokens in the source's spelling of texts."""
        tokenizer = self._model.tokenizer
        ids = np.concatenate([np.array(row) for row in PlainText(tokenizer).ids(texts)])
        return float((ids == tokenizer.unk_token_id).mean()) if len(ids) else 0.0
