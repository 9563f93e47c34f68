"""Where a data folder keeps each task's files, and what it holds; every layout that is read is listed here."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from hyperofa_eval.base.errors import DataMissingError, InputError
from hyperofa_eval.base.files import sha256_file
from hyperofa_eval.base.names import advice
from hyperofa_eval.data.readers import Sentence, read_pairs, read_tagged
from hyperofa_eval.languages import PIVOT, PIVOTS, bare, is_known, language, languages
from hyperofa_eval.text.paired import Overlap, overlaps, read_verses
from hyperofa_eval.text.prefixes import Note
from hyperofa_eval.text.textfiles import PACKED, find_file, plain_name, read_lines

# {L} is the language's code, {s} its two-letter code, {split} train, dev or test; any file may be packed (.gz, .xz).
PAIRS = ("tatoeba/{L}-eng.", "tatoeba/tatoeba.{L}-eng.", "{L}-eng.", "tatoeba.{L}-eng.")
"""The beginnings of a pair's two names, which end in {L} and in eng."""
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
    overlap: Overlap | None = None
    """How many verse ids meet."""

    def first(self, n: int | None) -> Pairs:
        """The first ``n`` pairs, all where that is None."""
        return replace(self, english=self.english[:n], other=self.other[:n], ids=self.ids[:n])


@dataclass(frozen=True)
class DataFolder:
    """A folder of test sets (docs/evaluation-data.md names the layouts). Nothing is ever fetched.

    Raises:
        DataMissingError: on construction, if the folder is not there.
    """

    root: Path
    aliases: bool = False
    """Let a macro-language's data (``zho``) stand for the language (``cmn``) where its own is missing."""
    notes: dict[str, list[Note]] = field(default_factory=dict, repr=False, compare=False)
    """What the readers changed or left out, by the name of each file that was read."""
    _hashes: dict[Path, str] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.root.is_dir():
            raise DataMissingError("no such data folder", where=self.root)

    def has(self, corpus: str, code: str, split: str = "test") -> bool:
        """Whether the folder holds ``corpus`` (tatoeba, bible, ner, pos, text) for a language."""
        return self._locate(corpus, code, split) is not None

    def source(self, corpus: str, code: str, split: str = "test") -> str | None:
        """The code whose data answers for ``code``: itself where there is such data, else its bare code or an alias."""
        located = self._locate(corpus, code, split)
        return None if located is None else located[0]

    def files(self, corpus: str, code: str, split: str = "test") -> tuple[Path, ...]:
        """The files that hold ``corpus`` for a language; none where there is no such data."""
        located = self._locate(corpus, code, split)
        return () if located is None else located[1]

    def need(self, corpus: str, code: str, split: str = "test") -> tuple[Path, ...]:
        """What :meth:`files` gives; raises :class:`DataMissingError`, with the names looked for, where it gives nothing."""
        located = self._locate(corpus, code, split)
        if located is None:
            todo = f"looked for {self.names(corpus, code, split)}"
            raise DataMissingError(f"no {corpus} data for {code}", where=self.root, todo=todo)
        return located[1]

    def names(self, corpus: str, code: str, split: str = "test") -> str:
        """The names of files that would hold ``corpus`` for a language, in words."""
        return ", ".join(" + ".join(names) for _, names in self._names(corpus, code, split))

    def pairs(self, corpus: str, code: str) -> Pairs:
        """English and ``code`` sentences of ``tatoeba`` (by line) or ``bible`` (by verse id, in English order)."""
        if corpus == "bible":
            return self._bible(code)
        left, right = self.need(corpus, code)
        other, english = read_pairs(left, right)
        return Pairs(english, other, [str(i) for i in range(1, len(other) + 1)], self.hashes(left, right))

    def tagged(self, corpus: str, code: str, split: str, scheme: str | None) -> tuple[list[Sentence], dict[str, str]]:
        """Tagged sentences of one split, and the hash of their file; what its reader changed is in ``notes``."""
        (path,) = self.need(corpus, code, split)
        notes: list[Note] = []
        sentences = read_tagged(path, scheme, notes)
        self.notes[path.relative_to(self.root).as_posix()] = notes
        return sentences, self.hashes(path)

    def text(self, corpus: str, code: str) -> tuple[list[str], dict[str, str]]:
        """The non-empty lines of a monolingual file, and its hash; how many lines are blank is in ``notes``."""
        (path,) = self.need(corpus, code)
        stripped = [line.strip() for line in read_lines(path)]
        lines = list(filter(None, stripped))
        if not lines:
            raise InputError("the test set is empty", where=path)
        blank = len(stripped) - len(lines)
        notes = [Note(f"{blank} blank lines are left out")] if blank else []
        self.notes[path.relative_to(self.root).as_posix()] = notes
        return lines, self.hashes(path)

    def hashes(self, *paths: Path) -> dict[str, str]:
        """SHA-256 of files by their name below the folder, read once each."""
        for path in paths:
            if path not in self._hashes:
                self._hashes[path] = sha256_file(path)
        return {path.relative_to(self.root).as_posix(): self._hashes[path] for path in paths}

    def still_reads(self, corpus: str, code: str, names: Collection[str]) -> bool:
        """Whether the files ``names``, read before for a language, are not passed over now for others that come first.

        English, with its training and development sets, is looked at too; files that no layout names are let be.
        """
        plain = {Path(name).with_name(plain_name(Path(name))).as_posix() for name in names}
        looked_at: set[str] = set()
        for side, split in ((code, "test"), (PIVOT, "test"), (PIVOT, "train"), (PIVOT, "dev")):
            places = {part for _, group in self._names(corpus, side, split) for part in group} - looked_at
            looked_at |= places
            if places & plain:
                now = {path.relative_to(self.root).as_posix() for path in self.files(corpus, side, split)}
                if not now <= {*names}:
                    return False
        return True

    def _bible(self, code: str) -> Pairs:
        sides = {side: read_verses(*self.need("bible", side)) for side in (code, PIVOT)}
        overlap = next(iter(overlaps(sides)), None)
        other, english = sides[code].texts, sides[PIVOT].texts
        ids = [name for name in english if name in other]
        files = self.hashes(sides[PIVOT].path, sides[code].path)
        lone = len(english) - len(ids), len(other) - len(ids)
        return Pairs([english[i] for i in ids], [other[i] for i in ids], ids, files, *lone, overlap)

    def _locate(self, corpus: str, code: str, split: str) -> tuple[str, tuple[Path, ...]] | None:
        for source, names in self._names(corpus, code, split):
            paths = [find_file(self.root / name) for name in names]
            if all(path is not None for path in paths):
                return source, tuple(path for path in paths if path is not None)
        return None

    def _names(self, corpus: str, code: str, split: str) -> Iterator[tuple[str, tuple[str, ...]]]:
        for source, shorts in self._sources(code):
            for group in _templates(corpus):
                for short in shorts if "{s}" in group[0] else ("",):
                    yield source, tuple(part.format(L=source, s=short, split=split) for part in group)

    def _sources(self, code: str) -> Iterator[tuple[str, tuple[str, ...]]]:
        """The codes whose data may answer for ``code``, the most exact first, each with its two-letter spellings."""
        row, stem = language(code), bare(code)
        marks = dict.fromkeys((code.removeprefix(stem), ""))  # _Latn, then none
        if code in PIVOTS:  # a folder may call English either way
            marks = dict.fromkeys((*marks, *(name.removeprefix(PIVOT) for name in PIVOTS)))
        # A two-letter code that is a macro-language's (zh) is no more exact than its three letters.
        macro = row.short in row.aliases
        names = [(stem, "" if macro else row.short)]
        names += [(alias, row.short if macro else "") for alias in row.aliases if self.aliases]
        for name, short in names:
            for mark in marks:
                source = name + mark
                yield source, (short + mark, source) if short and short != name else (source,)

    def others(self, corpus: str) -> list[str]:
        """Codes in the names of test sets of ``corpus`` that no language of the table has (or stands in for), sorted."""
        read: set[str] = set()
        for row in languages().values():
            read |= {row.code, row.short, *row.aliases} if self.aliases else {row.code, row.short} - {*row.aliases}
        codes = set()
        for template in (group[0] for group in _templates(corpus)):
            pattern = _pattern(template)
            star = template.format(L="*", s="*", split="test")
            for path in (file for ending in ("", *PACKED) for file in self.root.glob(star + ending)):
                match = pattern.fullmatch(path.with_name(plain_name(path)).relative_to(self.root).as_posix())
                if match is not None:
                    codes.add(match["code"])
        return sorted(codes - read)


