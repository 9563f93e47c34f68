"""Text files of the command line: ``LANG=FILE`` words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hyperofa.base.wordkeys import is_language
from hyperofa.errors import DataMissingError, InputError
from hyperofa_eval.text.textfiles import plain_name

JSON = (".jsonl", ".ndjson", ".json")
"""Endings of files with a JSON object a line."""
TABLES = (".parquet", ".arrow")
"""Endings of files with a column of texts."""


def language_files(words: Sequence[str], where: str = "--text", *, plain: bool = True) -> dict[str, list[Path]]:
    """``LANG=FILE`` words as files by language; a bare FILE takes the language from its name (``ces.txt.xz`` is ``ces``).

    Args:
        words: As they are typed.
        where: The option, for errors.
        plain: Whether the files are read as plain text, so that one with objects or columns by its name is refused.

    Raises:
        InputError: no language code is there, or the file is no plain text by its name.
        DataMissingError: a file is not there.
    """
    files: dict[str, list[Path]] = {}
    for word in words:
        language, equals, name = word.partition("=")
        path = Path(name if equals else word)
        language = language if equals else path.name.partition(".")[0]
        if not is_language(language):
            raise InputError(f"no language code in {word!r}", where=where, todo="write LANG=FILE, such as eng=news.txt")
        if not path.is_file():
            raise DataMissingError("no such file", where=path)
        if plain and plain_name(path).lower().endswith((*JSON, *TABLES)):
            todo = "write its texts as lines, such as with jq -r .text"
            raise InputError("only plain text is read here", where=path, todo=todo)
        files.setdefault(language, []).append(path)
    return files
