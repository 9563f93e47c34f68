"""Which languages a source knows: by finding translations, and how often it is asked for vectors."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from hyperofa.corpus.sentence.known import LOOKED_AT, PAIRS, known_languages

SENTENCES = [f"sentence {n}" for n in range(200)]


class Source:
    """A vector for each sentence, by its number; what it was asked for is kept."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.table = torch.randn(len(SENTENCES), 8, generator=torch.Generator().manual_seed(0))

    def vectors(self, texts: Sequence[str]) -> Tensor:
        self.asked.append(list(texts))
        return self.table[[int(text.split()[-1]) for text in texts]]

    def known(self, parallel: dict[str, dict[int, str]], unknown: float = 0.0) -> set[str]:
        lines = {language: list(rows.values()) for language, rows in parallel.items()}
        found = known_languages(lines, parallel, "eng", self.vectors, lambda _: unknown)
        return {language for language, (yes, _) in found.items() if yes}


def in_language(name: str, *, shift: int = 0, most: int = len(SENTENCES)) -> dict[int, str]:
    """Sentences whose words say their language, each beside the number of its own or a later one."""
    return {n: f"{name} {SENTENCES[(n + shift) % len(SENTENCES)]}" for n in range(most)}


@pytest.fixture
def english() -> dict[int, str]:
    return dict(enumerate(SENTENCES))


def test_a_language_is_known_whose_sentences_find_their_own_translation(english: dict[int, str]) -> None:
    parallel = {"eng": english, "sco": in_language("sco"), "tur": in_language("tur", shift=1)}
    assert Source().known(parallel) == {"sco"}


def test_all_languages_are_read_at_once_and_each_text_once(english: dict[int, str]) -> None:
    source = Source()
    source.known({"eng": english, "sco": in_language("sco"), "tur": in_language("tur")})
    (texts,) = source.asked
    assert len(texts) == len(set(texts)) == 3 * LOOKED_AT


def test_without_pairs_the_source_is_not_asked(english: dict[int, str]) -> None:
    source = Source()
    few = {"eng": english, "sco": in_language("sco", most=PAIRS - 1)}
    assert source.known(few) == {"sco"}
    assert source.known(few, unknown=0.5) == set()
    assert source.asked == []
