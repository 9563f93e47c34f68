"""Paired text: lines of several files that say the same, by their number or by an id before a tab."""

from __future__ import annotations

import logging
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hyperofa_eval.base.errors import InputError
from hyperofa_eval.languages import PIVOT
from hyperofa_eval.text.textfiles import read_lines

LONGEST = 40
"""Characters of an id that a message shows."""
LEAST_OVERLAP = 0.5
"""The share of the smaller side's ids below which an overlap is said to be low."""


@dataclass(frozen=True)
class Verses:
    """One language's side of text that is paired by ids.

    Attributes:
        path: the file.
        texts: the text of each id, stripped, in the file's order. Ids are compared by :func:`id_key`.
        first_id: the first one with text, as it is written.
        without_text: how many lines have no text.
    """

    path: Path
    texts: dict[str, str]
    first_id: str
    without_text: int


@dataclass(frozen=True)
class Overlap:
    """How many of a file's ids another file has too."""

    path: Path
    other: Path
    shared: int
    own_ids: int
    other_ids: int

    @property
    def low(self) -> bool:
        """Whether less than half of the smaller side is shared."""
        return self.shared < LEAST_OVERLAP * min(self.own_ids, self.other_ids)

    @property
    def level(self) -> int:
        """How loudly a log says it: a low figure is a warning."""
        return logging.WARNING if self.low else logging.INFO

    def __str__(self) -> str:
        """One line with the figure."""
        return f"{self.path}: {self.shared:,} of {self.own_ids:,} ids are also in {self.other.name}"


def id_key(written: str) -> str:
    """An id as it is compared: what looks alike is the same.

    Case, surrounding space, kinds of space, invisible characters, and composed or wide forms make no difference.
    """
    if written.isascii():
        return " ".join(written.split()).casefold()
    composed = unicodedata.normalize("NFKC", written)
    seen = (character for character in composed if unicodedata.category(character) != "Cf")
    return " ".join("".join(seen).split()).casefold()


def read_verses(path: Path, *, gaps: bool = False) -> Verses:
    """Read ``id<TAB>text`` lines of a file, plain or packed.

    ``gaps`` allows ids without text (no translation) and blank lines; they are counted and left out.

    Raises:
        InputError: a line without a tab, id or text, an id that was there before, or no text in the file.
    """
    texts: dict[str, str] = {}
    lines: dict[str, int] = {}
    first_id, without_text = "", 0
    for number, line in enumerate(read_lines(path), 1):
        if gaps and not line.strip():
            without_text += 1
            continue
        written, tab, text = line.partition("\t")
        key, text, where = id_key(written), text.strip(), f"{path}, line {number}"
        if not tab or not key or not (text or gaps):
            raise InputError("not id<TAB>text", where=where, todo=None if tab else "there is no tab")
        if key in lines:
            what = f"the id {written.strip()[:LONGEST]!r} comes twice, first in line {lines[key]}"
            raise InputError(what, where=where)
        lines[key] = number
        if text:
            first_id = first_id or written.strip()
            texts[key] = text
        else:
            without_text += 1
    if not texts:
        raise InputError("there is no text in the file", where=path)
    return Verses(path, texts, first_id, without_text)


def overlaps(sides: Mapping[str, Verses], pivot: str = PIVOT) -> list[Overlap]:
    """How well the ids of each language meet those of the pivot, or of the largest side where that has no file.

    Raises:
        InputError: there are files whose ids are in none of the others, directly or by way of a third.
    """
    _refuse_islands(sides, pivot)
    hub = pivot if pivot in sides else max(sides, key=lambda language: len(sides[language].texts))
    centre = sides[hub]
    return [
        Overlap(side.path, centre.path, len(side.texts.keys() & centre.texts), len(side.texts), len(centre.texts))
        for language, side in sides.items()
        if language != hub
    ]


def _refuse_islands(sides: Mapping[str, Verses], pivot: str) -> None:
    islands: list[tuple[list[str], set[str]]] = []
    for language, side in sides.items():
        apart = [island for island in islands if island[1].isdisjoint(side.texts)]
        touching = [island for island in islands if island not in apart]
        languages = [name for names, _ in touching for name in names] + [language]
        islands = [*apart, (languages, set(side.texts).union(*(ids for _, ids in touching)))]
    if len(islands) < 2:
        return
    islands.sort(key=lambda island: (pivot in island[0], len(island[0]), len(island[1])))
    first, last = sides[islands[0][0][0]], sides[islands[-1][0][0]]
    if pivot in islands[-1][0]:
        last = sides[pivot]
    raise InputError(
        f"no id in common with {last.path.name}: {first.first_id[:LONGEST]!r} here, {last.first_id[:LONGEST]!r} there",
        where=first.path,
        todo="name the sentences by the same ids in all files",
    )


def read_aligned(paths: Sequence[Path]) -> list[list[str]]:
    """The stripped lines of files of which line i of each says the same; an empty line is no translation.

    Raises:
        InputError: a file has another number of lines than the others.
    """
    sides = [[line.strip() for line in read_lines(path)] for path in paths]
    counts = Counter(map(len, sides))
    usual = max(counts, key=lambda count: (counts[count], count))
    other = next(path for path, side in zip(paths, sides, strict=True) if len(side) == usual)
    for path, side in zip(paths, sides, strict=True):
        if len(side) != usual:
            raise InputError(
                f"unaligned: {len(side)} lines, but {other.name} has {usual}",
                where=path,
                todo="line i of each file must say the same (an empty line where there is no translation), or give ids",
            )
    return sides
