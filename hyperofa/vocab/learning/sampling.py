"""The text of each language that a tokenizer learns from: lines drawn, lines kept out to measure on, words counted."""

from __future__ import annotations

import hashlib
import heapq
import itertools
import logging
import random
import re
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hyperofa.errors import InputError
from hyperofa.vocab.learning.junk import without_junk
from hyperofa.vocab.settings import SamplingSettings
from hyperofa_eval.base.console import track
from hyperofa_eval.settings.fields import SettingError
from hyperofa_eval.text.textfiles import read_lines

log = logging.getLogger(__name__)

MOST_HELD_OUT = 2_000
"""Lines of a language that are measured on, at most."""
LEAST_HELD_OUT = 10
"""Lines of a language that are kept out, at least."""
TOO_FEW_LINES = 50
"""With fewer different lines nothing is kept out, and the training text itself is measured."""
LITTLE_TEXT = 50_000
"""Characters of training text; with fewer, a language's pieces are learnt by heart."""
WORD_CHARACTERS = 3_000_000
"""Characters of the distinct words of a language that are learnt from; the rarest words beyond are forgotten."""
ALL_CHARACTERS = 12_000_000
"""As many of all languages together, each having an equal share; memory grows with them."""
APART = 4
"""One line in so many is kept out of the learning of pieces, to judge them on."""
_LONGEST_SAMPLE = 10_000  # characters of a line that is measured on; documents may stand on one line
_LONGEST_PART = 100_000  # characters that are cut into words at a time
_VISIBLE = re.compile(  # anything but spaces, joiners, marks of direction and other characters that show nothing
    r"[^\s\u00ad\u034f\u061c\u115f\u1160\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0]"
)
_MOST_WORDS = 1_500_000  # distinct words of a language that are held while its text is read


@dataclass
class LanguageText:
    """The text of a language, read twice: :func:`survey` counts and keeps lines out, iterating gives those to learn from.

    ``lines`` counts all that are not blank, ``held_out`` holds the lines kept out, each once. After an iteration,
    ``drawn`` counts the lines that it gave, ``characters`` theirs, and ``left_out`` the junk that they held.
    """

    language: str
    paths: Sequence[Path]
    lines: int
    held_out: list[str]
    kept_out: frozenset[int]
    """Hashes of the lines in ``held_out``; no line of such a hash is learnt from."""
    kept_out_lines: int
    """Lines of such hashes, repeats included."""
    settings: SamplingSettings
    word_characters: int = WORD_CHARACTERS
    """Characters of the distinct words that are learnt from."""
    drawn: int = 0
    characters: int = 0
    left_out: int = 0

    def __iter__(self) -> Iterator[str]:
        """The lines to learn from, without junk: at most ``cap`` of those that are not kept out, in their order."""
        self.drawn = self.characters = self.left_out = 0
        left = self.lines - self.kept_out_lines
        number = min(self.settings.cap, left)
        draw = random.Random(f"{self.settings.seed} {self.language}").random
        for line in track(_lines(self.paths), f"reading {self.language}"):
            if self.kept_out and _hash(line, self.settings.seed) in self.kept_out:
                continue
            # Selection sampling: each line is taken with the chance that leaves every choice of lines as likely.
            taken = draw() * left < number - self.drawn
            left -= 1
            if not taken:
                continue
            self.drawn += 1
            clean, removed = without_junk(line)
            self.left_out += removed
            if not _VISIBLE.search(clean):
                continue
            self.characters += len(clean)
            yield from _parts(clean)

    @property
    def measured(self) -> list[str]:
        """Lines to measure on, without junk: those kept out, or the training text where there are none."""
        return self.held_out or sample_lines(self.paths, self.settings.seed)

    @property
    def record(self) -> dict[str, int]:
        """Counts for ``training.json``."""
        counts = {name: getattr(self, name) for name in ("lines", "drawn", "characters", "left_out")}
        return {**counts, "held_out": len(self.held_out)}


def log_counts(texts: Collection[LanguageText]) -> None:
    """Log what was drawn and left out, in which languages nothing is kept out, and which have too little text."""
    for text in texts:
        if text.drawn < text.lines - text.kept_out_lines:
            log.info("%s: %s of %s lines drawn", text.language, f"{text.drawn:,}", f"{text.lines:,}")
        if text.left_out:
            words = "word" if text.left_out == 1 else "words"
            what = f"{words} left out (absurdly long, encoded, repeated, or damaged)"
            log.warning("%s: %s %s", text.language, f"{text.left_out:,}", what)
        if text.settings.held_out and not text.held_out:
            log.warning("%s: too few lines to keep some out: figures are of the training text", text.language)
    little = [
        f"{text.language} ({text.drawn:,} {'line' if text.drawn == 1 else 'lines'}, {text.characters:,} characters)"
        for text in texts
        if text.characters < LITTLE_TEXT
    ]
    if little:
        log.warning("too little text to take pieces from, so they are learnt by heart: %s", ", ".join(little))


