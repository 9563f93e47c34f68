"""Growing a model's tokenizer for new languages: pieces are appended, so every old id keeps its token."""

from __future__ import annotations

import logging
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np

from hyperofa.errors import HyperofaError
from hyperofa.vocab.learning.candidates import Candidates
from hyperofa.vocab.learning.joins import Joins
from hyperofa.vocab.learning.keeping import KeptText
from hyperofa.vocab.learning.merges import learn_merges
from hyperofa.vocab.learning.sampling import LanguageText, count_apart
from hyperofa.vocab.learning.train import weights
from hyperofa.vocab.learning.worth import Choice, CountedWords, Size, bend, curve
from hyperofa.vocab.settings import AUTO, ExtendSettings
from hyperofa.vocab.surfaces import backend_spec, byte_alphabet, family, model_words
from hyperofa_eval.settings.fields import SettingError
from hyperofa_eval.text.tokenizer import rows_needed

log = logging.getLogger(__name__)

_STRETCH = 48  # characters (bytes, for byte-level tokenizers) of a part of a long word
_WHOLE = 96  # of the longest word that is counted whole: words in scripts of three bytes a letter have 60
_SURPLUS = 1.25  # candidates for a place; those that only led to longer pieces leave
_SURE = 0.5  # a merge seen less than so much of ``min_count`` makes no piece that is used as often


@dataclass(frozen=True)
class Grown:
    """A grown tokenizer, and what fewer pieces (``curve``, the smallest number first) and those ``taken`` save."""

    tokenizer: Any
    curve: list[Size]
    taken: int

    def record(self) -> list[dict[str, Any]]:
        """By size: how many new entries, whether it was taken, the mean share of tokens saved, and that of each language."""
        return [
            {"new": size.pieces, "taken": size.pieces == self.taken, "mean": size.mean, "languages": dict(size.saved)}
            for size in self.curve
        ]


def grow_tokenizer(
    source: Any, texts: Mapping[str, LanguageText], settings: ExtendSettings, kept: Sequence[str] = ()
) -> Grown:
    """A tokenizer with all of the source's entries under their ids, and new ones after them.

    The text is cut as the source cuts it; then the most frequent neighbours are merged, again and again, and characters that
    the source does not know become pieces first. Merges are learnt from three lines of four. They are judged by their uses
    in all of the text, cut by the grown tokenizer: the rarest leave until each is used ``min_count`` times, one of them in
    the lines kept out, and until no more are left than ``vocab_size`` has room for. A new piece joins only what pieces of the
    source join (:class:`hyperofa.vocab.learning.joins.Joins`): digits stay single where the source has them single.

    ``source`` is not changed. Lines that are ``kept`` are cut as the source does: no entry is taken that would change one.

    Raises:
        InputError: ``vocab_size`` is not above the source's, a language has no text, or the tokenizer's family is unknown.
    """
    spec = backend_spec(source)
    kind = family(spec)
    old_size, vocab_size = rows_needed(source), settings.vocab_size
    most = old_size if vocab_size == AUTO else int(vocab_size) - old_size
    if most <= 0:
        raise SettingError("vocab_size", f"{vocab_size} is not above the source's {old_size}", todo="ask for more")
    cutter = _Cutter(source, kind, spec["model"].get("continuing_subword_prefix") or "")
    text, learnt, rarest = _counted(cutter, texts, settings.alpha)
    least = max(2.0, _SURE * settings.min_count * rarest)
    candidates = _learn(source, cutter, (text, learnt), settings, most, least, kept)
    choice = Choice(candidates, text, settings.min_count)
    choice.drop_rare()
    choice.drop_to(most)
    points = [*curve(choice)][::-1]
    sizes = [size for size, _ in points]
    taken = points[bend(sizes) if vocab_size == AUTO else -1][1].tolist() if points else []
    grown = candidates.tokenizer(taken)
    if vocab_size != AUTO and len(taken) < most:
        what = "the text, and its part that is kept out, show no other often enough"
        log.warning("%s of %s new entries: %s (min_count %s)", f"{len(taken):,}", f"{most:,}", what, settings.min_count)
    _check_ids(source, grown)
    return Grown(grown, sizes, len(taken))


