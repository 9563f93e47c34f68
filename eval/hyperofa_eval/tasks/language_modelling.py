"""Language modelling: loss and bits per character on plain text, so that models with different tokenizers compare."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hyperofa_eval.base.errors import InputError
from hyperofa_eval.data.layout import DataFolder
from hyperofa_eval.models.protocols import TextScorer, name_of
from hyperofa_eval.scoring.statistics import Items
from hyperofa_eval.tasks.task import Outcome, Task


@dataclass(frozen=True)
class LanguageModelling(Task[TextScorer, TextScorer]):
    """Bits per character: of masked words under a masked model, of all text under a causal one.

    The words to mask are chosen from the text, not from the tokens, so every model is asked for the same ones; all
    pieces of a word are hidden together. A long line is cut at spaces into passages of at most ``passage`` characters.
    """

    name: str = "lm"
    corpus: str = "text"
    share: float = 0.15
    """Share of words masked (masked models), chosen by the seed; at least one a passage."""
    passage: int = 256
    """Characters scored together."""
    passages: int = 500
    """At most so many passages of a language, evenly spaced over its file."""

    summary: ClassVar[str] = "masked or causal language modelling: bits per character"
    metric: ClassVar[str] = "bits_per_character"
    higher_is_better: ClassVar[bool] = False
    unit: ClassVar[str] = "bits per character"
    seeded: ClassVar[bool] = True
    together: ClassVar[bool] = True
    needs = TextScorer
    needs_head: ClassVar[bool] = True
    scores_pivot: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not 0 < self.share < 1 or min(self.passage, self.passages) < 1:
            raise InputError("share must lie between 0 and 1, passage and passages above 0", where=f"task {self.name}")

    def has(self, data: DataFolder, language: str) -> bool:
        """Whether there is text of the language."""
        return data.has(self.corpus, language)

    def read(self, data: DataFolder, language: str, limit: int | None) -> tuple[list[str], dict[str, str]]:
        """The passages to score and the hash of their file."""
        lines, files = data.text(self.corpus, language)
        passages = [part for line in lines for part in cut(line, self.passage)]
        return [passages[i] for i in spaced(len(passages), self.passages)][:limit], files

    def score(self, prepared: TextScorer, data: DataFolder, language: str, seed: int, limit: int | None) -> Outcome:
        """Bits per character and the loss per predicted token (in nats), an item being a passage."""
        texts, files = self.read(data, language, limit)
        table = np.array(prepared.text_losses(texts, self.share, seed))  # nats, tokens, characters, unknown tokens
        if table.shape != (len(texts), 4) or not np.isfinite(table).all():
            what = f"its text_losses gave shape {table.shape} for {len(texts)} texts, or a number that is not finite"
            raise InputError(what, where=name_of(prepared))
        nats, tokens, characters, unknown = table.T
        if not characters.sum():
            what = (
                f"nothing of the {language} text can be scored: its tokenizer keeps none of it, or one token a passage"
            )
            raise InputError(what, where=name_of(prepared), todo=f"leave {language} out, or give other text")
        return Outcome(
            items={"bits_per_character": Items(nats / np.log(2), characters, 1.0), "loss": Items(nats, tokens, 1.0)},
            chance={},
            files=files,
            details={
                "head": prepared.head,
                "characters": int(characters.sum()),
                "tokens": int(tokens.sum()),
                # An unknown token is easy to predict and hides what it stands for: with many, the score means little.
                "unknown_percent": 100 * float(unknown.sum() / max(tokens.sum(), 1)),
            },
        )


def cut(line: str, size: int) -> list[str]:
    """A line as passages of at most ``size`` characters, cut at the last space where there is one."""
    parts = []
    while len(line) > size:
        end = line.rfind(" ", 1, size + 1)
        end = end if end > 0 else size
        parts.append(line[:end])
        line = line[end:].lstrip(" ")
    return [*parts, line] if line else parts


def spaced(n: int, count: int) -> list[int]:
    """At most ``count`` of ``range(n)``, evenly spaced."""
    return list(range(n)) if n <= count else [i * n // count for i in range(count)]
