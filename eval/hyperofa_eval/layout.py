"""Where a data folder keeps each task's files, and what it holds; every layout that is read is listed here."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from hyperofa_eval.errors import DataMissingError, InputError
from hyperofa_eval.files import find, read_lines, sha256_file
from hyperofa_eval.languages import PIVOT, language, languages
from hyperofa_eval.readers import Sentence, read_pairs, read_tagged, read_verses

# {L} is the language's code, {s} its two-letter code, {split} train, dev or test; any file may be packed (.xz).
PAIRS = (
    ("tatoeba/{L}-eng.{L}", "tatoeba/{L}-eng.eng"),
    ("tatoeba/tatoeba.{L}-eng.{L}", "tatoeba/tatoeba.{L}-eng.eng"),
    ("{L}-eng.{L}", "{L}-eng.eng"),
    ("tatoeba.{L}-eng.{L}", "tatoeba.{L}-eng.eng"),
)
VERSES = ("bible/{L}.test.tsv", "bible/{L}.tsv", "{L}.test.tsv")
TAGGED = {
    "ner": (
        "ner/{L}/{split}.tsv",
        "ner/{L}/{split}.txt",
        "panx/{s}/{split}",
        "panx/{split}-{s}.tsv",
        "ner/{s}/{split}",
    ),
    "pos": ("pos/{L}/{split}.tsv", "pos/{L}/{split}.conllu", "udpos/{split}-{s}.tsv", "udpos/{s}/{split}.tsv"),
}
TEXT = ("text/{L}.txt", "{L}.txt")


@dataclass(frozen=True)
class Pairs:
    """Aligned sentences: ``english[i]`` and ``other[i]`` say the same; ``ids[i]`` names the pair."""

    english: list[str]
    other: list[str]
    ids: list[str]
    files: dict[str, str]
    """Name of each file read, below the data folder, and its SHA-256."""
    english_only: int = 0
    """Verses that the other side lacks."""
    other_only: int = 0

    def first(self, n: int | None) -> Pairs:
        """The first ``n`` pairs (all where ``n`` is None)."""
        return replace(self, english=self.english[:n], other=self.other[:n], ids=self.ids[:n])


@dataclass(frozen=True)
class DataFolder:
    """A folder of test sets (docs/evaluation.md names the layouts). Nothing is ever fetched.

    Raises:
        DataMissingError: on construction, if the folder is not there.
    """

    root: Path
    aliases: bool = False
    """Let a macro-language's data (``zho``) stand for the language (``cmn``) where its own is missing."""
    _hashes: dict[Path, str] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.root.is_dir():
            raise DataMissingError("no such data folder", where=self.root)

    def has(self, corpus: str, code: str, split: str = "test") -> bool:
        """Whether the folder holds ``corpus`` (tatoeba, bible, ner, pos, text) for a language."""
        return self._locate(corpus, code, split) is not None

    def codes(self, corpus: str, known: Sequence[str]) -> list[str]:
        """Those of ``known`` languages for which the folder holds ``corpus``, in their order."""
        return [code for code in known if self.has(corpus, code)]

    def pairs(self, corpus: str, code: str) -> Pairs:
        """English and ``code`` sentences of ``tatoeba`` (by line) or ``bible`` (by verse id, in English order)."""
        if corpus == "bible":
            return self._bible(code)
        left, right = self._need(corpus, code)
        other, english = read_pairs(left, right)
        return Pairs(english, other, [str(i) for i in range(1, len(other) + 1)], self.hashes(left, right))

    def tagged(self, corpus: str, code: str, split: str, scheme: str | None) -> tuple[list[Sentence], dict[str, str]]:
        """Tagged sentences of one split, and the hash of their file."""
        (path,) = self._need(corpus, code, split)
        return read_tagged(path, scheme), self.hashes(path)

    def text(self, corpus: str, code: str) -> tuple[list[str], dict[str, str]]:
        """The non-empty lines of a monolingual file, and its hash."""
        (path,) = self._need(corpus, code)
        lines = [line.strip() for line in read_lines(path) if line.strip()]
        if not lines:
            raise InputError("the test set is empty", where=path)
        return lines, self.hashes(path)

    def hashes(self, *paths: Path) -> dict[str, str]:
        """SHA-256 of files by their name below the folder, read once each."""
        for path in paths:
            if path not in self._hashes:
                self._hashes[path] = sha256_file(path)
        return {path.relative_to(self.root).as_posix(): self._hashes[path] for path in paths}

    def _bible(self, code: str) -> Pairs:
        (other_path,) = self._need("bible", code)
        (english_path,) = self._need("bible", PIVOT)
        other, english = read_verses(other_path), read_verses(english_path)
        ids = [name for name in english if name in other]
        if not ids:
            raise InputError(f"no verse id in common with {english_path.name}", where=other_path)
        files = self.hashes(english_path, other_path)
        lone = len(english) - len(ids), len(other) - len(ids)
        return Pairs([english[i] for i in ids], [other[i] for i in ids], ids, files, *lone)

    def _need(self, corpus: str, code: str, split: str = "test") -> tuple[Path, ...]:
        paths = self._locate(corpus, code, split)
        if paths is None:
            tried = ", ".join(" + ".join(names) for names in self._names(corpus, code, split))
            raise DataMissingError(f"no {corpus} data for {code}", where=self.root, todo=f"looked for {tried}")
        return paths

    def _locate(self, corpus: str, code: str, split: str) -> tuple[Path, ...] | None:
        for names in self._names(corpus, code, split):
            found = [find(self.root / name) for name in names]
            if all(path is not None for path in found):
                return tuple(path for path in found if path is not None)
        return None

    def _names(self, corpus: str, code: str, split: str) -> Iterator[tuple[str, ...]]:
        row = language(code)
        for name in (code, *(row.aliases if self.aliases else ())):
            # A two-letter code that is a macro-language's (zh) is no more exact than its three letters.
            short = row.short if (name == code) != (row.short in row.aliases) else ""
            for group in _templates(corpus):
                if "{s}" in group[0] and not short:
                    continue
                yield tuple(part.format(L=name, s=short, split=split) for part in group)

    def others(self, corpus: str) -> list[str]:
        """Codes in the names of test sets of ``corpus`` that no language of the table has (or stands in for), sorted."""
        read: set[str] = set()
        for row in languages().values():
            read |= {row.code, row.short, *row.aliases} if self.aliases else {row.code, row.short} - {*row.aliases}
        found = set()
        for template in (group[0] for group in _templates(corpus)):
            pattern = _pattern(template)
            star = template.format(L="*", s="*", split="test")
            for path in (*self.root.glob(star), *self.root.glob(f"{star}.xz")):
                match = pattern.fullmatch(path.relative_to(self.root).as_posix())
                if match is not None:
                    found.add(match["code"])
        return sorted(found - read)


def _pattern(template: str) -> re.Pattern[str]:
    """What finds the code in a test set's name; the same code may come twice in it."""
    text = re.escape(template.format(L="\0", s="\0", split="test")).replace(re.escape("\0"), "\0")
    once = text.replace("\0", "(?P<code>[a-z]{2,3}(?:-[a-z]{2,8})*)", 1).replace("\0", "(?P=code)")
    return re.compile(once + r"(?:\.xz)?")


def _templates(corpus: str) -> list[tuple[str, ...]]:
    """The file names of a corpus; one that a user's task invents may hold pairs, tagged sentences or text."""
    if corpus == "tatoeba":
        return list(PAIRS)
    if corpus == "bible":
        return [(name,) for name in VERSES]
    if corpus == "text":
        return [(name,) for name in TEXT]
    if corpus in TAGGED:
        return [(name,) for name in TAGGED[corpus]]
    folder = corpus + "/"
    return [(folder + "{L}-eng.{L}", folder + "{L}-eng.eng"), (folder + "{L}/{split}.tsv",), (folder + "{L}.txt",)]
