"""The protocols: ``default`` measures correctly, ``paper`` repeats the choices of the published code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hyperofa_eval.tasks.language_modelling import LanguageModelling
from hyperofa_eval.tasks.retrieval import Retrieval
from hyperofa_eval.tasks.tagging import Tagging
from hyperofa_eval.tasks.task import Task


def default() -> dict[str, Task]:
    """Correct by default: pooled over the text's own tokens, at two thirds of the depth."""
    return {
        "sr-t": Retrieval("sr-t", "tatoeba"),
        "sr-b": Retrieval("sr-b", "bible"),
        "ner": Tagging("ner", "ner"),
        "pos": Tagging("pos", "pos", scheme="upos", scoring="token"),
        "lm": LanguageModelling("lm", "text"),
    }


def paper() -> dict[str, Task]:
    """As the published code runs: block 8, specials in the mean, taggers read and scored its way (docs/evaluation.md)."""
    reading: dict[str, Any] = {"prefix_space": False, "rejoin": False, "keep_tokens": False, "average_english": True}
    return {
        "sr-t": Retrieval("sr-t", "tatoeba", block=8, pooling="mean-all"),
        "sr-b": Retrieval("sr-b", "bible", block=8, pooling="mean-all"),
        "ner": Tagging("ner", "ner", scoring="entity-lenient", **reading),
        "pos": Tagging("pos", "pos", scheme="upos", scoring="entity-lenient", **reading),
    }


PROTOCOLS: dict[str, Callable[[], dict[str, Task]]] = {"default": default, "paper": paper}