def _counted(
    cutter: _Cutter, texts: Mapping[str, LanguageText], alpha: float
) -> tuple[CountedWords, dict[str, float], float]:
    """The words of all texts; those that are learnt from, with the languages balanced; the least that a word counts there."""
    counts = {language: cutter.count(text) for language, text in texts.items()}
    factors = weights({language: sum(both[0].values()) for language, both in counts.items()}, alpha)
    measured = {
        language: Counter(word for line in text.measured for word in cutter.words(line))
        for language, text in texts.items()
    }
    words = sorted({word for both in counts.values() for word in both[0]}.union(*measured.values()))
    index = {word: number for number, word in enumerate(words)}
    shown, kept_out, weight, learnt = (np.zeros(len(words)) for _ in range(4))
    for language, (everything, apart) in counts.items():
        rows = [index[word] for word in everything]
        times = np.fromiter(everything.values(), dtype=np.float64)
        aside = np.array([apart.get(word, 0) for word in everything], dtype=np.float64)
        shown[rows] += times
        kept_out[rows] += aside
        weight[rows] += factors[language] * times
        learnt[rows] += factors[language] * (times if apart is everything else times - aside)
    measured_counts = {
        language: (np.array([index[word] for word in own], dtype=np.int64), np.array([*own.values()], dtype=np.float64))
        for language, own in measured.items()
    }
    taught = {words[row]: float(learnt[row]) for row in np.flatnonzero(learnt)}
    return CountedWords(words, shown, kept_out, weight, measured_counts), taught, min(factors.values())


def _learn(
    source: Any,
    cutter: _Cutter,
    words: tuple[CountedWords, Mapping[str, float]],
    settings: ExtendSettings,
    most: int,
    least: float,
    lines: Sequence[str],
) -> Candidates:
    """More pieces for the source than the ``most`` to be taken; learned anew without those that cut ``lines`` differently."""
    text, learnt = words
    joins = Joins(source, cutter.kind, cutter.prefix)
    kept_text = KeptText(source, cutter, lines, settings.longest)
    everything = {word: weight for word, weight in zip(text.words, text.weight.tolist(), strict=True) if weight}
    unknown = cutter.new_characters(everything, settings.coverage)
    characters: dict[str, float] | None = None
    while True:
        before = characters
        addable = [piece for piece in unknown if piece.removeprefix(cutter.prefix) not in kept_text.characters]
        characters = {piece: unknown[piece] for piece in addable[:most]}
        if characters != before:
            cut = [(pieces, weight) for word, weight in learnt.items() for pieces in cutter.cut(word, characters)]
        merges = learn_merges(
            cut,
            {*cutter.vocabulary, *cutter.added, *characters},
            round(_SURPLUS * most) - len(characters),
            cutter.join,
            longest=settings.longest,
            least=least,
            allows=lambda left, right, piece: joins.allows(piece) and kept_text.allows(left, right, piece),
        )
        total = sum(weight * len(pieces) for pieces, weight in cut)
        candidates = Candidates(source, characters, merges, total)
        if not lines or not kept_text.offenders(candidates.tokenizer()):
            return candidates


