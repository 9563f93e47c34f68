"""Text as text: a special token that is typed in a text (``</s>``) is read as its characters, not as the token."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

_OFF = ("add_special_tokens", "return_attention_mask", "return_token_type_ids", "verbose")
BARE = dict.fromkeys(_OFF, False)
"""Options for the ids of the text alone, however long it is."""
_MARK = "\U0010ffff"
"""A character that no text holds: it stands around what a special token is called while text is read."""


class PlainText:
    """A fast tokenizer for text that may hold what looks like its special tokens.

    Calling it is calling the tokenizer, with the same ids and options, but a special token that is typed in a text is cut
    into pieces like any other characters. Leaving the special tokens out of the search for added tokens
    (``split_special_tokens``) is not enough: the vocabularies of unigram and word-piece models may hold them as well.

    Texts without any are read once, as ever. A slow tokenizer is left as it is.
    """

    def __init__(self, tokenizer: Any) -> None:
        """Find the special tokens of ``tokenizer``."""
        self.tokenizer = tokenizer
        self._backend = getattr(tokenizer, "backend_tokenizer", None)
        if self._backend is None:
            return
        added = self._backend.get_added_tokens_decoder()
        special = {*tokenizer.all_special_ids, *(number for number, token in added.items() if token.special)}
        # What stands for text that cannot be spelled; a unigram does not say its own. Its role alone makes no token that:
        # GPT-2's unknown token is its end-of-text token, which spelling never gives.
        self._unknown = getattr(self._backend.model, "unk_token", tokenizer.unk_token) or None
        unknown = None if self._unknown is None else self._backend.token_to_id(self._unknown)
        self.names = {number: self._backend.id_to_token(number) for number in sorted(special)}
        # One entry more than the greatest special id: all later ids fall on it.
        self._special = np.zeros(max(special, default=0) + 2, dtype=bool)
        self._special[[number for number in special if number != unknown]] = True

    def __call__(self, texts: Sequence[Any], **options: Any) -> dict[str, list[Any]]:
        """What the tokenizer gives for ``texts``, a list by key; ``options`` are the tokenizer's own.

        With ``is_split_into_words``, a text is a list of words.
        """
        return self.with_counts(texts, **options)[0]

    def ids(self, texts: Sequence[Any], **options: Any) -> list[list[int]]:
        """The ids of each text, without special tokens."""
        return self(texts, **BARE, **options)["input_ids"] if texts else []

    def with_counts(
        self, texts: Sequence[Any], *, as_tokens: bool = False, **options: Any
    ) -> tuple[dict[str, list[Any]], list[int]]:
        """What the tokenizer gives for ``texts``, and how many special tokens are typed in each.

        With ``as_tokens`` they are counted, but read as the tokens.
        """
        texts = list(texts)
        encoded = dict(self.tokenizer(texts, **options))
        if self._backend is None:
            return encoded, [0] * len(texts)
        frame = self._frame if options.get("add_special_tokens", True) else 0
        counts = self._typed(texts, encoded["input_ids"], frame)
        odd = [index for index, count in enumerate(counts) if count]
        if odd and not as_tokens:
            plain = self._plain([texts[index] for index in odd], **options)
            for key, rows in encoded.items():
                for index, row in zip(odd, plain[key], strict=True):
                    rows[index] = row
        return encoded, counts

    def example(self, text: str) -> str:
        """A special token that is written in ``text``, for a message; empty where none is, letter by letter."""
        return next((name for name in self.names.values() if name and name in text), "")

    def _typed(self, texts: Sequence[Any], rows: Sequence[Sequence[int]], frame: int) -> list[int]:
        """How many special tokens each text has, beside the ``frame`` that the tokenizer puts around it."""
        counts = np.maximum(self._count(rows) - frame, 0)
        if self._unknown is not None:
            parts = [[text] if isinstance(text, str) else text for text in texts]
            counts += [sum(part.count(self._unknown) for part in text) for text in parts]
        return counts.tolist()

    def _count(self, rows: Sequence[Sequence[int]]) -> NDArray[np.int64]:
        """How many ids of each row are special, (n,); the unknown token is not."""
        ends = np.cumsum([len(row) for row in rows])
        ids = np.fromiter(chain.from_iterable(rows), dtype=np.int64, count=int(ends[-1]) if len(rows) else 0)
        until = np.concatenate([[0], np.cumsum(self._special[np.minimum(ids, len(self._special) - 1)])])
        return np.diff(until[np.concatenate([[0], ends]).astype(np.int64)])

    @cached_property
    def _frame(self) -> int:
        """How many special tokens the tokenizer itself puts around a text."""
        rows = [self.tokenizer([""], add_special_tokens=frame)["input_ids"][0] for frame in (True, False)]
        around, bare = self._count(rows)
        return int(around - bare)

    @cached_property
    def _plain(self) -> Any:
        """The tokenizer with its special tokens renamed, so that nobody can type them."""
        from tokenizers import Tokenizer

        assert self._backend is not None
        spec = json.loads(self._backend.to_str())
        spec["truncation"] = spec["padding"] = None
        _rename(spec, self.names)
        plain = copy.copy(self.tokenizer)
        plain._tokenizer = Tokenizer.from_str(json.dumps(spec, ensure_ascii=False))
        return plain


def _rename(spec: dict[str, Any], names: dict[int, str]) -> None:
    """Rename special tokens in a tokenizer's description; their ids stay.

    The unknown token keeps its name in the vocabulary where the model looks it up by that name.
    """
    model = spec["model"]
    new = {name: f"{_MARK}{number}{_MARK}" for number, name in names.items() if name}
    vocabulary = model["vocab"]
    unknown_token = {model.get("unk_token")}
    spec["added_tokens"] = [
        {**token, "content": new[token["content"]], "normalized": False, "lstrip": False, "rstrip": False}
        if token["content"] in new
        else token
        for token in spec["added_tokens"]
        if token["content"] not in unknown_token or token["content"] not in vocabulary
    ]
    if isinstance(vocabulary, list):
        model["vocab"] = [[new.get(piece, piece), score] for piece, score in vocabulary]
        return
    new = {name: mark for name, mark in new.items() if name not in unknown_token}
    model["vocab"] = {new.get(piece, piece): number for piece, number in vocabulary.items()}
    if "merges" in model:
        pairs = [tuple(merge) if isinstance(merge, list) else tuple(merge.split(" ")) for merge in model["merges"]]
        model["merges"] = [list(pair) for pair in pairs if not {*pair, "".join(pair)} & new.keys()]
