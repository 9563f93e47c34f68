"""Training a new tokenizer on text of many languages: SentencePiece-style unigram, laid out as XLM-R's."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from hyperofa.vocab.learning.sampling import LanguageText, count_words
from hyperofa.vocab.learning.unigram import train_unigram
from hyperofa.vocab.settings import SPECIALS, TrainSettings
from hyperofa_eval.settings.fields import SettingError

log = logging.getLogger(__name__)


def learn_tokenizer(texts: Mapping[str, LanguageText], settings: TrainSettings) -> Any:
    """A ``PreTrainedTokenizerFast`` that is learnt from text by language; the same text gives the same tokenizer.

    It has fewer than ``vocab_size`` entries, with a warning, where the text holds no more pieces that repeat.

    Raises:
        InputError: a language has no text, or the characters alone are more than ``vocab_size``.
    """
    normalizer = _normalizer(settings.normalizer)
    counts = {language: count_words(text, lambda line: _words(line, normalizer)) for language, text in texts.items()}
    fixed = list(SPECIALS.values()) + ([f"<0x{byte:02X}>" for byte in range(256)] if settings.byte_fallback else [])
    number = settings.vocab_size - len(fixed)
    _warn_of_typed_special_tokens(counts, fixed)
    pieces = train_unigram(
        balance(counts, settings.alpha),
        number,
        longest=settings.longest,
        coverage=settings.coverage,
        forbidden=frozenset(fixed),
    )
    if len(pieces) > number:
        what = f"{len(pieces)} characters and {len(fixed)} fixed entries do not fit into {settings.vocab_size}"
        todo = f"ask for {len(fixed) + len(pieces)} or more, or lower the coverage"
        raise SettingError("vocab_size", what, todo=todo)
    if len(pieces) < number:
        log.warning("the text holds only %d entries of the %d asked for", len(fixed) + len(pieces), settings.vocab_size)
    return assemble([(piece, 0.0) for piece in fixed] + pieces, settings)


def _warn_of_typed_special_tokens(counts: Mapping[str, Mapping[str, int]], special: Sequence[str]) -> None:
    """Say how often special tokens are typed in a language's words: they are text there, and no entry is learnt of them."""
    typed = re.compile("|".join(map(re.escape, special)))
    for language, words in counts.items():
        typed_counts = Counter[str]()
        for word, number in words.items():
            for token in typed.findall(word):
                typed_counts[token] += number
        if typed_counts:
            example = typed_counts.most_common(1)[0][0]
            what = "special tokens typed in the text, such as"
            log.warning("%s: %s %s %r, are text", language, f"{typed_counts.total():,}", what, example)


def _words(line: str, normalizer: Any) -> list[str]:
    """Words as the tokenizer will see them: normalised, split at spaces, ``▁`` before each."""
    text = line if normalizer is None else normalizer.normalize_str(line)
    return [f"▁{word}" for word in text.split()]


def balance(counts: Mapping[str, Mapping[str, int]], alpha: float) -> dict[str, float]:
    """One weighted count over all languages, each times its :func:`weights`."""
    factors = weights({language: sum(words.values()) for language, words in counts.items()}, alpha)
    merged: dict[str, float] = {}
    for language, factor in factors.items():
        for word, count in counts[language].items():
            merged[word] = merged.get(word, 0.0) + count * factor
    return merged


def weights(sizes: Mapping[str, int], alpha: float) -> dict[str, float]:
    """What a word of each language counts, so that a language of n words weighs n to the power ``alpha``; the sum stays.

    A language without words is left out.
    """
    sizes = {language: size for language, size in sizes.items() if size}
    scale = sum(sizes.values()) / max(sum(size**alpha for size in sizes.values()), 1e-9)
    return {language: size**alpha * scale / size for language, size in sizes.items()}


def assemble(pieces: list[tuple[str, float]], settings: TrainSettings) -> Any:
    """The tokenizer around a vocabulary that starts with :data:`SPECIALS`."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    ids = {token: index for index, token in enumerate(SPECIALS.values())}
    model = models.Unigram(pieces, unk_id=ids[SPECIALS["unk"]], byte_fallback=settings.byte_fallback)
    backend = Tokenizer(model)
    normalizer = _normalizer(settings.normalizer)
    if normalizer is not None:
        backend.normalizer = normalizer
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="always")]
    )
    metaspace = decoders.Metaspace(prepend_scheme="always")
    fallback = [decoders.ByteFallback()] if settings.byte_fallback else []
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
    return PreTrainedTokenizerFast(tokenizer_object=backend, model_max_length=settings.max_length, **roles)


def _normalizer(name: str) -> Any:
    from tokenizers import normalizers

    if name == "none":
        return None
    return normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC()]) if name == "nfkc" else normalizers.NFC()
