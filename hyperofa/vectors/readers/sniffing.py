"""Which reader a vector file needs, by its first bytes; files that are no word vectors are refused before one tries them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hyperofa.base.files import existing_file
from hyperofa.errors import InputError
from hyperofa.vectors.readers.fasttext import MAGIC, read_fasttext
from hyperofa.vectors.readers.gensim import read_gensim
from hyperofa.vectors.readers.rows import HEADER, NUMBER, Faults, Rows
from hyperofa.vectors.readers.word2vec import read_binary, read_text
from hyperofa_eval.base.names import advice
from hyperofa_eval.settings.fields import SettingError
from hyperofa_eval.text.filekinds import HEAD_BYTES, seems_to_be, what_to_do
from hyperofa_eval.text.textfiles import DAMAGED, PACKED

Reader = Callable[[Path, Faults], Rows]
READERS: dict[str, Reader] = {
    "gensim": read_gensim,
    "fasttext": read_fasttext,
    "binary": read_binary,
    "text": read_text,
}
_PICKLES = frozenset({".wv", ".kv"})
_NO_TEXT = _PICKLES | {".bin"}


def reader_for(path: Path, name: str | None = None) -> tuple[str, Reader]:
    """The name and the reader of a vector file, by its first bytes unless ``name`` says which.

    Raises:
        DataMissingError: the file is not there.
        InputError: ``name`` is unknown, or the file is empty, packed and no text, or plainly something else.
    """
    existing_file(path, "vector file")
    with path.open("rb") as handle:
        head = handle.read(HEAD_BYTES)
    if not head:
        raise InputError("an empty file", where=path)
    if name is None:
        name = _format_of(path, head)
    if name not in READERS:
        raise SettingError("format", f"unknown vector format {name!r}", todo=advice(name, READERS))
    if name == "text":
        head = _unpacked(path, head)
    if not _fits(head, name) and (kind := seems_to_be(head)) is not None:
        raise InputError(f"no word vectors: it seems to be {kind}", where=path, todo=what_to_do(kind))
    return name, READERS[name]


def _format_of(path: Path, head: bytes) -> str:
    first, _, rest = head.partition(b"\n")
    if head[:1] == b"\x80":
        return "gensim"
    if head[:4] == MAGIC:
        return "fasttext"
    if path.suffix in PACKED and path.with_suffix("").suffix in _NO_TEXT:
        raise InputError("only text is read packed", where=path, todo="unpack it first")
    if HEADER.fullmatch(first):
        return "binary" if path.suffix == ".bin" or b"\0" in rest else "text"
    return "gensim" if path.suffix in _PICKLES else "binary" if path.suffix == ".bin" else "text"


def _fits(head: bytes, reader: str) -> bool:
    """Whether the first bytes are the format's own, whatever else they look like."""
    first, end, _ = head.partition(b"\n")
    if reader == "binary":
        return HEADER.fullmatch(first) is not None
    if reader == "gensim":  # the oldest pickles have no mark
        return head[:1] == b"\x80" or seems_to_be(head) == "binary data"
    if reader == "fasttext":
        return "fastText" in (seems_to_be(head) or "")
    if b"\0" in first:
        return False
    fields = first.split() if end else first.split()[:-1]  # the last number may be cut off
    return len(fields) > 1 and all(
        NUMBER.fullmatch(field) for field in (fields[-2:] if len(fields) > 2 else fields[1:])
    )


def _unpacked(path: Path, head: bytes) -> bytes:
    """The first bytes of what a packed file holds; those of the file where it is not packed, or damaged."""
    if path.suffix not in PACKED:
        return head
    try:
        with PACKED[path.suffix](path, "rb") as handle:
            inside: bytes = handle.read(HEAD_BYTES)
    except DAMAGED:
        return b""  # the reader says what is wrong, and where
    return inside
