"""Pieces that a tokenizer may gain, and the tokenizer with some of them; old ids stay."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hyperofa.errors import HyperofaError
from hyperofa.vocab.learning.carry import with_backend
from hyperofa.vocab.learning.merges import Merge

_BESIDE_PARTS = 0.1  # a new unigram piece scores this much above its two parts, or it would never be chosen
# Score of an added token's place in a unigram vocabulary; the text is cut at it before the model sees it.
_NEVER = -100.0
_BATCH = 5_000  # words cut at a time


class Candidates:
    """Further pieces for a source's tokenizer: characters that it lacks, then what merges make.

    BPE gets the merges after its own, WordPiece the pieces, unigram the pieces with a score that lets each win over its parts.

    Attributes:
        pieces: the new pieces, n, in the order of their ids when all are taken; the characters come first.
        parts: by piece, the numbers of the two pieces that it joins, (n, 2) int64; -1 for a character, and for a part that
            the source has.
        needs: for BPE, by piece, the new pieces that the merges to it join; empty for the other families, where a piece
            stands alone. A piece that a merge to one of the source's own needs is in ``fixed``, as all characters are.
        fixed: which pieces always stay, (n,) bool.
    """

    def __init__(self, source: Any, characters: Mapping[str, float], merges: Sequence[Merge], total: float) -> None:
        """The pieces that ``merges`` made; ``total`` is how many tokens the text has that they were learnt from."""
        self._source, self._merges = source, merges
        self._spec = json.loads(source.backend_tokenizer.to_str())
        self._kind: str = self._spec["model"]["type"]
        self.pieces = list(characters) + [merge.piece for merge in merges if merge.new]
        number = {piece: index for index, piece in enumerate(self.pieces)}
        self.parts = np.full((len(self.pieces), 2), -1, dtype=np.int64)
        self.needs: list[list[int]] = [[] for _ in self.pieces]
        self.fixed = np.arange(len(self.pieces)) < len(characters)
        for merge in merges:
            ends = [number.get(end, -1) for end in (merge.left, merge.right)]
            if merge.new:
                self.parts[number[merge.piece]] = ends
            if self._kind == "BPE" and merge.piece in number:
                self.needs[number[merge.piece]] += {*ends} - {-1}
            elif self._kind == "BPE":
                self.fixed[[end for end in ends if end >= 0]] = True
        self._scores = self._keep_added(characters, total)

    def _keep_added(self, characters: Mapping[str, float], total: float) -> dict[str, float]:
        """Make pieces of the added tokens, and score the new pieces of a unigram.

        Loading a tokenizer numbers added tokens after the model's pieces, so those have to be pieces to keep their ids.
        """
        model = self._spec["model"]
        added = {token["content"]: token["id"] for token in self._spec["added_tokens"]}
        if self._kind != "Unigram":
            vocabulary = model["vocab"]
            vocabulary.update({content: token_id for content, token_id in added.items() if content not in vocabulary})
            self._first = max(vocabulary.values()) + 1
            return {}
        score = dict(model["vocab"])
        for content, token_id in sorted(added.items(), key=lambda item: item[1]):
            if content in score:
                continue
            if token_id != len(model["vocab"]):
                raise HyperofaError(f"the added token {content!r} has an id beyond a gap", where="tokenizer.json")
            model["vocab"].append([content, _NEVER])
            score[content] = _NEVER
        self._first = len(model["vocab"])
        for piece, weight in characters.items():
            score[piece] = math.log(max(weight, 1.0) / total)
        for merge in self._merges:
            if merge.new:
                parts = score[merge.left] + score[merge.right] + _BESIDE_PARTS
                score[merge.piece] = max(math.log(merge.count / total), parts)
        return score

    def tokenizer(self, taken: Iterable[int] | None = None) -> Any:
        """The source's tokenizer with the pieces of these numbers (all by default), and with its special tokens."""
        from tokenizers import Tokenizer

        numbers = range(len(self.pieces)) if taken is None else taken
        spec = {**self._spec, "model": self._model([self.pieces[index] for index in numbers])}
        return with_backend(self._source, Tokenizer.from_str(json.dumps(spec)))

    def cutter(self, taken: NDArray[np.int64]) -> Cutter:
        """What cuts a word into pieces of the source and those of the numbers ``taken``."""
        return Cutter(self._model([self.pieces[index] for index in taken]), self._first, taken)

    def _model(self, pieces: Sequence[str]) -> dict[str, Any]:
        model = dict(self._spec["model"])
        if self._kind == "Unigram":
            model["vocab"] = [*model["vocab"], *([piece, self._scores[piece]] for piece in pieces)]
            return model
        model["vocab"] = model["vocab"] | {piece: self._first + i for i, piece in enumerate(pieces)}
        if self._kind == "BPE":
            left_out = set(self.pieces).difference(pieces)
            model["merges"] = [*model["merges"], *_pairs(self._merges, left_out)]
        return model


def _pairs(merges: Iterable[Merge], left_out: set[str]) -> Iterable[list[str]]:
    for merge in merges:
        if left_out.isdisjoint((merge.left, merge.right, merge.piece)):
            yield [merge.left, merge.right]


class Cutter:
    """Cuts words, as a model gets them, into pieces of a vocabulary of which some are new."""

    def __init__(self, model: Mapping[str, Any], first: int, taken: NDArray[np.int64]) -> None:
        """``model`` is that of a ``tokenizer.json``; its ids from ``first`` on are the candidates ``taken``."""
        from tokenizers import Tokenizer

        empty = dict.fromkeys(("truncation", "padding", "normalizer", "pre_tokenizer", "post_processor", "decoder"))
        self._backend = Tokenizer.from_str(json.dumps({"version": "1.0", "added_tokens": [], **empty, "model": model}))
        self._first, self._taken = first, taken

    def __call__(self, words: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """How many tokens each word has, (n,); of all new pieces in them the word's index, and the candidate's number."""
        lengths, rows, numbers = [], [], []
        for start in range(0, len(words), _BATCH):
            batch = self._backend.encode_batch_fast(list(words[start : start + _BATCH]), add_special_tokens=False)
            cut = [np.array(item.ids, dtype=np.int64) for item in batch]
            sizes = np.array([len(ids) for ids in cut], dtype=np.int64)
            ids = np.concatenate(cut)
            new = ids >= self._first
            lengths.append(sizes)
            rows.append(np.repeat(np.arange(start, start + len(cut)), sizes)[new])
            numbers.append(self._taken[ids[new] - self._first])
        joined = [np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64) for parts in (lengths, rows, numbers)]
        return joined[0], joined[1], joined[2]
