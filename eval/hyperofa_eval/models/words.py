"""Words to sub-tokens for tagging: each word on its own, with a prefix space, in windows that fit the model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from typing import Any

from hyperofa_eval.data.readers import Sentence
from hyperofa_eval.text.context import RunningText


@dataclass(frozen=True)
class Window:
    """A stretch of a sentence's words as model input; ``first[i]`` is the position of word ``start + i``'s label."""

    sentence: int
    start: int
    ids: tuple[int, ...]
    first: tuple[int, ...]


class WordEncoder:
    """Sub-tokens of single words, computed once each.

    A word has the pieces that it has in running text after a space, whichever way its tokenizer marks that, and the first
    word of a sentence has them too: a sentence follows another. Without ``prefix_space`` (as in the published code) it is
    tokenised by itself: where the space makes the mark, ``dog`` becomes the pieces of a word's inside.
    """

    def __init__(self, tokenizer: Any, *, prefix_space: bool = True) -> None:
        self.tokenizer = tokenizer
        text = RunningText(tokenizer)
        self._encode = text.pieces if prefix_space else text.alone
        self._known: dict[str, tuple[int, ...]] = {}
        self.before, self.after = _frame(tokenizer, text.before[0][0] if text.before else "a")

    def pieces(self, words: Sequence[str]) -> list[tuple[int, ...]]:
        """The sub-token ids of each word, at least one each: a word that vanishes is one unknown token."""
        new = [word for word in dict.fromkeys(words) if word not in self._known]
        unknown = self.tokenizer.unk_token_id
        stand_in = (self.tokenizer.eos_token_id or 0) if unknown is None else unknown
        self._known.update((word, tuple(row) or (stand_in,)) for word, row in zip(new, self._encode(new), strict=True))
        return [self._known[word] for word in words]

    def windows(self, sentences: Sequence[Sentence], max_length: int) -> list[Window]:
        """Cut each sentence between words into windows of at most ``max_length`` tokens, specials included."""
        room = max_length - len(self.before) - len(self.after)
        self.pieces([word for sentence in sentences for word in sentence.tokens])
        windows = []
        for i, sentence in enumerate(sentences):
            for start, rows in _fill(self.pieces(sentence.tokens), room):
                first = accumulate(map(len, rows[:-1]), initial=len(self.before))
                ids = (*self.before, *chain.from_iterable(rows), *self.after)
                windows.append(Window(i, start, ids, tuple(first)))
        return windows


def cut_at_spaces(sentences: Sequence[Sentence]) -> list[Sentence]:
    """The published code's reading: a token that holds a (non-breaking) space is two, each with its tag."""
    return [
        Sentence(
            tuple(part for token in s.tokens for part in token.split() or [token]),
            tuple(tag for token, tag in zip(s.tokens, s.tags, strict=True) for _ in token.split() or [token]),
        )
        for s in sentences
    ]


def cut_long(sentences: Sequence[Sentence], encoder: WordEncoder, max_length: int) -> list[Sentence]:
    """The published code's reading: each window of a long sentence is a sentence of its own, scored alone."""
    parts = []
    for window in encoder.windows(sentences, max_length):
        whole = sentences[window.sentence]
        place = slice(window.start, window.start + len(window.first))
        parts.append(Sentence(whole.tokens[place], whole.tags[place]))
    return parts


def _fill(rows: Sequence[tuple[int, ...]], room: int) -> Iterator[tuple[int, list[tuple[int, ...]]]]:
    start, held, used = 0, list[tuple[int, ...]](), 0
    for i, row in enumerate(rows):
        piece = row[:room]  # a single word longer than the window keeps its beginning, which carries the label
        if held and used + len(piece) > room:
            yield start, held
            start, held, used = i, [], 0
        held.append(piece)
        used += len(piece)
    if held:
        yield start, held


def _frame(tokenizer: Any, text: str) -> tuple[list[int], list[int]]:
    """The special tokens that the tokenizer puts before and after a text."""
    bare = tokenizer(text, add_special_tokens=False)["input_ids"]
    full = tokenizer(text)["input_ids"]
    for start in range(len(full) - len(bare) + 1):
        if full[start : start + len(bare)] == bare:
            return full[:start], full[start + len(bare) :]
    return [], []
