"""Training a new tokenizer on text of many languages: SentencePiece-style unigram, laid out as XLM-R's."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hyperofa.errors import InputError
from hyperofa.vocab.learning.sampling import LanguageText, SamplingConfig, count_words, survey
from hyperofa.vocab.learning.unigram import train_unigram

log = logging.getLogger(__name__)

SPECIALS = {"bos": "<s>", "pad": "<pad>", "eos": "</s>", "unk": "<unk>", "mask": "<mask>"}
"""Role to special token, in the order of their ids; cls is bos and sep is eos."""

_NORMALIZERS = ("nfkc", "nfc", "none")


@dataclass(frozen=True)
class TokenizerConfig:
    """How a tokenizer is trained."""

    vocab_size: int = 16_000
    """Entries in all: specials, byte pieces and trained pieces."""
    normalizer: str = "nfkc"
    """``nfkc`` (as XLM-R: compatibility forms folded, control and zero-width characters to spaces), ``nfc``, or ``none``."""
    byte_fallback: bool = False
    """Spell characters outside the alphabet as 256 byte pieces; without it they are the unknown token, as in XLM-R."""
    alpha: float = 0.5
    """Exponent on the languages' sizes: 1 takes the text as it is, 0 gives all languages the same weight."""
    coverage: float = 0.9999
    """Share of all characters that the alphabet covers."""
    longest: int = 16
    """Characters of the longest piece."""
    max_length: int = 512
    """Tokens of the longest input, for the tokenizer's own record."""

    def __post_init__(self) -> None:
        if self.normalizer not in _NORMALIZERS:
            raise ValueError(f"normalizer must be one of {', '.join(_NORMALIZERS)}")
        least = len(SPECIALS) + 256 * self.byte_fallback + 1
        if self.vocab_size < least:
            raise ValueError(f"vocab_size must be {least} or more")
        if not 0 <= self.alpha <= 1 or not 0 < self.coverage <= 1 or self.longest < 1:
            raise ValueError("alpha must lie in 0 … 1, coverage in 0 … 1, longest must be 1 or more")
        if self.max_length < 4:
            raise ValueError(f"max_length {self.max_length} leaves no room for text")


def train_tokenizer(
    files: Mapping[str, Sequence[Path]], config: TokenizerConfig, texts: Mapping[str, LanguageText] | None = None
) -> Any:
    """A ``PreTrainedTokenizerFast`` trained on text files by language; the same files give the same tokenizer.

    It has fewer than ``vocab_size`` entries, with a warning, where the text holds no more pieces that repeat.

    Args:
        files: Text files by language.
        config: Its size and kind.
        texts: What :func:`~hyperofa.vocab.learning.sampling.survey` made of the files (None: nothing is kept out).

    Raises:
        InputError: a language has no text, or the characters alone are more than ``vocab_size``.
    """
    normalizer = _normalizer(config.normalizer)
    texts = survey(files, SamplingConfig(held_out=0.0)) if texts is None else texts
    counts = {language: count_words(text, lambda line: _words(line, normalizer)) for language, text in texts.items()}
    fixed = list(SPECIALS.values()) + ([f"<0x{byte:02X}>" for byte in range(256)] if config.byte_fallback else [])
    wanted = config.vocab_size - len(fixed)
    _tell_typed(counts, fixed)
    pieces = train_unigram(
        balance(counts, config.alpha),
        wanted,
        longest=config.longest,
        coverage=config.coverage,
        forbidden=frozenset(fixed),
    )
    if not pieces:
        raise InputError("no words in the text", where="--text")
    if len(pieces) > wanted:
        raise InputError(
            f"{len(pieces)} characters and {len(fixed)} fixed entries do not fit into {config.vocab_size}",
            where="--vocab-size",
            todo=f"ask for {len(fixed) + len(pieces)} or more, or lower the coverage",
        )
    if len(pieces) < wanted:
        log.warning("the text holds only %d entries of the %d asked for", len(fixed) + len(pieces), config.vocab_size)
    return assemble([(piece, 0.0) for piece in fixed] + pieces, config)


def _tell_typed(counts: Mapping[str, Mapping[str, int]], special: Sequence[str]) -> None:
    """Say how often special tokens are typed in a language's words: they are text there, and no entry is learnt of them."""
    typed = re.compile("|".join(map(re.escape, special)))
    for language, words in counts.items():
        found = Counter[str]()
        for word, number in words.items():
            for token in typed.findall(word):
                found[token] += number
        if found:
            what = (
                f"{found.total():,} special tokens typed in the text, such as {found.most_common(1)[0][0]!r}, are text"
            )
            log.warning("%s: %s", language, what)


def _words(line: str, normalizer: Any) -> list[str]:
    """Words as the tokenizer will see them: normalised, split at spaces, ``▁`` before each."""
    text = line if normalizer is None else normalizer.normalize_str(line)
    return [f"▁{word}" for word in text.split()]


def balance(counts: Mapping[str, Mapping[str, int]], alpha: float) -> dict[str, float]:
    """One weighted count over all languages, a language of n words weighing n to the power ``alpha``; the sum stays."""
    sizes = {language: sum(words.values()) for language, words in counts.items()}
    sizes = {language: size for language, size in sizes.items() if size}
    scale = sum(sizes.values()) / max(sum(size**alpha for size in sizes.values()), 1e-9)
    merged: dict[str, float] = {}
    for language, size in sizes.items():
        factor = size**alpha * scale / size
        for word, count in counts[language].items():
            merged[word] = merged.get(word, 0.0) + count * factor
    return merged


def assemble(pieces: list[tuple[str, float]], config: TokenizerConfig) -> Any:
    """The tokenizer around a vocabulary that starts with :data:`SPECIALS`."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    ids = {token: index for index, token in enumerate(SPECIALS.values())}
    model = models.Unigram(pieces, unk_id=ids[SPECIALS["unk"]], byte_fallback=config.byte_fallback)
    backend = Tokenizer(model)
    normalizer = _normalizer(config.normalizer)
    if normalizer is not None:
        backend.normalizer = normalizer
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="always")]
    )
    metaspace = decoders.Metaspace(prepend_scheme="always")
    fallback = [decoders.ByteFallback()] if config.byte_fallback else []
    backend.decoder = decoders.Sequence([*fallback, metaspace]) if fallback else metaspace
    start, end = SPECIALS["bos"], SPECIALS["eos"]
    backend.post_processor = processors.TemplateProcessing(
        single=f"{start} $A {end}",
        pair=f"{start} $A {end} {end} $B {end}",
        special_tokens=[(start, ids[start]), (end, ids[end])],
    )
    mask = AddedToken(SPECIALS["mask"], lstrip=True, special=True, normalized=False)
    roles: dict[str, Any] = {f"{role}_token": token for role, token in SPECIALS.items()} | {"mask_token": mask}
    roles |= {"cls_token": start, "sep_token": end}
    return PreTrainedTokenizerFast(tokenizer_object=backend, model_max_length=config.max_length, **roles)


def _normalizer(name: str) -> Any:
    from tokenizers import normalizers

    if name == "none":
        return None
    return normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC()]) if name == "nfkc" else normalizers.NFC()
