"""Sentence retrieval (SR-T on Tatoeba, SR-B on the Bible): how often a sentence's translation is its nearest."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray

from hyperofa_eval.base.errors import InputError, unknown
from hyperofa_eval.data.layout import DataFolder, Pairs
from hyperofa_eval.languages import PIVOT, is_pivot
from hyperofa_eval.models.encoding import Block, EncodeSettings, Pooling
from hyperofa_eval.models.protocols import BlockEncoder, Encoder, Layered, Model, Placed, Vectors, name_of
from hyperofa_eval.scoring.search import ranks
from hyperofa_eval.scoring.statistics import Items, hits
from hyperofa_eval.tasks.task import Outcome, Task

log = logging.getLogger(__name__)

Direction = Literal["en-x", "x-en", "both"]
TOP = (1, 5, 10)


@dataclass(frozen=True)
class Retrieval(Task[Encoder, Encoder]):
    """Top-k accuracy of finding each sentence's translation among all of the test set, by cosine."""

    name: str = "sr-t"
    corpus: str = "tatoeba"
    block: Block = "auto"
    pooling: Pooling = "mean"
    max_length: int = 512
    prompt: str | None = None
    """What stands before every text; None: what the model's own settings say."""
    direction: Direction = "en-x"
    """``en-x``: English is the query, the other language the index; ``both`` is the mean of the two."""
    csls: bool = False
    """Rank by cross-domain similarity local scaling instead of the plain cosine."""

    summary: ClassVar[str] = "sentence retrieval: top-1/5/10 accuracy"
    metric: ClassVar[str] = "top10"
    higher_is_better: ClassVar[bool] = True
    unit: ClassVar[str] = "percent"
    seeded: ClassVar[bool] = False
    together: ClassVar[bool] = True

    @property
    def needs(self) -> type:  # type: ignore[override]
        """Vectors of every block take a model that gives them in one pass."""
        return BlockEncoder if self.block == "all" else Encoder

    def __post_init__(self) -> None:
        if self.direction not in get_args(Direction):
            raise unknown("direction", self.direction, get_args(Direction))
        self.encoding()

    def encoding(self) -> EncodeSettings:
        """The encoder's part of the settings, checked."""
        return EncodeSettings(self.block, self.pooling, self.max_length, self.prompt)

    def has(self, data: DataFolder, language: str) -> bool:
        """Whether there are pairs with English; English itself has none."""
        if self.corpus == "bible" and not data.has("bible", PIVOT):
            return False
        return not is_pivot(language) and data.has(self.corpus, language)

    def read(self, data: DataFolder, language: str, limit: int | None) -> Pairs:
        """The pairs to score."""
        return data.pairs(self.corpus, language).first(limit)

    def score(self, prepared: Encoder, data: DataFolder, language: str, seed: int, limit: int | None) -> Outcome:
        """Top-k hits of every pair, at the main block, and the accuracies of every block where all were asked for."""
        pairs = self.read(data, language, limit)
        if pairs.overlap is not None:
            log.log(pairs.overlap.level, "%s", pairs.overlap)
        n = len(pairs.ids)
        device = prepared.device if isinstance(prepared, Placed) else "cpu"
        blocks, main, (english, other) = self._vectors(prepared, pairs)
        if english.shape != other.shape:
            what = f"vectors of {english.shape[-1]} and of {other.shape[-1]} dimensions cannot be compared"
            raise InputError(what, where=name_of(prepared))
        ranks_of_blocks = [self._ranks(english[:, i], other[:, i], device) for i in range(english.shape[1])]
        lines = [" ".join(map(str, rank.tolist())) for rank in ranks_of_blocks[main]]
        details: dict[str, Any] = {"block": blocks[main] if blocks else None, "ranks": lines[0]}
        if self.direction == "both":
            details["ranks_x_en"] = lines[1]
        if self.block == "all":
            details["blocks"] = {
                str(block): {f"top{k}": _top(rank, k).value() for k in TOP}
                for block, rank in zip(blocks, ranks_of_blocks, strict=True)
            }
        return Outcome(
            items={f"top{k}": _top(ranks_of_blocks[main], k) for k in TOP},
            chance={f"top{k}": 100 * min(k, n) / n for k in TOP},
            files=pairs.files,
            details=details,
        )

    def _ranks(self, english: Vectors, other: Vectors, device: str) -> list[NDArray[np.int64]]:
        both = {"en-x": (english, other), "x-en": (other, english)}
        directions = both if self.direction == "both" else {self.direction}
        return [ranks(*sides, csls=self.csls, device=device) for name, sides in both.items() if name in directions]

    def _vectors(self, model: Encoder, pairs: Pairs) -> tuple[tuple[int, ...], int, list[Vectors]]:
        """The blocks where the model names them, the place of the main one, and both sides, ``(n, blocks, D)`` each."""
        sides, n = (pairs.english, pairs.other), len(pairs.ids)
        if self.block == "all":
            every = cast("BlockEncoder", model)
            blocks = tuple(every.blocks(self.encoding()))
            (main,) = every.blocks(EncodeSettings("auto", self.pooling, self.max_length, self.prompt))
            encoded = [every.encode_blocks(texts, self.encoding()) for texts in sides]
            return blocks, blocks.index(main), [_checked(model, vectors, (n, len(blocks))) for vectors in encoded]
        blocks = tuple(model.blocks(self.encoding())) if isinstance(model, Layered) else ()
        encoded = [model.encode(texts, self.encoding()) for texts in sides]
        return blocks, 0, [_checked(model, vectors, (n,))[:, None] for vectors in encoded]


def _checked(model: Model, vectors: object, shape: tuple[int, ...]) -> Vectors:
    """A model's vectors as float32 of ``shape`` and D, if they are that; ranks of NaN would all be 0, which scores 100."""
    array = np.asarray(vectors, dtype=np.float32)
    if array.ndim != len(shape) + 1 or array.shape[:-1] != shape or not array.shape[-1]:
        raise InputError(f"its encode gave shape {array.shape} for {shape[0]} texts", where=name_of(model))
    if not np.isfinite(array).all():
        raise InputError("its vectors hold NaN or infinity", where=name_of(model), todo="check its weights")
    return array


def _top(ranked: list[NDArray[np.int64]], k: int) -> Items:
    """Hits at ``k``: per pair, the mean over the directions searched."""
    if len(ranked) == 1:
        return hits(ranked[0] < k)
    return Items(np.mean([rank < k for rank in ranked], axis=0), np.ones(len(ranked[0])))
