"""Growing a model's tokenizer for new languages: pieces are appended, so every old id keeps its token."""

from __future__ import annotations

import json
import logging
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from hyperofa.errors import HyperofaError
from hyperofa.vocab.learning.carry import with_backend
from hyperofa.vocab.learning.joins import Joins
from hyperofa.vocab.learning.keeping import KeptText
from hyperofa.vocab.learning.merges import Merge, learn_merges
from hyperofa.vocab.learning.sampling import LanguageText, count_words
from hyperofa.vocab.learning.train import balance
from hyperofa.vocab.settings import ExtendSettings
from hyperofa.vocab.surfaces import backend_spec, byte_alphabet, family, model_words, rows_needed
from hyperofa_eval.settings.fields import SettingError

log = logging.getLogger(__name__)

_BESIDE_PARTS = 0.1  # a new unigram piece scores this much above its two parts, or it would never be chosen
_STRETCH = 48  # characters (bytes, for byte-level tokenizers) of a part of a long word
_WHOLE = 96  # of the longest word that is counted whole: words in scripts of three bytes a letter have 60
# Score of an added token's place in a unigram vocabulary; the text is cut at it before the model sees it.
_NEVER = -100.0


def grow_tokenizer(
    source: Any, texts: Mapping[str, LanguageText], settings: ExtendSettings, kept: Sequence[str] = ()
) -> Any:
    """A tokenizer with all of the source's entries under their ids, and new ones after them.

    The text is cut as the source cuts it; then the most frequent neighbours are merged until ``vocab_size`` is
    reached, and characters that the source does not know become pieces first. BPE gets the merges after its own,
    WordPiece the pieces, unigram the pieces with a score that lets each win over its parts. A new piece joins only what
    pieces of the source join (:class:`hyperofa.vocab.learning.joins.Joins`): digits stay single where the source has them single.

    ``source`` is not changed. Lines that are ``kept`` are cut as the source does: no entry is taken that would change one.

    Raises:
        InputError: ``vocab_size`` is not above the source's, a language has no text, or the tokenizer's family is unknown.
    """
    spec = backend_spec(source)
    kind = family(spec)
    old_size = rows_needed(source)
    if settings.vocab_size <= old_size:
        raise SettingError(
            "vocab_size", f"{settings.vocab_size} is not above the source's {old_size}", todo="ask for more"
        )
    cutter = _Cutter(source, kind, spec["model"].get("continuing_subword_prefix") or "")
    words = balance({language: cutter.count(text) for language, text in texts.items()}, settings.alpha)
    grown = _grow(source, cutter, words, settings, settings.vocab_size - old_size, kept)
    if (made := rows_needed(grown)) < settings.vocab_size:
        log.warning("the text holds only %d entries of the %d asked for", made, settings.vocab_size)
    _check_ids(source, grown)
    return grown


def _grow(
    source: Any,
    cutter: _Cutter,
    words: Mapping[str, float],
    settings: ExtendSettings,
    number: int,
    lines: Sequence[str],
) -> Any:
    """The source with up to ``number`` further pieces; learned anew without those that cut ``lines`` differently."""
    joins = Joins(source, cutter.kind, cutter.prefix)
    kept = KeptText(source, cutter, lines, settings.longest)
    unknown = cutter.new_characters(words, settings.coverage)
    characters: dict[str, float] | None = None
    while True:
        before = characters
        addable = [piece for piece in unknown if piece.removeprefix(cutter.prefix) not in kept.characters]
        characters = {piece: unknown[piece] for piece in addable[:number]}
        if characters != before:
            ordered = sorted(words.items())
            cut = [(pieces, weight) for word, weight in ordered for pieces in cutter.cut(word, characters)]
        merges = learn_merges(
            cut,
            {*cutter.vocabulary, *cutter.added, *characters},
            number - len(characters),
            cutter.join,
            longest=settings.longest,
            allows=lambda left, right, piece: joins.allows(piece) and kept.allows(left, right, piece),
        )
        grown = _assemble(source, characters, merges, sum(weight * len(pieces) for pieces, weight in cut))
        if not lines or not kept.offenders(grown):
            return grown


class _Cutter:
    """Cuts text as the source tokenizer does, and spells words in its pieces."""

    def __init__(self, source: Any, kind: str, prefix: str) -> None:
        self.backend = source.backend_tokenizer
        self.kind, self.prefix = kind, prefix if kind == "wordpiece" else ""
        self.vocabulary: dict[str, int] = self.backend.get_vocab(with_added_tokens=False)
        self.added = frozenset(token.content for token in self.backend.get_added_tokens_decoder().values())
        self._longest_word = getattr(self.backend.model, "max_input_chars_per_word", 100)
        self._at_added = re.compile("|".join(map(re.escape, sorted(self.added, key=len, reverse=True))) or "(?!)")

    def count(self, text: LanguageText) -> dict[str, int]:
        """The words of a text, as the source's normalizer and pre-tokenizer give them to its model."""

        def words_of(line: str) -> list[str]:
            words = list(self.words(line))
            if all(len(word) <= _STRETCH for word in words):
                return words
            return [stretch for word in words for stretch in self._stretches(word)]

        return count_words(text, words_of)

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


def _assemble(source: Any, characters: Mapping[str, float], merges: Sequence[Merge], total: float) -> Any:
    """The source's tokenizer.json with further pieces, as a tokenizer with the source's special tokens."""
    from tokenizers import Tokenizer

    spec = json.loads(source.backend_tokenizer.to_str())
    model = spec["model"]
    pieces = list(characters) + [merge.piece for merge in merges if merge.new]
    added = {token["content"]: token["id"] for token in spec["added_tokens"]}
    # Loading a tokenizer numbers added tokens after the model's pieces, so those have to be pieces to keep their ids.
    if model["type"] == "Unigram":
        vocabulary = model["vocab"]
        score = dict(vocabulary)
        for content, token_id in sorted(added.items(), key=lambda item: item[1]):
            if content in score:
                continue
            if token_id != len(vocabulary):
                raise HyperofaError(f"the added token {content!r} has an id beyond a gap", where="tokenizer.json")
            vocabulary.append([content, _NEVER])
            score[content] = _NEVER
        for piece, weight in characters.items():
            score[piece] = math.log(max(weight, 1.0) / total)
        for merge in merges:
            if merge.new:
                parts = score[merge.left] + score[merge.right] + _BESIDE_PARTS
                score[merge.piece] = max(math.log(merge.count / total), parts)
        vocabulary += [[piece, score[piece]] for piece in pieces]
    else:
        vocabulary = model["vocab"]
        vocabulary.update({content: token_id for content, token_id in added.items() if content not in vocabulary})
        first = max(vocabulary.values()) + 1
        vocabulary.update({piece: first + i for i, piece in enumerate(pieces)})
        if model["type"] == "BPE":
            model["merges"] += [[merge.left, merge.right] for merge in merges]
    return with_backend(source, Tokenizer.from_str(json.dumps(spec)))


def _check_ids(source: Any, grown: Any) -> None:
    """Fail rather than hand out a tokenizer under which the model's rows would mean other tokens."""
    new = grown.get_vocab()
    for token, token_id in source.get_vocab().items():
        if new.get(token) != token_id:
            what = f"the token {token!r} would move from id {token_id} to {new.get(token)}"
            raise HyperofaError(what, where="extend")
