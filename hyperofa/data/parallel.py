"""Parallel text on disk, read and written: one file per language, line-aligned or ``id<TAB>text``."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hyperofa.base.wordkeys import is_language, language_for
from hyperofa.errors import DataMissingError, HyperofaError, InputError
from hyperofa_eval.base.files import write_text
from hyperofa_eval.languages import PIVOT
from hyperofa_eval.text.paired import overlaps, read_aligned, read_verses

log = logging.getLogger(__name__)

ENGLISH = PIVOT
ENGLISH_NAMES = (ENGLISH, "eng_Latn")
"""What the English side of parallel text may be called; the first is written."""
_NAME = re.compile(r"(?P<language>[^.]+)(?:\.[^.]+)?\.(?P<kind>txt|tsv)(?:\.xz|\.gz)?")
_ALMOST = re.compile(r".*\.(?:txt|tsv)(?:\..+)?", re.IGNORECASE)


@dataclass(frozen=True)
class ParallelText:
    """``texts[language][sentence]`` is a text; equal sentence numbers are translations of one another.

    ``n_sentences`` counts the numbers, over all corpora that were read together.
    """

    texts: dict[str, dict[int, str]]
    n_sentences: int

    def translated(self, language: str) -> int:
        """Sentences of a language that another language has too."""
        other_rows = [rows.keys() for name, rows in self.texts.items() if name != language]
        return sum(any(number in rows for rows in other_rows) for number in self.texts[language])

    def aligned(self) -> AlignedText:
        """All numbers as rows beside English; where a row has both of :data:`ENGLISH_NAMES`, the first is taken.

        Runs of white space become one space. A row without English has an empty English side.
        """
        rows = range(self.n_sentences)
        columns = {
            language: [" ".join(lines.get(row, "").split()) for row in rows] for language, lines in self.texts.items()
        }
        english = [columns.pop(name, [""] * self.n_sentences) for name in ENGLISH_NAMES]
        return AlignedText([next(filter(None, sides), "") for sides in zip(*english, strict=True)], columns)


@dataclass(frozen=True)
class AlignedText:
    """``english[i]`` and ``translations[language][i]`` say the same; an empty string means there is no translation."""

    english: list[str]
    translations: dict[str, list[str]]

    def write(self, folder: Path) -> None:
        """Write ``eng.txt`` and one ``LANG.txt`` a language."""
        for language, lines in {ENGLISH: self.english, **self.translations}.items():
            write_lines(folder / f"{language}.txt", lines)


def write_lines(path: Path, lines: Sequence[str]) -> None:
    """Write one line each (no line may hold a line break; ``str.splitlines`` characters were folded by the readers)."""
    write_text(path, "".join(f"{line}\n" for line in lines))


def read_parallel(paths: Sequence[Path], languages: Sequence[str] | None = None) -> ParallelText:
    """Read folders and files of parallel text, and log how many ids of each file meet those of English.

    A file is named ``LANG.txt``, ``LANG.tsv`` or ``LANG.part.tsv``, perhaps with ``.gz`` or ``.xz``; other names in a
    folder are passed over. Files of one folder belong together: ``.txt`` line by line (an empty line: no translation),
    ``.tsv`` by their id, whose case and surrounding space do not matter.

    Args:
        paths: Folders, or single files where a folder holds more than should be read.
        languages: Read these only. A code with a script (``aze_Latn``) that has no file means that of the bare code.

    Raises:
        DataMissingError: a path is not there, or holds no parallel text, or none in one of ``languages``.
        InputError: line counts differ, ids of one file are in no other, two files of one corpus are in the same
            language, a line has no tab, or a file is not UTF-8.
    """
    texts: dict[str, dict[int, str]] = {}
    count = 0
    for files in _corpora(paths, languages, log.warning):
        if len(files) < 2:
            raise InputError("parallel text needs two languages or more", where=next(iter(files.values())))
        kind = _kind(next(iter(files.values())))
        numbers: dict[str, int] = {}
        for language, row in (_joined(files) if kind == "tsv" else _aligned(files)).items():
            mine = texts.setdefault(language, {})
            for key, text in row.items():
                number = numbers.setdefault(key, count + len(numbers))
                if text:
                    mine[number] = text
        count += len(numbers)
    return ParallelText(texts, count)


def parallel_files(paths: Sequence[Path], languages: Sequence[str] | None = None) -> list[Path]:
    """The files that :func:`read_parallel` would read."""
    return [file for corpus in _corpora(paths, languages) for file in corpus.values()]


def languages_in(folder: Path) -> set[str]:
    """The languages of a folder's parallel text, by its files' names; none where the folder is not there."""
    try:
        return _languages(folder)
    except HyperofaError:
        return set()


def check_english(folder: Path) -> None:
    """Refuse a folder that is not there or holds no parallel text with English, before any of it is read.

    Raises:
        DataMissingError: it is that.
        InputError: two files of it are in the same language.
    """
    if not folder.is_dir():
        raise DataMissingError("no such directory", where=folder)
    try:
        names = _languages(folder)
    except DataMissingError:
        names = set()
    if names.isdisjoint(ENGLISH_NAMES) or len(names) < 2:
        todo = "it needs eng.txt and one LANG.txt a language, line by line the same messages (or .tsv with ids)"
        raise DataMissingError("no parallel text here", where=folder, todo=todo)


def _languages(folder: Path) -> set[str]:
    return {file.name.partition(".")[0] for file in parallel_files([folder])}


def _corpora(
    paths: Sequence[Path], languages: Sequence[str] | None, log_line: Callable[..., None] = log.debug
) -> list[dict[str, Path]]:
    """Files by language, one mapping for each (folder, kind); ``log_line`` says what is passed over or stands in."""
    corpora: dict[tuple[Path, str], dict[str, Path]] = {}
    for path in paths:
        if not path.exists():
            raise DataMissingError("no such parallel text", where=path)
        count = 0
        for file in sorted(path.iterdir()) if path.is_dir() else [path]:
            match = _NAME.fullmatch(file.name)
            if match is None or not is_language(match["language"]) or not file.is_file():
                if _ALMOST.fullmatch(file.name):
                    log_line("%s: passed over: it is no file named LANG.txt or LANG.tsv (or .gz, .xz)", file)
                continue
            count += 1
            corpus = corpora.setdefault((file.parent.resolve(), match["kind"]), {})
            if corpus.setdefault(match["language"], file) != file:
                what = f"two files in {match['language']}: {corpus[match['language']].name} and {file.name}"
                todo = "name the files to read instead of their folder"
                raise InputError(what, where=file.parent, todo=todo)
        if not count:
            raise DataMissingError("no LANG.txt or LANG.tsv there (or .gz, .xz)", where=path)
    if languages is None:
        return list(corpora.values())
    selected = _available_languages(
        languages, {language for corpus in corpora.values() for language in corpus}, log_line
    )
    chosen = [
        {language: corpus[language] for language in corpus if language in selected} for corpus in corpora.values()
    ]
    return [corpus for corpus in chosen if corpus]


def _available_languages(languages: Sequence[str], available: set[str], log_line: Callable[..., None]) -> set[str]:
    """The languages to read: each that is asked for, or its bare code where only that is there."""
    available_codes = {language: language_for(language, available) for language in languages}
    if absent := sorted(language for language, own in available_codes.items() if own is None):
        what = f"no parallel text in {', '.join(absent)}"
        raise DataMissingError(what, where="languages", todo=f"there: {', '.join(sorted(available))}")
    for language, own in available_codes.items():
        if own != language:
            log_line("%s: there is no text of that code; reading %s", language, own)
    return {own for own in available_codes.values() if own is not None}


def _kind(path: Path) -> str:
    match = _NAME.fullmatch(path.name)
    assert match is not None
    return match["kind"]


def _aligned(files: Mapping[str, Path]) -> dict[str, dict[str, str]]:
    """The lines of each language by their number."""
    ordered = sorted(files, key=lambda language: language != PIVOT)
    read = dict(zip(ordered, read_aligned([files[language] for language in ordered]), strict=True))
    sides = {language: read[language] for language in files}
    for language, lines in sides.items():
        if lines and not any(lines):
            log.warning("%s: all of its lines are empty", files[language])
    return {language: dict(zip(map(str, range(len(lines))), lines, strict=True)) for language, lines in sides.items()}


def _joined(files: Mapping[str, Path]) -> dict[str, dict[str, str]]:
    """The texts of each language by their id."""
    sides = {language: read_verses(path, gaps=True) for language, path in files.items()}
    for overlap in overlaps(sides):
        log.log(overlap.level, "%s", overlap)
    for side in sides.values():
        if side.without_text:
            log.info("%s: %s lines have no text", side.path, f"{side.without_text:,}")
    return {language: side.texts for language, side in sides.items()}
