"""Text files, plain, ``.gz`` or ``.xz``: their lines, and ``LANG=FILE`` words of the command line."""

from __future__ import annotations

import gzip
import lzma
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from hyperofa.errors import DataMissingError, InputError
from hyperofa.wordkeys import is_language

OPENERS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".xz": lzma.open}
"""Endings of packed files, and what opens them."""
DAMAGED = (gzip.BadGzipFile, zlib.error, lzma.LZMAError, EOFError)
"""What reading a damaged one raises."""


def read_lines(path: Path) -> Iterator[str]:
    """The lines of a text file, plain or packed, without their ends; bad UTF-8 is named with its line."""
    number = 0
    try:
        with OPENERS.get(path.suffix, open)(path, "rb") as handle:
            for number, raw in enumerate(handle, start=1):
                text = raw.decode("utf-8").rstrip("\r\n")
                yield text.removeprefix("\ufeff") if number == 1 else text
    except FileNotFoundError:
        raise DataMissingError("no such file", where=path) from None
    except UnicodeDecodeError:
        raise InputError("not UTF-8", where=f"{path}, line {number}", todo="convert the file") from None
    except DAMAGED as error:
        raise InputError(f"a damaged {path.suffix} file ({error})", where=f"{path}, line {number + 1}") from None


def language_files(words: Sequence[str], where: str = "--text") -> dict[str, list[Path]]:
    """``LANG=FILE`` words as files by language; a bare FILE takes the language from its name (``ces.txt.xz`` is ``ces``).

    Raises:
        InputError: no language code is there.
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
        files.setdefault(language, []).append(path)
    return files
