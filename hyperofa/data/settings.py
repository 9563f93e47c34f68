"""The settings of data: how parallel text is split, and how text is gathered without the lines of test sets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hyperofa_eval.settings.fields import Range, Settings, setting

Document = Literal["message", "pair"]


@dataclass(frozen=True, kw_only=True)
class DocumentSettings(Settings):
    """What a pre-training document of parallel text is."""

    document: Document = setting(
        "message", "a pre-training document: one message, or a translation with its English message"
    )
    seed: int = setting(0, "seed of the draw")


@dataclass(frozen=True, kw_only=True)
class SplitSettings(DocumentSettings):
    """How messages are held out for testing; also the section ``split`` of a recipe."""

    test: int = setting(200, "messages held out", range=Range(1), metavar="N")
    min_words: int = setting(3, "words a test message has at least", range=Range(1), metavar="N")
    min_test: int = setting(50, "test pairs below which a language is not scored", range=Range(1), metavar="N")


@dataclass(frozen=True, kw_only=True)
class GatherSettings(DocumentSettings):
    """What is kept of the text that is gathered."""

    cap: int | None = setting(None, "lines of a language at most, drawn with the seed", range=Range(1), metavar="N")
    tasks: tuple[str, ...] = setting(
        (),
        "comma-separated tasks whose test sets are kept out besides those of sr-t, sr-b, ner and pos: lm, or your own",
        separator=",",
    )
    extensions: tuple[Path, ...] = setting(
        (), "Python files that define tasks of your own", flag="--with", append=True, metavar="FILE.py"
    )
