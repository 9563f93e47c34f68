"""The settings of a corpus: sequences, what is read, and how languages are sampled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from hyperofa_eval.settings.evaluation import NumberFormat
from hyperofa_eval.settings.fields import Range, SettingError, Settings, setting

LENGTHS = Range(8, 32_767)
"""Tokens of a sequence: document indices within it are 16-bit."""


def _caps(words: Sequence[str]) -> dict[str, int]:
    """``[LANG=]N`` words as a dictionary; a bare ``N`` is kept under the empty name."""
    caps = {}
    for word in words:
        language, _, number = word.rpartition("=")
        if not number.isdecimal():
            raise SettingError("--cap", f"{word!r} is not [LANG=]N")
        caps[language] = int(number)
    return caps


@dataclass(frozen=True, kw_only=True)
class CorpusSettings(Settings):
    """How a corpus is made. All but ``processes`` decides what is in it."""

    length: int = setting(512, "tokens per sequence", range=LENGTHS, metavar="N")
    keep_whole: bool = setting(False, "do not cut a document that fits into one sequence")
    document: Literal["line", "paragraph"] = setting(
        "line", "what a document of plain text is: a line, or a paragraph, which is the lines up to an empty one"
    )
    document_end: str | None = setting(
        None,
        "token that ends each document, or none, where the tokenizer's template ends none. Default: its end-of-sequence "
        "token, unless that ends a turn of its chat and another ends a text, such as <|endoftext|>",
        metavar="TOKEN",
    )
    field: str = setting("text", "field or column that holds the text, in rows of JSONL, Parquet, Arrow and the hub")
    read_special_tokens: bool = setting(
        False,
        "read special tokens that are typed in the text (<|im_end|> in chat data) as tokens; by default they are text",
    )
    cap: int | dict[str, int] | None = setting(
        None,
        "documents per language at most, of all languages or of the named ones (the first N are taken)",
        range=Range(0),
        metavar="[LANG=]N",
        read=_caps,
    )
    weight: dict[str, float] = setting(
        factory=dict, help="sampling weight of a language (default 1)", range=Range(0), metavar="LANG=W"
    )
    temperature: float = setting(
        1.0, "share of a language ~ weight * sequences^(1/T); T is the temperature", range=Range(0, above=True)
    )
    replay: dict[str, float] = setting(
        factory=dict,
        help="share of the tokens in training that a language of the source model makes up, so that it is not forgotten; "
        "weight and temperature share out the rest among the other languages",
        range=Range(0, 1, above=True, below=True),
        metavar="LANG=SHARE",
    )
    prompt: str | None = setting(
        None,
        "with source: words before every sentence, such as 'query: ' (default: the source's own, where its files name one)",
        metavar="TEXT",
    )
    pivot: str = setting("eng", "with source: language of parallel whose sentences' vectors their translations learn")
    own_vectors: bool = setting(
        True, "with source: in languages that the source knows, a sentence's own vector is a target too"
    )
    sentences: int | None = setting(
        None,
        "with source: sentences to draw at random: of a replayed language its share of them, of all others the same share of "
        "what they have. Vectors are made of these alone; a run reads steps * global_batch_size (default: all)",
        range=Range(1),
        metavar="N",
    )
    source_dtype: NumberFormat = setting("float32", "with source: number format of its weights while vectors are made")
    processes: int = setting(1, "processes that tokenise, each with threads of its own", range=Range(1), metavar="N")

    @property
    def caps(self) -> dict[str, int]:
        """Documents at most, by language; under the empty name those of every other language."""
        if isinstance(self.cap, dict):
            return self.cap
        return {} if self.cap is None else {"": self.cap}
