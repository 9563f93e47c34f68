"""Where a data folder keeps each task's files, and what it holds; every layout that is read is listed here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hyperofa_eval.errors import DataMissingError, InputError
from hyperofa_eval.files import find, read_lines, sha256_file
from hyperofa_eval.languages import PIVOT, language
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

    def first(self, n: int | None) -> Pairs:
        """The first ``n`` pairs (all where ``n`` is None)."""
        return Pairs(self.english[:n], self.other[:n], self.ids[:n], self.files)


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
        return Pairs([english[i] for i in ids], [other[i] for i in ids], ids, files)

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
            for group in _templates(corpus):
                if "{s}" in group[0] and not row.short:
                    continue
                yield tuple(part.format(L=name, s=row.short, split=split) for part in group)


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
