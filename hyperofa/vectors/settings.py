"""The settings of word vectors: built from parallel text, or imported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from hyperofa.base.wordkeys import is_language, language_codes
from hyperofa_eval.settings.fields import Range, SettingError, Settings, setting

NumberFormat = Literal["float16", "float32"]


def _codes(words: Sequence[str]) -> list[str]:
    codes = language_codes(words)
    if not codes:
        raise SettingError("languages", "no language named", todo="write codes such as eng,tur, or leave it out")
    return codes


def _sign(word: str) -> str | None:
    return None if word == "none" else word


@dataclass(frozen=True, kw_only=True)
class BuildSettings(Settings):
    """How word vectors are made; ``benchmarks/vocabulary/vectors_quality.py`` compares the choices on held-out sentences."""

    dim: int = setting(200, "length of a vector; fewer where the text has fewer sentences", range=Range(1))
    min_count: int = setting(2, "sentences a word must stand in", range=Range(1))
    ngrams: int = setting(3, "longest character n-gram of scripts without spaces", range=Range(1))
    smoothing: float = setting(
        1.0, "exponent on the sentences' sizes; below 1, short sentences count less than PMI has it", range=Range(0, 1)
    )
    power: float = setting(
        0.0, "exponent on the singular values: 0 weighs all directions alike, 1 as they are", range=Range(-10, 10)
    )
    balance: float = setting(1.0, "1: languages have equal say in the SVD, 0: words have", range=Range(0, 1))
    normalise: bool = setting(True, "scale every vector to length 1")
    seed: int = setting(0, "seed of the randomised SVD", range=Range(0, 2**32, below=True))
    languages: tuple[str, ...] | None = setting(
        None,
        "read these languages only (default: all); aze_Latn is read from aze.tsv where there is no aze_Latn.tsv",
        metavar="LANG",
        read=_codes,
    )
    dtype: NumberFormat = setting("float16", "number format of the stored vectors")


@dataclass(frozen=True, kw_only=True)
class ImportSettings(Settings):
    """How a foreign vector file is read."""

    format: str | None = setting(
        None, "gensim, fasttext, binary (word2vec) or text (default: by the first bytes)", metavar="NAME"
    )
    separator: str | None = setting(":", "mark between language and word, or none for bare words", read=_sign)
    default_language: str | None = setting("eng", "language of bare keys, or none", metavar="LANG", read=_sign)
    boundary: str | None = setting("$", "the mark that stands for a word boundary, or none", read=_sign)
    languages: tuple[str, ...] | None = setting(None, "keep these only (default: all)", metavar="LANG", read=_codes)
    skip_bad: bool = setting(False, "count and skip bad rows; otherwise the first one ends it")
    dtype: NumberFormat = setting("float16", "number format of the stored vectors")

    def check(self) -> None:
        """Signs are single, and the language is a code."""
        if self.default_language is not None and not is_language(self.default_language):
            what = f"{self.default_language!r} is no language code"
            raise SettingError("default_language", what, todo="such as eng, or none")
        for name in ("separator", "boundary"):
            value = getattr(self, name)
            if value is not None and (len(value) != 1 or value.isalnum()):
                raise SettingError(name, f"{value!r} is not one sign", todo="give a single sign, or none")