def survey(files: Mapping[str, Sequence[Path]], settings: SamplingSettings) -> dict[str, LanguageText]:
    """Count each language's lines and keep some out, without holding the text in memory.

    The lines kept out are those of the smallest hashes, so a line is kept out wherever it is repeated, and the choice is
    the same however the text is divided into files.

    Raises:
        InputError: a language has no text.
    """
    if not files:
        raise SettingError("text", "names no file")
    texts = {}
    share = min(WORD_CHARACTERS, ALL_CHARACTERS // max(len(files), 1))
    for language, paths in sorted(files.items()):
        smallest, lines = _Smallest(MOST_HELD_OUT, settings.seed), 0
        for line in track(_lines(paths), f"counting {language}"):
            lines += 1
            if settings.held_out:
                smallest.add(line)
        if not lines:
            raise _no_words(language, paths)
        different = smallest.different
        number = 0 if different < TOO_FEW_LINES else max(LEAST_HELD_OUT, int(different * settings.held_out))
        held_out = smallest.first(number)
        hashes = frozenset(held_out)
        repeats = sum(smallest.times[key] for key in hashes)
        kept_out = _clean(held_out.values())
        texts[language] = LanguageText(language, paths, lines, kept_out, hashes, repeats, settings, share)
    return texts


def sample_lines(paths: Sequence[Path], seed: int) -> list[str]:
    """At most :data:`MOST_HELD_OUT` different lines of files, drawn with the seed, without junk."""
    smallest = _Smallest(MOST_HELD_OUT, seed)
    for line in _lines(paths):
        smallest.add(line)
    return _clean(smallest.first(MOST_HELD_OUT).values())


class _Smallest:
    """The different lines of the smallest hashes, which are a sample of all different lines, each as likely."""

    def __init__(self, number: int, seed: int) -> None:
        self.number, self.seed = number, seed
        self.times: dict[int, int] = {}
        self._lines: dict[int, str] = {}
        self._largest: list[int] = []  # a heap of negated hashes

    def add(self, line: str) -> None:
        key = _hash(line, self.seed)
        if key in self.times:
            self.times[key] += 1
            return
        if len(self.times) == self.number:
            if key > -self._largest[0]:
                return
            largest = -heapq.heappop(self._largest)
            del self.times[largest], self._lines[largest]
        heapq.heappush(self._largest, -key)
        self.times[key] = 1
        self._lines[key] = line[:_LONGEST_SAMPLE]

    @property
    def different(self) -> int:
        """How many different lines there were; beyond ``number`` of them an estimate from the hashes' density."""
        if len(self.times) < self.number:
            return len(self.times)
        return (self.number - 1) * 2**64 // max(-self._largest[0], 1)

    def first(self, number: int) -> dict[int, str]:
        """Hash and text of the ``number`` lines of the smallest hashes (as many as there are)."""
        return {key: self._lines[key] for key in sorted(self._lines)[:number]}


def _hash(line: str, seed: int) -> int:
    """64 bits of a line's words; lines that differ in their spaces alone have the same."""
    words = " ".join(line.split()).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(words, digest_size=8, key=str(seed).encode()).digest())


def _lines(paths: Sequence[Path]) -> Iterator[str]:
    return (line for path in paths for line in read_lines(path) if _VISIBLE.search(line))


def _parts(line: str) -> Iterator[str]:
    """A line in parts of bearable length, cut before a space where there is one."""
    start = 0
    while len(line) - start > _LONGEST_PART:
        end = line.rfind(" ", start + 1, start + _LONGEST_PART)
        end = end if end > 0 else start + _LONGEST_PART
        yield line[start:end]
        start = end
    yield line[start:] if start else line


def _clean(lines: Iterable[str]) -> list[str]:
    return [clean for clean in (without_junk(line)[0] for line in lines) if _VISIBLE.search(clean)]


def _no_words(language: str, paths: Sequence[Path], left_out: int = 0) -> InputError:
    what = f"no words in the text{f' ({left_out:,} left out as no words)' if left_out else ''}"
    where = f"{language}: {', '.join(map(str, paths))}"
    return InputError(what, where=where, todo=f"give text of {language}, or leave it out")


def count_words(text: LanguageText, words_of: Callable[[str], Iterable[str]]) -> dict[str, int]:
    """The words of a text and how often each occurs, the rarest forgotten where they would fill the memory.

    Raises:
        InputError: the text has no word.
    """
    return _count(text, words_of, lambda line: False)[0]


def count_apart(text: LanguageText, words_of: Callable[[str], Iterable[str]]) -> tuple[dict[str, int], dict[str, int]]:
    """As :func:`count_words`; and how often each word occurs in one line of :data:`APART`, to judge what the others teach.

    A line is in that part wherever it is repeated. Of a text too short to keep lines out, or that shall keep none out, all is.
    """
    if not text.held_out:
        counts = count_words(text, words_of)
        return counts, counts
    return _count(text, words_of, lambda line: _hash(line, text.settings.seed + 1) % APART == 0)


def _count(
    text: LanguageText, words_of: Callable[[str], Iterable[str]], is_apart: Callable[[str], bool]
) -> tuple[dict[str, int], dict[str, int]]:
    counts: Counter[str] = Counter()
    apart: Counter[str] = Counter()
    for line in text:
        words = list(words_of(line))
        counts.update(words)
        if is_apart(line):
            apart.update(words)
        if len(counts) > _MOST_WORDS:
            counts = Counter(most_frequent(counts, 4 * text.word_characters))
            apart = Counter({word: times for word, times in apart.items() if word in counts})
    if not counts:
        raise _no_words(text.language, text.paths, text.left_out)
    chosen = most_frequent(counts, text.word_characters)
    return chosen, {word: min(times, chosen[word]) for word, times in apart.items() if word in chosen}


def most_frequent(counts: Mapping[str, int], characters: int) -> dict[str, int]:
    """The most frequent words that have so many characters together; of equally frequent ones, those that a hash picks."""
    if sum(map(len, counts)) <= characters:
        return dict(counts)

    def rank(word: str) -> tuple[int, int, str]:
        return -counts[word], zlib.crc32(word.encode("utf-8", "surrogatepass")), word

    ranked = sorted(counts, key=rank)
    ends = itertools.accumulate(map(len, ranked))
    return {word: counts[word] for word, end in zip(ranked, ends, strict=True) if end <= characters}
