"""Vector files made up at random: a store or one line, never a traceback, and no row is lost without being counted."""

from __future__ import annotations

import gzip
import lzma
import pickle
import re
import struct
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hyperofa.errors import HyperofaError
from hyperofa.vectors.importing import ImportSummary, import_file
from hyperofa.vectors.settings import ImportSettings
from hyperofa.vectors.store import WordVectors
from tests.unit.vectors.conftest import write_fasttext

ODD = "\u00a0\u2003\u3000\u0085\u2028\u2029\u200b\ufeff\x0b\x0c\x1c\x1f\0\r\t $:"
LETTERS = "aé政🐕9.-_<{\"'"
WORD = st.one_of(
    st.text(LETTERS, min_size=1, max_size=8),
    st.text(LETTERS + ODD, max_size=6),
    st.sampled_from(["", "eng:", "a" * 5000, "政" * 1500, "eng:dog", "</s>", "\ud800", "1", "nan", "3 4", "eng:$"]),
).map(lambda word: word.replace("\n", " "))
NUMBER = st.one_of(
    st.floats(-9, 9, width=16).map(str),
    st.sampled_from(["nan", "inf", "1e99", "1e5", "x", "", "0,5", "١", "0x1", "1_0", "-", "1e", "--1", "1\u00a0"]),
)
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1", "cp1252", "gb18030"]
PLAIN = {"utf-8", "utf-8-sig", "latin-1", "cp1252", "gb18030"}
HEADER = re.compile(rb"\s*(\d{1,12}) (\d{1,6})\s*")
FEW = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def rows(draw):
    """Words with as many numbers as most have, some with more or fewer."""
    dim = draw(st.integers(1, 4))
    made = []
    for _ in range(draw(st.integers(0, 12))):
        good = draw(st.integers(0, 5)) > 0
        size = dim if good else draw(st.integers(0, 6))
        numbers = [str(draw(st.integers(-9, 9))) if good else draw(NUMBER) for _ in range(size)]
        made.append((draw(WORD), numbers))
    return dim, made


def attempt(content: bytes, name: str, folder: Path, **options: object) -> ImportSummary | None:
    """The import of a file; None where one line refuses it. Anything else ends the test."""
    path, out = folder / name, folder / "out"
    path.write_bytes(content)
    line, summary = None, None
    try:
        summary = import_file(path, out, ImportSettings(**options))
    except HyperofaError as error:
        line = str(error)
    if summary is None:
        assert line is not None
        assert "\n" not in line
        assert len(line) < 1000
        assert name in line
        assert not out.exists()
        return None
    store = WordVectors.open(out)
    assert np.isfinite(store.vectors).all()
    assert sum(1 for _ in store.words) == sum(summary.languages.values())
    return summary


def counted(summary: ImportSummary) -> int:
    """Rows that were kept, or left out with a reason."""
    left_out = summary.malformed + summary.duplicates + summary.unwanted
    return sum(summary.languages.values()) + left_out + sum(summary.bad_rows.values())


@FEW
@given(
    rows(),
    st.sampled_from(["none", "right", "wrong"]),
    st.sampled_from(ENCODINGS),
    st.sampled_from(["\n", "\r\n", "\r", "\n\n"]),
    st.sampled_from(["v.vec", "v.txt", "v.vec.gz", "v.xz", "v.bin", "v.kv"]),
    st.booleans(),
)
def test_text(tmp_path_factory, made, header, encoding, end, name, skip):
    dim, words = made
    lines = [f"{word} {' '.join(numbers)}" for word, numbers in words]
    if header != "none":
        lines = [f"{len(words) + (header == 'wrong')} {dim + (header == 'wrong')}", *lines]
    text = end.join([*lines, ""]).encode(encoding, errors="replace")
    content = gzip.compress(text) if name.endswith("gz") else lzma.compress(text) if name.endswith("xz") else text
    summary = attempt(content, name, tmp_path_factory.mktemp("text"), skip_bad=skip)
    if summary is None or summary.format != "text" or encoding not in PLAIN:
        return
    there = [line for line in text.removeprefix(b"\xef\xbb\xbf").split(b"\n") if line.strip()]
    promised = HEADER.fullmatch(there[0])
    mismatch = promised is not None and int(promised[1]) != len(there) - 1  # is counted as a bad row too
    assert counted(summary) == len(there) - (promised is not None) + mismatch


@FEW
@given(
    st.lists(st.tuples(WORD, st.lists(st.floats(width=32), min_size=3, max_size=3)), max_size=9),
    st.integers(-2, 2),
    st.integers(0, 40),
    st.booleans(),
    st.sampled_from(["utf-8", "latin-1", "utf-16-le"]),
)
def test_word2vec_binary(tmp_path_factory, words, more, cut, skip, encoding):
    content = f"{max(len(words) + more, 0)} 3\n".encode()
    for word, values in words:
        content += word.encode(encoding, errors="replace") + b" " + np.array(values, "<f4").tobytes() + b"\n"
    attempt(content[: len(content) - cut], "v.bin", tmp_path_factory.mktemp("binary"), skip_bad=skip)


@FEW
@given(
    st.lists(WORD.filter(lambda word: "\0" not in word and "\ud800" not in word), min_size=1, max_size=6),
    st.integers(0, 40),
    st.integers(0, 200),
    st.booleans(),
)
def test_fasttext(tmp_path_factory, words, bucket, cut, skip):
    folder = tmp_path_factory.mktemp("fasttext")
    matrix = np.ones((len(words) + bucket, 2), np.float32)
    write_fasttext(folder / "whole", words, matrix, bucket=bucket, shortest=1, longest=3)
    content = (folder / "whole").read_bytes()
    summary = attempt(content[: len(content) - cut], "f.bin", folder, skip_bad=skip)
    if summary is not None:
        assert counted(summary) == len(words)


@FEW
@given(
    st.lists(st.one_of(WORD, st.none(), st.integers(), st.binary(max_size=3)), min_size=1, max_size=6),
    st.integers(-1, 1),
    st.integers(0, 5),
    st.integers(0, 30),
    st.booleans(),
)
def test_gensim(tmp_path_factory, gensim_names, words, more, protocol, cut, skip):
    record = gensim_names()
    vectors = np.ones((max(len(words) + more, 0), 2), np.float32)
    record.__dict__.update(index2word=words, vectors=vectors)
    content = pickle.dumps(record, protocol=protocol)
    summary = attempt(content[: len(content) - cut], "v.kv", tmp_path_factory.mktemp("gensim"), skip_bad=skip)
    if summary is not None:
        assert counted(summary) >= min(len(words), len(vectors))


@FEW
@given(st.binary(max_size=300), st.sampled_from(["v.vec", "v.bin", "v.wv", "v.gz", "v.bin.xz", "v"]), st.booleans())
def test_any_bytes(tmp_path_factory, content, name, skip):
    attempt(content, name, tmp_path_factory.mktemp("bytes"), skip_bad=skip)


@FEW
@given(st.binary(max_size=200), st.sampled_from(["text", "binary", "fasttext", "gensim"]), st.booleans())
def test_any_bytes_under_a_named_format(tmp_path_factory, content, form, skip):
    content = struct.pack("<i", 793712314) + content if form == "fasttext" else content
    attempt(content, "v", tmp_path_factory.mktemp("format"), skip_bad=skip, format=form)
