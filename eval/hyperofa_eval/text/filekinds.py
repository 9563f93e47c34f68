"""What a file seems to be, by its first bytes: for errors about a file that is not what a reader expects."""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from hyperofa_eval.base.errors import DataMissingError

HEAD_BYTES = 4096
"""Bytes from a file's start that are enough for :func:`seems_to_be`."""
RETURNS = "text whose lines end in carriage returns alone"
LONE_RETURN = re.compile(rb"\r+(?=[^\r\n])")
"""Carriage returns that end no line."""

_POINTER = "a git-lfs pointer and not the file itself"
_LFS = b"version https://git-lfs.github.com/spec/"
_STARTS: tuple[tuple[bytes, str], ...] = (
    (b"\x93NUMPY", "a NumPy array (.npy)"),
    (b"\x1f\x8b", "packed with gzip (.gz)"),
    (b"\xfd7zXZ\x00", "packed with xz (.xz)"),
    (b"BZh91AY&SY", "packed with bzip2 (.bz2)"),
    (b"\x28\xb5\x2f\xfd", "packed with zstd (.zst)"),
    (b"\x04\x22\x4d\x18", "packed with lz4 (.lz4)"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"PAR1\x15", "a Parquet file"),
    (b"ARROW1\x00\x00", "an Arrow file"),
    (b"\xff\xff\xff\xff", "an Arrow stream"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (b"%PDF-", "a PDF document"),
    (b"{\\rtf", "an RTF document"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office document (.doc, .xls)"),
    (b"SQLite format 3\x00", "an SQLite database"),
    (b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF89a", "a GIF image"),
    *((b"GGUF%c\x00\x00\x00" % version, "a GGUF model") for version in range(1, 8)),
    (b"\x7fELF", "a program (ELF)"),
    (b"\xba\x16\x4f\x2f", "a fastText model (.bin)"),
    (b"\n\x0e\n\x05<unk>", "a SentencePiece model"),
    (_LFS, _POINTER),
    (b"\xff\xfe\x00\x00", "UTF-32 text"),
    (b"\x00\x00\xfe\xff", "UTF-32 text"),
    (b"\xff\xfe", "UTF-16 text"),
    (b"\xfe\xff", "UTF-16 text"),
)
_PICKLE = re.compile(rb"\x80[\x02-\x05](?:[}\](cX\x8a\x8c\x95]|\x4b)")
_ZIPPED = (
    (b".npy", "an archive of NumPy arrays (.npz)"),
    (b"data.pkl", "a PyTorch file (.pt, .bin)"),
    (b"[Content_Types].xml", "an Office document (.docx, .xlsx)"),
)
_MARKUP = re.compile(rb"(?:\xef\xbb\xbf)?\s*<(?:!doctype\s+html|html|head|body|\?xml|!--)", re.IGNORECASE)
_JSON = re.compile(rb'(?:\xef\xbb\xbf)?\s*(?:\[\s*)*\{\s*"[^"\n]*"\s*:')
_SAFETENSORS = re.compile(rb'.{3}\x00{5}\{\s*"', re.DOTALL)
_CONTROLS = re.compile(rb"[\x01-\x08\x0e-\x1a\x1c-\x1f]")
_WIDE = ("utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be")
_TODO = (
    ("NumPy", "write it as text: a word and its numbers a line"),
    ("packed with gzip", "name it .gz, or unpack it"),
    ("packed with xz", "name it .xz, or unpack it"),
    ("packed", "unpack it first"),
    ("archive", "unpack it first"),
    ("UTF-", "convert it to UTF-8, such as with iconv -t UTF-8"),
    ("carriage returns", r"convert it, such as with tr '\r' '\n'"),
    ("git-lfs", "git lfs pull"),
    ("HTML", "it may be a page that says why a download failed: fetch the file itself"),
)
"""What to do, by a word of what a file seems to be."""


def seems_to_be(head: bytes) -> str | None:
    """What a file that begins with ``head`` seems to be, such as ``a zip archive``; None where it may be plain text.

    Only what is unmistakable is named. JSON and pages of HTML are named too, although they are text.
    """
    return no_text(head) or _markup(head)


def no_text(head: bytes) -> str | None:
    """What a file that begins with ``head`` seems to be if a reader of UTF-8 text cannot read it, else None."""
    return _by_start(head) or _by_shape(head) or _by_zeros(head) or _by_returns(head)


def what_to_do(kind: str) -> str:
    """What to do about a file of the wrong ``kind``, a phrase of :func:`seems_to_be`."""
    return next((todo for word, todo in _TODO if word in kind), "give the right file")


def refuse_lfs_pointer(folder: Path) -> None:
    """Refuse a folder with a file that is a git-lfs pointer: what a clone holds without git lfs.

    Raises:
        DataMissingError: it names the first such file.
    """
    small = (path for path in sorted(folder.glob("*")) if path.is_file() and path.stat().st_size < HEAD_BYTES)
    for path in small:
        if path.read_bytes().startswith(_LFS):
            raise DataMissingError(_POINTER, where=path, todo=what_to_do(_POINTER)) from None


def _by_start(head: bytes) -> str | None:
    if head.startswith(b"PK\x03\x04"):
        size = int.from_bytes(head[26:28], "little")
        first = head[30 : 30 + size]
        return next((what for end, what in _ZIPPED if first.endswith(end)), "a zip archive")
    return next((what for start, what in _STARTS if head.startswith(start)), None)


def _by_shape(head: bytes) -> str | None:
    if head[257:262] == b"ustar":
        return "a tar archive"
    if _PICKLE.match(head):
        return "a Python pickle"
    return "a safetensors file" if _SAFETENSORS.match(head) else None


def _markup(head: bytes) -> str | None:
    if match := _MARKUP.match(head):
        return "XML" if b"?xml" in match[0].lower() else "an HTML page"
    return "JSON" if _JSON.match(head) else None


def _by_zeros(head: bytes) -> str | None:
    """UTF-16 and UTF-32 without a mark have zeros at every second or fourth byte; other zeros mean binary data."""
    if b"\0" not in head:
        return None
    places = [head[start::4].count(0) * 4 / len(head) for start in range(4)]
    zeros = [share > 0.5 for share in places]
    if zeros in ([False, True, True, True], [True, True, True, False]):
        return "UTF-32 text"
    if zeros in ([False, True, False, True], [True, False, True, False]):
        return "UTF-16 text"
    wide = next((f"{coding[:6].upper()} text" for coding in _WIDE if _reads_as(head, coding)), None)
    # In text with a stray zero, the line is worth more than a kind.
    stray = head.count(0) <= len(head) / 4 and is_utf8(head) and not _CONTROLS.search(head)
    return wide or (None if stray else "binary data")


def is_utf8(head: bytes) -> bool:
    """Whether a file's first bytes are UTF-8; its last character may be cut off."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return True


def _reads_as(head: bytes, coding: str) -> bool:
    """Whether the first bytes are text in ``coding``, such as Chinese, where only spaces and line ends have zeros."""
    text = codecs.getincrementaldecoder(coding)(errors="replace").decode(head)
    plain = sum(character.isprintable() or character in "\t\r\n" for character in text) - text.count("\ufffd")
    return (" " in text or "\n" in text) and "\0" not in text and plain > 0.95 * len(text)


def _by_returns(head: bytes) -> str | None:
    """A file of old, whose lines end in a carriage return alone; one such in a line that is longer than ``head`` is none."""
    inside = len(LONE_RETURN.findall(head)) if b"\n" not in head else 0
    return RETURNS if inside > 1 or (inside and len(head) < HEAD_BYTES) else None
