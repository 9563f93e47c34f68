"""The text that an initialisation is given, in three parts: to learn from, to choose by, and to judge the result on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TypeVar

from hyperofa.data.parallel import ParallelText, read_parallel
from hyperofa.errors import DataMissingError
from hyperofa_eval.text.textfiles import read_lines

Key = TypeVar("Key", int, str)

MOST_LINES = 100_000
"""Different lines of a language that are kept at most, drawn with the seed."""
SHARE, MOST = 0.1, 200
"""Of a language's lines (and of its translations) this share, and no more than so many, go to each of the two held-out parts."""


@dataclass(frozen=True)
class GivenText:
    """Lines by language, and sentences with their translations; either may be empty."""

    lines: dict[str, list[str]] = field(default_factory=dict)
    parallel: ParallelText = field(default_factory=lambda: ParallelText({}, 0))

    def __bool__(self) -> bool:
        return any(self.lines.values()) or any(self.parallel.texts.values())

    def all_lines(self) -> dict[str, list[str]]:
        """Lines by language, those of the parallel text among them, each once."""
        parts = (self.lines, {name: list(rows.values()) for name, rows in self.parallel.texts.items()})
        lines_of: dict[str, dict[str, None]] = {}
        for part in parts:
            for language, lines in part.items():
                lines_of.setdefault(language, {}).update(dict.fromkeys(lines))
        return {language: list(lines) for language, lines in sorted(lines_of.items())}


@dataclass(frozen=True)
class PartedText:
    """Text in three parts that share no line, nor a translation of one.

    Attributes:
        learn: what rows learn from.
        choose: what chooses among candidates, and the step that is written.
        verdict: what the result is judged on, which nothing has seen.
    """

    learn: GivenText = field(default_factory=GivenText)
    choose: GivenText = field(default_factory=GivenText)
    verdict: GivenText = field(default_factory=GivenText)


def read_given(text: Mapping[str, Sequence[Path]], parallel: Sequence[Path], seed: int) -> PartedText:
    """Read files by language and folders of parallel text, and part them; see :func:`part_text`.

    Raises:
        DataMissingError: a file is not there, or a language has no text.
        InputError: parallel text is not aligned, or a file is no text.
    """
    lines = {language: _sample(paths, seed) for language, paths in sorted(text.items())}
    return part_text(GivenText(lines, read_parallel(list(parallel)) if parallel else ParallelText({}, 0)), seed)


def part_text(given: GivenText, seed: int) -> PartedText:
    """Part a text by hashes of its sentences, so that the order of lines and files does not matter.

    A sentence goes with all its translations, and a line that is also a sentence of the parallel text goes with that.
    """
    places: dict[str, int] = {}  # a sentence's text to its part
    sentences = _by_sentence(given.parallel)
    order = sorted(sentences, key=lambda number: _hash(min(sentences[number].items())[1], seed))
    dealt = _deal(order, {number: list(sentences[number]) for number in order})
    parts: dict[int, int] = {}
    left_out: set[str] = set()
    for number in order:
        known_parts = {places[text] for text in sentences[number].values() if text in places}
        if len(known_parts) < 2:
            parts[number] = known_parts.pop() if known_parts else dealt[number]
            places |= dict.fromkeys(sentences[number].values(), parts[number])
        else:  # one that would join two parts ("Amen.") is left out, and its translations with it
            left_out |= set(sentences[number].values())
    held: list[GivenText] = [GivenText({}, ParallelText({}, given.parallel.n_sentences)) for _ in range(3)]
    for number in sorted(parts):
        for language, text in sentences[number].items():
            held[parts[number]].parallel.texts.setdefault(language, {})[number] = text
    for language, lines in sorted(given.lines.items()):
        usable = (line for line in dict.fromkeys(lines) if line in places or line not in left_out)
        ordered = sorted(usable, key=lambda line: _hash(line, seed))
        fresh = [line for line in ordered if line not in places]
        places |= _deal(fresh, {line: [language] for line in fresh})  # for a language that has the same line, too
        for line in ordered:
            held[places[line]].lines.setdefault(language, []).append(line)
    return PartedText(*held)


def _by_sentence(parallel: ParallelText) -> dict[int, dict[str, str]]:
    """The parallel text by sentence: number to language to text."""
    by_sentence: dict[int, dict[str, str]] = {}
    for language, rows in sorted(parallel.texts.items()):
        for number, text in rows.items():
            by_sentence.setdefault(number, {})[language] = text
    return by_sentence


def _deal(order: Sequence[Key], languages: Mapping[Key, Sequence[str]]) -> dict[Key, int]:
    """Which part (0 learn, 1 choose, 2 verdict) each of ``order`` goes to: the first go to the held-out parts in turn."""
    sizes: dict[str, int] = {}
    for names in languages.values():
        for name in names:
            sizes[name] = sizes.get(name, 0) + 1
    room = {name: [min(MOST, int(SHARE * size))] * 2 for name, size in sizes.items()}
    parts, turn = {}, 0
    for key in order:
        parts[key] = 0
        for part in (turn, 1 - turn):
            if any(room[name][part] > 0 for name in languages[key]):
                for name in languages[key]:
                    room[name][part] -= 1
                parts[key], turn = part + 1, 1 - part
                break
    return parts


def _sample(paths: Sequence[Path], seed: int) -> list[str]:
    """At most :data:`MOST_LINES` different lines of files, those of the smallest hashes."""
    hashes: dict[str, bytes] = {}

    def smallest() -> Iterable[tuple[str, bytes]]:
        return islice(sorted(hashes.items(), key=lambda item: item[1]), MOST_LINES)

    for path in paths:
        for line in read_lines(path):
            if stripped := line.strip():
                hashes[stripped] = _hash(stripped, seed)
                if len(hashes) > 2 * MOST_LINES:
                    hashes = dict(smallest())
    if not hashes:
        raise DataMissingError("no text in the file", where=paths[0])
    return [line for line, _ in smallest()]


def _hash(text: str, seed: int) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8, key=str(seed).encode()).digest()
