"""Line-aligned parallel text: one ``LANG.txt`` a language beside ``eng.txt``, empty where a line has no translation."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hyperofa.data.parallel import parallel_files, read_parallel
from hyperofa.errors import DataMissingError, HyperofaError
from hyperofa_eval.base.files import write_text

ENGLISH = "eng"
ENGLISH_NAMES = (ENGLISH, "eng_Latn")
"""What the English side of parallel text may be called; the first is written."""


@dataclass(frozen=True)
class ParallelText:
    """``english[i]`` and ``translations[language][i]`` say the same; an empty string means there is no translation."""

    english: list[str]
    translations: dict[str, list[str]]


def read_rows(paths: Sequence[Path]) -> ParallelText:
    """Parallel text of all its folders and files as rows; a row without English has an empty English side.

    English is named ``eng`` or ``eng_Latn``; the first is read where a row has both. Lines are stripped, and other runs of
    white space in them become one space.

    Raises:
        DataMissingError: a path is not there, or holds no parallel text.
        InputError: what :func:`hyperofa.data.parallel.read_parallel` refuses.
    """
    read = read_parallel(paths)
    rows = range(read.n_sentences)
    columns = {
        language: [" ".join(lines.get(row, "").split()) for row in rows] for language, lines in read.texts.items()
    }
    english = [columns.pop(name, [""] * read.n_sentences) for name in ENGLISH_NAMES]
    return ParallelText([next(filter(None, sides), "") for sides in zip(*english, strict=True)], columns)


def languages_in(folder: Path) -> set[str]:
    """The languages of a folder's parallel text, by its files' names; none where the folder is not there."""
    try:
        return {file.name.partition(".")[0] for file in parallel_files([folder])}
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
        names = {file.name.partition(".")[0] for file in parallel_files([folder])}
    except DataMissingError:
        names = set()
    if names.isdisjoint(ENGLISH_NAMES) or len(names) < 2:
        raise DataMissingError(
            "no parallel text here",
            where=folder,
            todo="it needs eng.txt and one LANG.txt a language, line by line the same messages (or .tsv with ids)",
        )


def write_parallel(folder: Path, text: ParallelText) -> None:
    """Write ``eng.txt`` and one ``LANG.txt`` a language."""
    for language, lines in {ENGLISH: text.english, **text.translations}.items():
        write_lines(folder / f"{language}.txt", lines)


def write_lines(path: Path, lines: list[str]) -> None:
    """Write one line each (no line may hold a line break; ``str.splitlines`` characters were folded by the readers)."""
    write_text(path, "".join(f"{line}\n" for line in lines))


def near_key(text: str) -> str:
    """A text without case, punctuation, digits and spacing: two texts with one key count as the same."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join("".join(c if unicodedata.category(c)[0] in "LM" else " " for c in folded).split())


def has_letters(text: str) -> bool:
    """Whether a text holds any letter of any script."""
    return any(character.isalpha() for character in text)
