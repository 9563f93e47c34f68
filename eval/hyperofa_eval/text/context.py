"""The pieces that a word has in running text, asked of the tokenizer itself: whatever marks a word's start, it is there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from hyperofa_eval.text.plain_text import PlainText

COMMON = ("a", "e", "o", "1", ".", ",")
ENOUGH = 3
"""Words to put before a word: a vocabulary may join one of them with what follows, but not all."""
TRIED = 500
"""Words of a vocabulary that are tried at most."""
MARKS = "▁Ġ#"
"""What the names of pieces begin with; it is only looked at to find a word that the vocabulary has."""


class RunningText:
    """Pieces of words as they stand after another word and a space.

    A text of two words is tokenised, and the pieces of the first are taken away. No family of tokenizers is looked for:
    the mark of a word's start may come from a normalizer, a pre-tokenizer, the model or nowhere.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self._plain = PlainText(tokenizer)
        self.backend = getattr(tokenizer, "backend_tokenizer", None)
        if self.backend is not None:
            self.backend.no_truncation()
            self.backend.no_padding()
        self.before = list(islice(self._first_words(), ENOUGH))
        """Words that keep their pieces when another follows, and those pieces."""

    def pieces(self, words: Sequence[str]) -> list[list[int]]:
        """The ids of each word after a space; empty for a word of which the tokenizer keeps nothing."""
        ids_of: dict[str, list[int]] = {}
        for first, ids in self.before:
            left = [word for word in words if word not in ids_of]
            for word, both in zip(left, self.encode([f"{first} {word}" for word in left]), strict=True):
                if both[: len(ids)] == ids:
                    ids_of[word] = both[len(ids) :]
        left = [word for word in words if word not in ids_of]
        ids_of.update(zip(left, self.alone(left), strict=True))
        return [ids_of[word] for word in words]

    def alone(self, words: Sequence[str]) -> list[list[int]]:
        """The ids of each word as a text of its own that has been cut into words before."""
        if self.backend is None:
            return self.encode(words)
        return self._plain.ids([[word] for word in words], is_split_into_words=True)

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text, without special tokens."""
        if self.backend is None:
            return [list(self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]) for text in texts]
        return self._plain.ids(texts)

    def _first_words(self) -> Iterator[tuple[str, list[int]]]:
        for word in (*COMMON, *self._known_words()):
            alone, twice = self._try(word), self._try(f"{word} {word}")
            if alone and self.tokenizer.unk_token_id not in alone and twice[: len(alone)] == alone != twice:
                yield word, alone

    def _try(self, text: str) -> list[int]:
        try:
            return self.encode([text])[0]
        except Exception:  # noqa: BLE001  (the library raises nothing narrower where a vocabulary lacks a character)
            return []

    def _known_words(self) -> list[str]:
        """The shortest words that the vocabulary has: one without Latin letters has words of its own."""
        words = {piece.strip(MARKS) for piece in self.tokenizer.get_vocab()} - {""}
        return sorted(words, key=lambda word: (len(word), word))[:TRIED]