def refuse_unknown(codes: Iterable[str], data: DataFolder, corpora: Iterable[str], has: Callable[[str], bool]) -> None:
    """Refuse a code that neither the table nor the data knows, or that they spell in another way (``aze-latn``).

    Files of the ``corpora`` may name further languages; ``has`` says whether there is what is to be read for a code.

    Raises:
        InputError: names the code, and the nearest that is known.
    """
    named = {code for corpus in corpora for code in data.others(corpus)}.union(languages())
    spelled = {_spelling(f"{row.code}_{row.script}"): f"{row.code}_{row.script}" for row in languages().values()}
    spelled |= {_spelling(code): code for code in named}
    for code in codes:
        known_code = spelled.get(_spelling(code), code)
        if code not in {known_code, *named} or not (is_known(code) or has(code)):
            todo = f"{advice(code, {*named, known_code} - {code})}; a code of your own needs files in {data.root}"
            raise InputError(f"unknown language {code!r}", todo=todo)


def _spelling(code: str) -> str:
    return code.replace("-", "_").casefold()


def stand_ins(corpus: str, sources: Mapping[str, str]) -> list[str]:
    """A sentence for each code that another's data answers for, and for codes that share one test set.

    ``sources`` has, by code asked for, the code whose data answers.
    """
    sentences = []
    for source in dict.fromkeys(sources.values()):
        codes = [code for code, used in sources.items() if used == source]
        without_own = [code for code in codes if bare(code) == source != code]
        if len(codes) > 1:
            sentences.append(f"{corpus}: {' and '.join(codes)} are scored on the same data, that of {source}")
        elif without_own:
            sentences.append(f"{corpus}: {without_own[0]} is scored on the data of {source}, it has none of its own")
    return sentences


def _pattern(template: str) -> re.Pattern[str]:
    """What finds the code in a test set's name; the same code may come twice in it."""
    text = re.escape(template.format(L="\0", s="\0", split="test")).replace(re.escape("\0"), "\0")
    once = text.replace("\0", "(?P<code>[a-z]{2,3}(?:[-_][A-Za-z0-9]{2,8})*)", 1).replace("\0", "(?P=code)")
    return re.compile(once)


def _templates(corpus: str) -> list[tuple[str, ...]]:
    """The file names of a corpus; one that a user's task invents may hold pairs, tagged sentences or text."""
    if corpus == "tatoeba":
        return [(name + "{L}", name + PIVOT) for name in PAIRS]
    single = {"bible": VERSES, "text": TEXT, **TAGGED}
    if corpus in single:
        return [(name,) for name in single[corpus]]
    folder = corpus + "/"
    return [(folder + "{L}-eng.{L}", folder + "{L}-eng.eng"), (folder + "{L}/{split}.tsv",), (folder + "{L}.txt",)]
