"""Documents out of files: plain text, JSONL, Parquet, Arrow, and data sets of the hub that the user names."""

from __future__ import annotations

import itertools
import json
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from hyperofa.base.textfiles import JSON, TABLES
from hyperofa.errors import DataMissingError, InputError
from hyperofa_eval.base.errors import first_line
from hyperofa_eval.text.filekinds import HEAD_BYTES, seems_to_be
from hyperofa_eval.text.textfiles import plain_name, read_lines

log = logging.getLogger(__name__)

HUB = "hub:"
_SHOWN = 40
"""Characters of a field's name that a message shows."""


def documents(source: str, field: str = "text", *, paragraphs: bool = False) -> Iterator[str]:
    """The documents of a file, one per line or row; empty ones are yielded too, so that they can be counted.

    Args:
        source: a path, whose ending decides: ``.jsonl`` (``.ndjson``, ``.json``: one object a line), ``.parquet``, ``.arrow``,
            else plain text with a document a line; ``.gz`` and ``.xz`` may follow the first and the last. Or
            ``hub:NAME[:REVISION][@CONFIG][#SPLIT]``, a data set to fetch (newest revision, split ``train`` unless named).
        field: which field or column of a row is the text.
        paragraphs: a document of plain text is all lines up to an empty one, joined by line feeds.

    Raises:
        DataMissingError: there is no such file or data set.
        InputError: a line is not UTF-8 or JSON, a row has no such field, or it twice, or it is no text; the line is named.
    """
    check_source(source)
    if source.startswith(HUB):
        yield from _hub(source.removeprefix(HUB), field)
        return
    path = Path(source)
    kind = Path(plain_name(path)).suffix.lower()
    if kind in TABLES:
        yield from _table(path, kind[1:], field)
    elif kind in JSON:
        yield from _json_lines(path, field)
    else:
        yield from _paragraphs(_plain(path)) if paragraphs else _plain(path)


def _plain(path: Path) -> Iterator[str]:
    for number, line in _lines(path):
        if number == 1 and seems_to_be(line[:HEAD_BYTES].encode()) == "JSON":
            what = "%s: read as plain text, though its first line is JSON (.jsonl would be read as such)"
            log.warning(what, path)
        yield line


def _paragraphs(lines: Iterator[str]) -> Iterator[str]:
    """Neighbouring lines that are not empty, as one text each."""
    for empty, group in itertools.groupby(lines, key=lambda line: not line):
        if not empty:
            yield "\n".join(group)


def check_source(source: str) -> None:
    """Raise, before anything is read, what :func:`documents` would raise of a file that is not there or a nameless data set."""
    if source.startswith(HUB):
        if not _parts_of_hub_name(source.removeprefix(HUB))[0]:
            raise InputError("no data set is named", where=source, todo=f"write {HUB}NAME[:REVISION][@CONFIG][#SPLIT]")
    elif not Path(source).is_file():
        raise DataMissingError("no such text file", where=source)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    return enumerate((line.strip() for line in read_lines(path)), start=1)


def _json_lines(path: Path, field: str) -> Iterator[str]:
    for number, line in _lines(path):
        if not line:
            yield ""
            continue
        where, names = f"{path}, line {number}", list[str]()
        try:
            row = json.loads(line, object_pairs_hook=partial(_noting, names))
        except (ValueError, RecursionError) as error:  # ValueError: also a number of thousands of digits
            reason = getattr(error, "msg", first_line(error))
            hint = {"[": ", such as with jq -c '.[]'", "{": ", such as with jq -c ."}.get(line, "")
            todo = f"write one object a line{hint}"
            raise InputError(f"not a JSON object ({reason})", where=where, todo=todo) from None
        text = _text_of(row, field, where)
        if names.count(field) > 1:
            raise InputError(f"the field {field!r} comes {names.count(field)} times", where=where, todo="keep one")
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:  # "\ud800" is JSON, but no text
            raise InputError("half a surrogate pair, which is no character", where=where) from None
        yield text


