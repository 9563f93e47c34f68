"""How much of a text two tokenizers cut differently: a source, and what was grown from it."""

from __future__ import annotations

import copy
import re
from array import array
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from hyperofa_eval.text.plain_text import BARE, PlainText

_LINES = 1000  # encoded at a time
_WORD = re.compile(r"\S+")


def changed_share(source: Any, grown: Any, lines: Sequence[str]) -> dict[str, float]:
    """How many of ``lines``, and of their words (what spaces separate), ``grown`` cuts otherwise than ``source`` does.

    Returns ``lines``, ``words``, ``changed_lines``, ``changed_words`` and the shares ``changed_lines_share`` and
    ``changed_words_share`` (0 … 1).
    """
    words = changed_lines = changed_words = 0
    for line, old, new in _both(source, grown, lines):
        spans = [match.span() for match in _WORD.finditer(line)]
        words += len(spans)
        if old == new:
            continue
        changed_lines += 1
        places = [(start, end) for start, end, _ in set(old) ^ set(new)]
        changed_words += sum(any(start < last and end > first for start, end in places) for first, last in spans)
    return {
        "lines": len(lines),
        "words": words,
        "changed_lines": changed_lines,
        "changed_words": changed_words,
        "changed_lines_share": changed_lines / max(len(lines), 1),
        "changed_words_share": changed_words / max(words, 1),
    }


def token_ids(tokenizer: Any, lines: Sequence[str]) -> Iterator[array[int]]:
    """The ids of each line, without special tokens."""
    reader, rest = whole_text(tokenizer), iter(lines)
    while batch := list(islice(rest, _LINES)):
        yield from (array("I", ids) for ids in reader.ids(batch))


def new_tokens(source: Any, grown: Any, lines: Sequence[str]) -> set[int]:
    """The ids of ``grown`` that cut ``lines`` otherwise than ``source`` does."""
    new_ids: set[int] = set()
    for _, old, new in _both(source, grown, lines):
        if old != new:
            new_ids.update(token_id for _, _, token_id in set(new) - set(old))
    return new_ids


def _both(source: Any, grown: Any, lines: Sequence[str]) -> Iterator[tuple[str, list[Any], list[Any]]]:
    """Every line with its tokens under both tokenizers, as (start, end, id)."""
    readers = [whole_text(tokenizer) for tokenizer in (source, grown)]
    rest = iter(lines)
    while batch := list(islice(rest, _LINES)):
        cut = [_tokens(reader, batch) for reader in readers]
        yield from zip(batch, *cut, strict=True)


def _tokens(reader: PlainText, lines: Sequence[str]) -> list[list[tuple[int, int, int]]]:
    encoded = reader(lines, return_offsets_mapping=True, **BARE)
    return [
        [(start, end, token_id) for (start, end), token_id in zip(places, ids, strict=True)]
        for places, ids in zip(encoded["offset_mapping"], encoded["input_ids"], strict=True)
    ]


def whole_text(tokenizer: Any) -> PlainText:
    """Reads whole texts as plain text; with a copy where the tokenizer cuts or pads on its own, since copying is slow."""
    backend = tokenizer.backend_tokenizer
    if backend.truncation is None and backend.padding is None:
        return PlainText(tokenizer)
    own = copy.copy(tokenizer)
    own._tokenizer = copy.deepcopy(backend)
    return PlainText(own)