class _Cutter:
    """Cuts text as the source tokenizer does, and spells words in its pieces."""

    def __init__(self, source: Any, kind: str, prefix: str) -> None:
        self.backend = source.backend_tokenizer
        self.kind, self.prefix = kind, prefix if kind == "wordpiece" else ""
        self.vocabulary: dict[str, int] = self.backend.get_vocab(with_added_tokens=False)
        self.added = frozenset(token.content for token in self.backend.get_added_tokens_decoder().values())
        self._longest_word = getattr(self.backend.model, "max_input_chars_per_word", 100)
        self._at_added = re.compile("|".join(map(re.escape, sorted(self.added, key=len, reverse=True))) or "(?!)")

    def count(self, text: LanguageText) -> tuple[dict[str, int], dict[str, int]]:
        """The words of a text, as the source's normalizer and pre-tokenizer give them to its model: all, and those kept out."""

        def words_of(line: str) -> list[str]:
            words = list(self.words(line))
            if all(len(word) <= _STRETCH for word in words):
                return words
            return [stretch for word in words for stretch in self._stretches(word)]

        return count_apart(text, words_of)

    def words(self, line: str) -> Iterator[str]:
        """The words of one line; the source cuts at its added tokens too, and no new piece holds one."""
        for part in self._at_added.split(line):
            for word in model_words(self.backend, part):
                if (
                    self.kind == "sentencepiece"
                ):  # where the whole text is one word (Llama), no piece shall reach over a boundary
                    yield from (f"▁{piece}" if i else piece for i, piece in enumerate(word.split("▁")) if piece)
                elif word:
                    yield word

    def _stretches(self, word: str) -> list[str]:
        """A word of a script without spaces in stretches, so that a change in one is not the work of all.

        WordPiece marks the inside of words and gives up beyond its longest word, so its words are not cut but cut off.
        """
        if self.kind == "wordpiece":
            return [word[: self._longest_word]]
        if len(word) <= _WHOLE:
            return [word]
        stretches, start = [], 0
        while len(word) - start > _STRETCH:
            end = start + _STRETCH
            while end > start + _STRETCH // 2 and self._goes_on(word[end]):
                end -= 1
            stretches.append(word[start:end])
            start = end
        return [*stretches, word[start:]]

    def _goes_on(self, character: str) -> bool:
        """Whether a character belongs to the one before it: a byte inside a character, or a combining mark."""
        if self.kind == "byte-level":
            return byte_alphabet().get(character, 0) & 0xC0 == 0x80
        return unicodedata.category(character)[0] == "M"

    def join(self, left: str, right: str) -> str:
        """The piece that two neighbouring pieces make."""
        return left + right.removeprefix(self.prefix) if self.prefix else left + right

    def new_characters(self, words: Mapping[str, float], coverage: float) -> dict[str, float]:
        """Pieces for the characters that the source lacks, and how often they occur, the most frequent first.

        There are as many as bring the share of all characters that have a piece to ``coverage``.
        """
        if self.kind == "byte-level":
            return {}
        weights: dict[str, float] = {}
        everything = 0.0
        for word, weight in words.items():
            everything += weight * len(word)
            for piece, times in Counter(self._characters(word)).items():
                if piece not in self.vocabulary and piece not in self.added:
                    weights[piece] = weights.get(piece, 0.0) + weight * times
        ranked = sorted(weights, key=lambda piece: (-weights[piece], piece))
        missing = sum(weights.values())
        chosen = {}
        for piece in ranked:
            if missing <= (1 - coverage) * everything:
                break
            chosen[piece] = weights[piece]
            missing -= weights[piece]
        return chosen

    def cut(self, word: str, characters: Collection[str]) -> list[list[str]]:
        """``word`` in pieces of the source and new characters; cut in two at characters that stay unknown."""
        singles = self._characters(word)
        if all(piece in self.vocabulary for piece in singles):
            return [[token.value for token in self.backend.model.tokenize(word)]]
        parts: list[list[str]] = [[]]
        # With a prefix every character of the source is a piece by itself; without one, a run of them is cut as the source does.
        for whole, run in groupby(singles, lambda piece: not self.prefix and piece in self.vocabulary):
            if whole:
                parts[-1] += [token.value for token in self.backend.model.tokenize("".join(run))]
                continue
            for piece in run:
                if piece in characters or piece in self.vocabulary:
                    parts[-1].append(piece)
                else:
                    parts.append([])
        return [part for part in parts if part]

    def _characters(self, word: str) -> list[str]:
        if not self.prefix:
            return list(word)
        return [character if i == 0 else f"{self.prefix}{character}" for i, character in enumerate(word)]


def _check_ids(source: Any, grown: Any) -> None:
    """Fail rather than hand out a tokenizer under which the model's rows would mean other tokens."""
    new = grown.get_vocab()
    for token, token_id in source.get_vocab().items():
        if new.get(token) != token_id:
            what = f"the token {token!r} would move from id {token_id} to {new.get(token)}"
            raise HyperofaError(what, where="extend")
