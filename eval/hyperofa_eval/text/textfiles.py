"""Lines of text files, plain or packed; a file that is no UTF-8 text is refused, with what it seems to be."""

from __future__ import annotations

import gzip
import io
import logging
import lzma
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from hyperofa_eval.base.errors import DataMissingError, InputError
from hyperofa_eval.text.filekinds import HEAD_BYTES, LONE_RETURN, RETURNS, is_utf8, no_text, what_to_do

JSON = (".jsonl", ".ndjson", ".json")
"""Endings of files with a JSON object a line."""
TABLES = (".parquet", ".arrow")
"""Endings of files with a column of texts."""

log = logging.getLogger(__name__)

PACKED: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".xz": lzma.open}
"""Endings of packed files, and what opens them."""
DAMAGED = (gzip.BadGzipFile, zlib.error, lzma.LZMAError, EOFError)
"""What reading a damaged packed file raises."""


def find_file(path: Path) -> Path | None:
    """``path`` or the packed ``path.gz`` or ``path.xz``, the first that is a file."""
    named = (path.with_name(path.name + ending) for ending in ("", *PACKED))
    return next((each for each in named if each.is_file()), None)


def plain_name(path: Path) -> str:
    """A file's name without the ending of a packed file."""
    return path.stem if path.suffix in PACKED else path.name


def read_lines(path: Path) -> Iterator[str]:
    r"""The lines of a UTF-8 text file, plain, ``.gz`` or ``.xz``, one by one; only ``\n`` and ``\r\n`` end a line.

    A byte-order mark at a line's start is taken away. A single carriage return inside a line stays, with a warning.

    Raises:
        DataMissingError: there is no such file.
        InputError: it cannot be read, is no UTF-8 text, a damaged packed file, or has lines that end in carriage
            returns alone; the line is named, and what the file seems to be.
    """
    number, warned = 0, False
    try:
        with _opened(path) as handle:
            what = no_text(handle.read(HEAD_BYTES))
            if what is not None:
                raise InputError(f"not UTF-8 text: it seems to be {what}", where=path, todo=what_to_do(what))
            handle.seek(0)
            for number, raw in enumerate(handle, start=1):
                if b"\r" in raw:
                    warned = _check_returns(raw, path, number, warned=warned)
                yield _decoded(raw, path, number)
    except (FileNotFoundError, NotADirectoryError):
        raise DataMissingError("no such file", where=path) from None
    except DAMAGED as error:
        raise damaged(path, error, number + 1) from None
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror or error})", where=path) from None


def _opened(path: Path) -> IO[bytes]:
    """A file's bytes, unpacked; in a buffer of C, since the readers of packed files look for line ends in Python."""
    unpack = PACKED.get(path.suffix)
    if unpack is None:
        return path.open("rb")
    if not path.stat().st_size:
        raise EOFError("it is empty")
    return io.BufferedReader(unpack(path, "rb"), 1 << 18)


def damaged(path: Path, error: Exception, number: int) -> InputError:
    """The error for a packed file that cannot be read: it is damaged in line ``number``, or something else by its name."""
    with path.open("rb") as handle:
        head = handle.read(HEAD_BYTES)
    what = no_text(head) or ("plain text" if head and is_utf8(head) else None)
    if what is None or path.suffix in what:
        return InputError(f"a damaged {path.suffix} file ({error})", where=f"{path}, line {number}")
    todo = f"name it without {path.suffix}" if what == "plain text" else what_to_do(what)
    return InputError(f"not a {path.suffix} file: it seems to be {what}", where=path, todo=todo)


def _decoded(raw: bytes, path: Path, number: int) -> str:
    """A line without its end and byte-order mark."""
    if b"\0" in raw:
        what, todo = "not UTF-8 text: it holds NUL bytes", "is a part of it UTF-16 or binary?"
        raise InputError(what, where=f"{path}, line {number}", todo=todo)
    try:
        return raw.decode("utf-8").rstrip("\r\n").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        what, todo = _coding(raw, error)
        raise InputError(f"not UTF-8 text: {what}", where=f"{path}, line {number}", todo=todo) from None


def _coding(raw: bytes, error: UnicodeDecodeError) -> tuple[str, str]:
    """What bytes that are not UTF-8 seem to be, and what to do."""
    byte = f"byte 0x{raw[error.start]:02X}"
    good = sum(ord(character) > 127 for character in raw.decode("utf-8", errors="ignore"))
    bad = raw.decode("utf-8", errors="replace").count("\ufffd")  # in an old encoding, some pairs of bytes are UTF-8 too
    if error.reason == "unexpected end of data":
        return f"it ends in the middle of a character ({byte})", "is the file cut off, or in another encoding?"
    if good and 2 * good >= bad:
        return f"{byte} between characters that are", "the file is damaged or mixed; convert that line"
    what = f"{byte} seems to be of Latin-1, Windows-1252 or another old encoding"
    return what, "convert the file, such as with iconv -f WINDOWS-1252 -t UTF-8"


def _check_returns(raw: bytes, path: Path, number: int, *, warned: bool) -> bool:
    """Refuse a line with several carriage returns inside, and say where the first one is alone; whether that was said."""
    inside, where = len(LONE_RETURN.findall(raw)), f"{path}, line {number}"
    if inside > 1:
        what = f"{inside} carriage returns inside the line"
        raise InputError(what, where=where, todo=f"if they end lines, {what_to_do(RETURNS)}")
    if inside and not warned:
        log.warning("%s: a carriage return inside the line does not end it", where)
    return warned or bool(inside)
