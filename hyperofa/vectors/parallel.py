"""Parallel text on disk: one file per language, line-aligned or ``id<TAB>text``, as sentences that share a number."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hyperofa.errors import DataMissingError, InputError
from hyperofa.textfiles import read_lines
from hyperofa.wordkeys import is_language

_NAME = re.compile(r"(?P<language>[^.]+)(?:\.[^.]+)?\.(?P<kind>txt|tsv)(?:\.xz)?")


@dataclass(frozen=True)
class ParallelText:
    """``texts[language][sentence]`` is a text; equal sentence numbers are translations of one another.

    ``n_sentences`` counts the numbers, over all corpora that were read together.
    """

    texts: dict[str, dict[int, str]]
    n_sentences: int


def read_parallel(paths: Sequence[Path], languages: Sequence[str] | None = None) -> ParallelText:
    """Read folders and files of parallel text.

    A file is named ``LANG.txt``, ``LANG.tsv`` or ``LANG.part.tsv``, perhaps with ``.xz``; other names in a folder are
    passed over. Files of one folder belong together: ``.txt`` line by line (an empty line: no translation), ``.tsv``
    by their id.

    Args:
        paths: Folders, or single files where a folder holds more than should be read.
        languages: Read these only.

    Raises:
        DataMissingError: a path is not there, or holds no parallel text, or none in one of ``languages``.
        InputError: line counts differ, two files of one corpus are in the same language, a line has no tab, or a file
            is not UTF-8.
    """
    texts: dict[str, dict[int, str]] = {}
    count = 0
    for files in _corpora(paths, languages):
        if len(files) < 2:
            raise InputError("parallel text needs two languages or more", where=next(iter(files.values())))
        kind = _kind(next(iter(files.values())))
        rows = {language: _tsv(path) if kind == "tsv" else _lines(path) for language, path in files.items()}
        if kind == "txt":
            _check_aligned(files, {language: len(row) for language, row in rows.items()})
        numbers: dict[str, int] = {}
        for language, row in rows.items():
            mine = texts.setdefault(language, {})
            for key, text in row.items():
                number = numbers.setdefault(key, count + len(numbers))
                if text.strip():
                    mine[number] = text
        count += len(numbers)
    return ParallelText(texts, count)


def parallel_files(paths: Sequence[Path], languages: Sequence[str] | None = None) -> list[Path]:
    """The files that :func:`read_parallel` would read."""
    return [file for corpus in _corpora(paths, languages) for file in corpus.values()]


def _corpora(paths: Sequence[Path], languages: Sequence[str] | None) -> list[dict[str, Path]]:
    """Files by language, one mapping for each (folder, kind)."""
    corpora: dict[tuple[Path, str], dict[str, Path]] = {}
    for path in paths:
        if not path.exists():
            raise DataMissingError("no such parallel text", where=path)
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        found = 0
        for file in files:
            match = _NAME.fullmatch(file.name)
            if match is None or not is_language(match["language"]) or not file.is_file():
                continue
            found += 1
            if languages is not None and match["language"] not in languages:
                continue
            corpus = corpora.setdefault((file.parent.resolve(), match["kind"]), {})
            if corpus.setdefault(match["language"], file) != file:
                other = corpus[match["language"]].name
                raise InputError(
                    f"two files in {match['language']}: {other} and {file.name}",
                    where=file.parent,
                    todo="name the files to read instead of their folder",
                )
        if not found:
            raise DataMissingError("no LANG.txt or LANG.tsv there (or .xz)", where=path)
    if absent := set(languages or ()).difference(*corpora.values()):
        raise DataMissingError(f"no parallel text in {', '.join(sorted(absent))}", where="--languages")
    return list(corpora.values())


def _kind(path: Path) -> str:
    match = _NAME.fullmatch(path.name)
    assert match is not None
    return match["kind"]


def _lines(path: Path) -> dict[str, str]:
    return {str(number): text for number, text in enumerate(read_lines(path))}


def _tsv(path: Path) -> dict[str, str]:
    rows: dict[str, str] = {}
    for number, line in enumerate(read_lines(path), start=1):
        key, tab, text = line.partition("\t")
        if not tab:
            if not line.strip():
                continue
            raise InputError("no tab; expected id<TAB>text", where=f"{path}, line {number}")
        if key in rows:
            raise InputError(f"the id {key!r} a second time", where=f"{path}, line {number}")
        rows[key] = text
    return rows


def _check_aligned(files: dict[str, Path], counts: dict[str, int]) -> None:
    sizes = sorted(set(counts.values()))
    if len(sizes) > 1:
        odd = next(language for language, n in counts.items() if n == sizes[0])
        even = next(language for language, n in counts.items() if n == sizes[-1])
        raise InputError(
            f"{counts[odd]} lines but {files[even].name} has {counts[even]}",
            where=files[odd],
            todo="align them line by line (an empty line where there is no translation), or use id<TAB>text",
        )
