"""The settings of tokenizers: trained anew, or extended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hyperofa_eval.settings.fields import Range, SettingError, Settings, place, setting

AUTO = "auto"
"""A vocabulary size that the text decides."""
SPECIALS = {"bos": "<s>", "pad": "<pad>", "eos": "</s>", "unk": "<unk>", "mask": "<mask>"}
"""Role to special token of a trained tokenizer, in the order of their ids; cls is bos and sep is eos."""


@dataclass(frozen=True, kw_only=True)
class SamplingSettings(Settings):
    """Which lines of a text are learnt from."""

    cap: int = setting(200_000, "lines of a language at most, drawn with the seed", range=Range(1), metavar="N")
    held_out: float = setting(
        0.05,
        "share of a language's lines kept out to measure on, 2000 at most; 0 keeps none out",
        range=Range(0, 0.5),
        metavar="SHARE",
    )
    seed: int = setting(0, "seed of the lines drawn and kept out")


@dataclass(frozen=True, kw_only=True)
class VocabularySettings(SamplingSettings):
    """What is learnt from the lines."""

    vocab_size: int = setting(help="entries in all, special tokens included", range=Range(1), metavar="N")
    alpha: float = setting(
        0.5, "exponent on the languages' sizes; 1: text as it is, 0: all languages weigh the same", range=Range(0, 1)
    )
    coverage: float = setting(
        0.9999, "share of all characters that have an entry of their own", range=Range(0, 1, above=True)
    )
    longest: int = setting(16, "characters of the longest piece (bytes, of a byte-level tokenizer)", range=Range(1))


@dataclass(frozen=True, kw_only=True)
class TrimSettings(Settings):
    """Which pieces a smaller tokenizer keeps."""

    min_count: int = setting(
        1, "uses of a piece in the text, below which it is left out; 1 cuts the text as before", range=Range(1)
    )


@dataclass(frozen=True, kw_only=True)
class TrainSettings(VocabularySettings):
    """How a new tokenizer is trained."""

    normalizer: Literal["nfkc", "nfc", "none"] = setting(
        "nfkc", "nfkc as XLM-R: compatibility forms folded, control and zero-width characters to spaces"
    )
    byte_fallback: bool = setting(False, "spell unknown characters as bytes (256 entries) instead of <unk>")
    max_length: int = setting(512, "longest input in tokens, for the tokenizer's own record", range=Range(4))

    def check(self) -> None:
        """There is room for the special tokens, the bytes and a piece."""
        least = len(SPECIALS) + 256 * self.byte_fallback + 1
        if self.vocab_size < least:
            raise SettingError("vocab_size", f"{self.vocab_size} is not {least} or more")


@dataclass(frozen=True, kw_only=True)
class ExtendSettings(VocabularySettings):
    """How a model's tokenizer is extended."""

    vocab_size: int | Literal["auto"] = setting(  # type: ignore[assignment]
        help="entries in all, at most; auto: the bend of the curve of tokens saved, of at most as many new entries as old",
        range=Range(1),
        metavar="N|auto",
    )
    min_count: int = setting(
        10, "uses of a new piece in the text, cut by the grown tokenizer, below which it is not taken", range=Range(1)
    )
    source_text: tuple[str, ...] = place(
        (),
        "text of the source's own languages: measured before and after, not learnt from",
        metavar="LANG=FILE",
    )
    keep_source_text: bool = setting(
        False,
        "take no new entry that would cut a line of --source-text differently (the first 50,000 lines of a language)",
    )

    def check(self) -> None:
        """A new piece joins two others."""
        if self.longest < 2:
            raise SettingError("longest", f"{self.longest} is not a number of 2 or more")