def _noting(names: list[str], pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON; ``names`` are then those of its fields, the repeated ones too. The outermost is the last one made."""
    names[:] = [name for name, _ in pairs]
    return dict(pairs)


def _table(path: Path, kind: str, field: str) -> Iterator[str]:
    from datasets import load_dataset

    try:
        with _silent_datasets():  # what it would say is in the error
            rows = load_dataset(kind, data_files=str(path), split="train", streaming=True)
            for number, row in enumerate(rows, start=1):
                yield _text_of(row, field, f"{path}, row {number}")
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"not a readable {kind} file ({first_line(error)})", where=path) from error


@contextmanager
def _silent_datasets() -> Iterator[None]:
    """Let the library log nothing but what is critical, until the block ends."""
    from datasets import logging as datasets_logging

    before = datasets_logging.get_verbosity()
    datasets_logging.set_verbosity(datasets_logging.CRITICAL)
    try:
        yield
    finally:
        datasets_logging.set_verbosity(before)


def _hub(name: str, field: str) -> Iterator[str]:
    from datasets import load_dataset

    name, revision, config, split = _parts_of_hub_name(name)
    where, number = f"{HUB}{name}", 0
    try:
        rows = iter(
            load_dataset(name, config or None, split=split or "train", revision=revision or None, streaming=True)
        )
    except Exception as error:
        raise DataMissingError(f"cannot open the data set ({first_line(error)})", where=where) from error
    try:
        for number, row in enumerate(rows, start=1):
            yield _text_of(row, field, f"{where}, row {number}")
    except InputError:
        raise
    except Exception as error:  # the connection, or a file of the data set
        what = f"reading the data set failed after row {number} ({first_line(error)})"
        raise DataMissingError(what, where=where, todo="start the same command again") from error


def _parts_of_hub_name(name: str) -> tuple[str, str, str, str]:
    """Name, revision, config and split out of ``NAME[:REVISION][@CONFIG][#SPLIT]``; what is not given is empty."""
    name, _, split = name.partition("#")
    name, _, config = name.partition("@")
    name, _, revision = name.partition(":")
    return name, revision, config, split


def _text_of(row: Any, field: str, where: str) -> str:
    """The text of a row, stripped."""
    if not isinstance(row, dict):
        todo = f'each line must be an object such as {{"{field}": "..."}}'
        raise InputError(f"{_kind_of(row)}, not an object with fields", where=where, todo=todo)
    if field not in row:
        fields = _listed(row) or "no field at all"
        raise InputError(f"no text field {field!r} (found: {fields})", where=where, todo="name it with --field")
    text = row[field]
    if not isinstance(text, str):
        raise InputError(f"the field {field!r} is {_kind_of(text)}, not text", where=where, todo=_advice(row, text))
    return text.strip()


def _kind_of(value: Any) -> str:
    """What a JSON value is, in words."""
    if value is None or isinstance(value, str):
        return "null" if value is None else "a string"
    if isinstance(value, bool):
        return f"the truth value {str(value).lower()}"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, dict):
        return f"an object of {len(value)} fields"
    return f"a list of {len(value)}" if isinstance(value, list) else f"of the kind {type(value).__name__}"


def _listed(names: Iterable[str]) -> str:
    """Some names for a message, not all where they are many, nor the whole of a long one."""
    listed = [name[:_SHOWN] for name in names]
    return ", ".join([*listed[:10], *(["…"] if len(listed) > 10 else [])])


def _advice(row: dict[str, Any], value: Any) -> str:
    """What to do about a field that is no text."""
    if value is None:
        return "remove the line, or give it an empty text, which is counted and left out"
    texts = [repr(name[:_SHOWN]) for name, other in row.items() if isinstance(other, str)]
    if texts:
        return f"name a field that is text with --field ({_listed(texts)})"
    return "write the text into a field of its own"
