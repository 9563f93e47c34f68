"""Line-aligned parallel text: one ``LANG.txt`` a language beside ``eng.txt``, empty where a line has no translation."""

from __future__ import annotations

import lzma
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from hyperofa.errors import DataMissingError, InputError
from hyperofa.files import write_text

ENGLISH = "eng"


@dataclass(frozen=True)
class ParallelText:
    """``english[i]`` and ``translations[language][i]`` say the same; an empty string means there is no translation."""

    english: list[str]
    translations: dict[str, list[str]]


def read_parallel(folder: Path) -> ParallelText:
    """Read every ``LANG.txt`` (or ``LANG.txt.xz``) of a folder.

    Raises:
        DataMissingError: the folder, its ``eng.txt``, or any other language is missing.
        InputError: a file is not UTF-8, or has another number of lines than ``eng.txt``.
    """
    if not folder.is_dir():
        raise DataMissingError("no such directory", where=folder)
    files = {file.name.split(".")[0]: file for file in sorted([*folder.glob("*.txt.xz"), *folder.glob("*.txt")])}
    if ENGLISH not in files or len(files) < 2:
        raise DataMissingError(
            "no parallel text here",
            where=folder,
            todo="it needs eng.txt and one LANG.txt a language, line by line the same messages (.xz is read too)",
        )
    lines = {language: _lines(file) for language, file in files.items()}
    english = lines.pop(ENGLISH)
    for language, own in lines.items():
        if len(own) != len(english):
            raise InputError(
                f"{len(own)} lines, but {files[ENGLISH].name} has {len(english)}",
                where=files[language],
                todo="line up the files, with an empty line where there is no translation",
            )
    return ParallelText(english, lines)


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


def _lines(file: Path) -> list[str]:
    try:
        raw = lzma.decompress(file.read_bytes()) if file.suffix == ".xz" else file.read_bytes()
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"not UTF-8 (byte {error.start})", where=file) from None
    except lzma.LZMAError:
        raise InputError("not a valid .xz file", where=file) from None
    lines = text.split("\n")
    if lines and not lines[-1]:
        lines.pop()
    return [" ".join(line.split()) for line in lines]
