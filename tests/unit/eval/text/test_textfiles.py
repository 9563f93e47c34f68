"""Lines of text files: what ends one, and what a file seems to be that is no UTF-8 text."""

from __future__ import annotations

import gzip
import io
import lzma
import zipfile

import numpy as np
import pytest

from hyperofa_eval.base.errors import DataMissingError, InputError
from hyperofa_eval.text.textfiles import read_lines

GEORGIAN = "წყალი მოდის\nსახლი დგას\n" * 3
CHINESE = "水来了。\n房子在那里。\n" * 3


@pytest.fixture
def file(tmp_path):
    return tmp_path / "kab.txt"


def refusal(path):
    with pytest.raises(InputError) as caught:
        list(read_lines(path))
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_only_line_feeds_end_a_line(file):
    odd = "next\x85line, line\u2028sep, para\u2029sep, vt\x0bff\x0cfs\x1c, nbsp\u00a0"
    file.write_bytes(f"\ufeff{odd}\r\n\nlast".encode())
    assert list(read_lines(file)) == [odd, "", "last"]
    file.write_bytes(b"")
    assert list(read_lines(file)) == []


def test_a_mark_at_the_start_of_a_later_line_goes_too(file):
    file.write_text("\ufeffone\n\ufefftwo\n", encoding="utf-8")  # two files, one after the other
    assert list(read_lines(file)) == ["one", "two"]


@pytest.mark.parametrize(("ending", "opener"), [(".gz", gzip.open), (".xz", lzma.open)])
def test_packed_files_and_damaged_ones(tmp_path, ending, opener):
    path = tmp_path / f"kab.txt{ending}"
    with opener(path, "wt", encoding="utf-8") as handle:
        handle.write("azul\nfell-awen\n" * 500)
    assert list(read_lines(path))[:2] == ["azul", "fell-awen"]
    path.write_bytes(path.read_bytes()[:-9])
    assert f"a damaged {ending} file" in refusal(path)
    path.write_bytes(b"")
    assert f"a damaged {ending} file (it is empty)" in refusal(path)


@pytest.mark.parametrize(
    ("ending", "content", "message"),
    [
        (".gz", "azul\nsmeɛ\n".encode(), "not a .gz file: it seems to be plain text; name it without .gz"),
        (".xz", b"azul\n", "not a .xz file: it seems to be plain text; name it without .xz"),
        (".gz", lzma.compress(b"azul\n"), "not a .gz file: it seems to be packed with xz (.xz); name it .xz"),
        (
            ".xz",
            gzip.compress(b"azul\n", mtime=0),
            "not a .xz file: it seems to be packed with gzip (.gz); name it .gz",
        ),
        (".xz", "azul\n".encode("utf-16"), "not a .xz file: it seems to be UTF-16 text"),
        (".gz", b"\xff\xfb\x90\x04", "a damaged .gz file"),
    ],
)
def test_what_is_no_packed_file_by_its_name_is_said_to_be_what_it_is(tmp_path, ending, content, message):
    path = tmp_path / f"kab.txt{ending}"
    path.write_bytes(content)
    assert message in refusal(path)


@pytest.mark.parametrize("text", ["one\ntwo\n", GEORGIAN, CHINESE])
@pytest.mark.parametrize("coding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"])
def test_utf_16_and_utf_32_with_and_without_a_mark(file, text, coding):
    file.write_bytes(text.encode(coding))
    assert f"it seems to be {coding[:6].upper()} text; convert it to UTF-8, such as with iconv" in refusal(file)


def test_nul_bytes_anywhere(file):
    file.write_bytes(bytes(range(256)) * 9)
    assert "it seems to be binary data" in refusal(file)
    file.write_bytes(b"one\n" * 40_000 + b"t\x00wo\n")
    assert "line 40001: not UTF-8 text: it holds NUL bytes" in refusal(file)
    for text in (b"one\nt\0wo\n", "ერთი\nო\0რი\n".encode(), b"a\0b\n"):
        file.write_bytes(text)
        assert f"line {text[: text.index(0)].count(10) + 1}: not UTF-8 text: it holds NUL bytes" in refusal(file)


def test_other_encodings(file):
    file.write_bytes("deux\nété\n".encode("latin-1"))
    line = refusal(file)
    assert "line 2: not UTF-8 text: byte 0xE9 seems to be of Latin-1" in line
    assert "iconv -f WINDOWS-1252 -t UTF-8" in line
    file.write_bytes("été\n".encode() + b"\xff\xc3\xa9\n")
    assert "line 2: not UTF-8 text: byte 0xFF between characters that are" in refusal(file)
    for coding, text in (
        ("gb18030", "我们在这里吃饭"),
        ("shift-jis", "私たちはここで食べる"),
        ("koi8-r", "привет мир"),
    ):
        file.write_bytes(f"{text} 1\n".encode(coding))
        assert "old encoding; convert the file" in refusal(file), coding
    file.write_bytes("fin été".encode()[:-1])
    assert "line 1: not UTF-8 text: it ends in the middle of a character" in refusal(file)


def test_files_of_other_kinds_are_named(file):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a", "b")
    array = io.BytesIO()
    np.save(array, np.zeros(3))
    for content, what in (
        (packed.getvalue(), "a zip archive; unpack it first"),
        (array.getvalue(), "a NumPy array (.npy)"),
        (gzip.compress(b"a", mtime=0), "packed with gzip (.gz); name it .gz, or unpack it"),
        (lzma.compress(b"a"), "packed with xz (.xz)"),
        (b"PAR1\x15\x04\x15", "a Parquet file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "a git-lfs pointer"),
    ):
        file.write_bytes(content)
        assert f"it seems to be {what}" in refusal(file)
    file.write_text('{"text": "JSON is text"}\n<html>\n')
    assert len(list(read_lines(file))) == 2


def test_line_ends_that_are_carriage_returns_alone(file):
    for content in (b"one\rtwo\rthree\r", b"one\rtwo", b"\rone\r\rtwo", b"\rone", b"one\rtwo\r" * 9999):
        file.write_bytes(content)
        assert "lines end in carriage returns alone" in refusal(file)
    file.write_bytes(b"one\r")
    assert list(read_lines(file)) == ["one"]
    file.write_bytes(b"one\ntwo\rthree\rfour\n")
    assert "line 2: 2 carriage returns inside the line" in refusal(file)
    file.write_bytes(b"a" * 9999 + b"\rtwo\n")  # a long line with a stray one
    assert len(list(read_lines(file))) == 1


def test_one_carriage_return_inside_a_line_stays_and_is_said_once(file, said):
    file.write_bytes(b"one\ntwo\rthree\r\nfour\rfive\n")
    assert list(read_lines(file)) == ["one", "two\rthree", "four\rfive"]
    (line,) = said
    assert "line 2: a carriage return inside the line does not end it" in line


def test_what_cannot_be_read(tmp_path):
    with pytest.raises(DataMissingError, match="no such file"):
        list(read_lines(tmp_path / "nowhere.txt"))
    assert "cannot be read (Is a directory)" in refusal(tmp_path)
