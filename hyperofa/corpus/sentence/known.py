"""Which languages a source model knows, so that its own vectors of their sentences are worth learning."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn import functional

from hyperofa_eval.settings.fields import SettingError

T = TypeVar("T")

FOUND = 0.6
"""Of a language's sentences, so many must find their pivot side by the source's own vectors."""
PAIRS = 10
"""Of a language, so that they can tell."""
LOOKED_AT = 64
"""Pairs, or lines, of a language at most."""
SPELLED = 0.01
"""Of the tokens of a language without pairs, so many at most may be unknown to the source."""


def known_languages(
    lines: Mapping[str, Sequence[str]],
    parallel: Mapping[str, Mapping[int, str]],
    pivot: str,
    vectors: Callable[[Sequence[str]], Tensor],
    unknown: Callable[[Sequence[str]], float],
) -> dict[str, tuple[bool, str]]:
    """For each language but the pivot, whether the source knows it, and by what that was seen.

    A source that knows few of the languages that have pairs is not trusted with those that have none.

    Args:
        lines: by language; those of the parallel text among them.
        parallel: by language, texts by the number of their sentence.
        pivot: the language that the source is taken to know.
        vectors: the source's vectors (n, D) of n texts.
        unknown: the share of the source tokenizer's unknown tokens in some texts.
    """
    anchors = parallel.get(pivot, {})
    paired: dict[str, list[tuple[str, str]]] = {}
    unpaired: dict[str, Sequence[str]] = {}
    for language, own in lines.items():
        if language == pivot:
            continue
        rows = parallel.get(language, {})
        numbers = evenly(sorted(rows.keys() & anchors.keys()), LOOKED_AT)
        if len(numbers) < PAIRS:
            unpaired[language] = own
        else:
            paired[language] = [(rows[n], anchors[n]) for n in numbers]
    # All together: then batches hold texts of like length, and a sentence of the pivot is read once.
    texts = list(dict.fromkeys(text for pairs in paired.values() for pair in pairs for text in pair))
    places = {text: i for i, text in enumerate(texts)}
    table = vectors(texts) if texts else torch.zeros((0, 1))
    decisions: dict[str, tuple[bool, str]] = {}
    for language, pairs in paired.items():
        share = retrieved(*(table[[places[pair[side]] for pair in pairs]] for side in (0, 1)))
        decisions[language] = share >= FOUND, f"{share:.0%} found"
    trusted = 2 * sum(is_known for is_known, _ in decisions.values()) >= len(decisions)
    for language, own in unpaired.items():
        share = unknown(evenly(own, LOOKED_AT))
        decisions[language] = trusted and share <= SPELLED, f"{share:.0%} unknown tokens"
    return decisions


def check_pivot(parallel: Mapping[str, Mapping[int, str]], pivot: str) -> None:
    """Refuse, as :class:`InputError`, parallel text without the pivot's language or without translations of it."""
    known = parallel.get(pivot, {})
    if not known:
        what = f"no text in {pivot}, the language of the pivot"
        raise SettingError("parallel", what, todo=f"there: {', '.join(sorted(parallel))}")
    if not any(known.keys() & lines.keys() for language, lines in parallel.items() if language != pivot):
        raise SettingError("parallel", f"nothing is a translation of a sentence in {pivot}")


def retrieved(queries: Tensor, keys: Tensor) -> float:
    """Share of ``queries`` (n, D) whose nearest of ``keys`` (n, D) is its own, by cosines about the means."""
    a, b = (functional.normalize(side - side.mean(0), dim=-1) for side in (queries, keys))
    return float(((a @ b.T).argmax(1) == torch.arange(len(a), device=a.device)).float().mean())


def evenly(rows: Sequence[T], most: int) -> Sequence[T]:
    """At most ``most`` of the rows, evenly spread."""
    return rows if len(rows) <= most else [rows[i * len(rows) // most] for i in range(most)]
