"""Every reader of text over made-up files: an answer or one line, and no line dropped without a count."""

from __future__ import annotations

import gzip
import json
import lzma
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperofa.corpus.reading import documents
from hyperofa.data.gather import gather, read_inputs, write_gathered
from hyperofa.data.given_text import read_given
from hyperofa.data.parallel import read_parallel
from hyperofa.data.settings import GatherSettings, SplitSettings
from hyperofa.data.split import write_split
from hyperofa.errors import HyperofaError
from hyperofa_eval.data.check import check
from hyperofa_eval.data.layout import DataFolder
from hyperofa_eval.text.paired import read_verses
from hyperofa_eval.text.textfiles import read_lines

ODD_SPACES = ["\x85", "\u2028", "\u2029", "\x0b", "\x0c", "\x1c", "\u00a0", "\u3000", "\u200b", "\ufeff", "\t", " "]
PIECES = st.one_of(
    st.sampled_from(ODD_SPACES),
    st.sampled_from(
        ["</s>", "[SEP]", "<|im_end|>", "azul", "წყალი", "水", "e\u0301", "\U0001f600", "12", "{", '"', "_"]
    ),
    st.just("a" * 3_000),
    st.text(max_size=5),
)
TEXTS = st.lists(PIECES, max_size=6).map("".join)
IDS = st.sampled_from(
    ["MAT.1.1", "mat.1.1", " MAT.1.2 ", "MAT.1.3\u00a0", "40001001", "\ufeffMAT.1.4", "", "\u2028", "x\x00y"]
)
VALUES = st.one_of(TEXTS, st.none(), st.booleans(), st.integers(), st.floats(), st.lists(TEXTS, max_size=2))
ROWS = st.dictionaries(st.sampled_from(["text", "body", ""]), VALUES, max_size=3).map(json.dumps)
LINES = st.one_of(
    TEXTS, st.tuples(IDS, TEXTS).map("\t".join), ROWS, st.sampled_from(["", "[]", "null", "{", '"\\ud800"'])
)
CODINGS = [
    "utf-8",
    "utf-8-sig",
    "utf-16",
    "utf-16-le",
    "utf-16-be",
    "utf-32-le",
    "latin-1",
    "cp1251",
    "gb18030",
    "cp932",
]
PACKERS: dict[str, Callable[[bytes], bytes]] = {"": bytes, ".gz": gzip.compress, ".xz": lzma.compress}
few = settings(max_examples=60, deadline=None)


@st.composite
def contents(draw: Any) -> bytes:
    """A file's bytes: lines of any kind under any encoding and line end, perhaps cut off, or no text at all."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=60))
    coding = draw(st.sampled_from([*["utf-8"] * 8, *CODINGS]))
    ends = draw(st.sampled_from([["\n"], ["\n"], ["\n"], ["\r\n"], ["\r"], ["\n", "\r\n", "\r"]]))
    lines = draw(st.lists(LINES, max_size=8))
    text = "".join(line + draw(st.sampled_from(ends)) for line in lines)
    data = text.encode(coding, errors="replace")
    return data[: len(data) - draw(st.integers(0, 2))] if draw(st.booleans()) else data


PACKED = st.tuples(st.sampled_from(sorted(PACKERS)), st.booleans())


def written(folder: Path, name: str, data: bytes, packing: tuple[str, bool] = ("", False)) -> Path:
    ending, damaged = packing
    path = folder / f"{name}{ending}"
    path.parent.mkdir(parents=True, exist_ok=True)
    packed = PACKERS[ending](data)
    path.write_bytes(packed[:-5] if damaged and ending else packed)
    return path


def one_line(read: Callable[[], Any]) -> Any:
    """What ``read`` gives, or None where it refuses, which is one line."""
    try:
        return read()
    except HyperofaError as error:
        refusal = error
    assert len(str(refusal).splitlines()) == 1
    assert len(str(refusal)) < 2_000
    assert refusal.exit_code in {2, 3}
    return None


@given(data=contents(), packing=PACKED)
@few
def test_lines(data: bytes, packing: tuple[str, bool]) -> None:
    with tempfile.TemporaryDirectory() as name:
        path = written(Path(name), "kab.txt", data, packing)
        lines = one_line(lambda: list(read_lines(path)))
        if lines is None:
            return
        assert len(lines) == data.count(b"\n") + (not data.endswith(b"\n") and data != b"")
        assert "".join(lines) == "".join(
            line.rstrip("\r\n").removeprefix("\ufeff") for line in data.decode().split("\n")
        )
        assert [text for text in lines if "\x00" in text] == []


@given(data=contents(), packing=PACKED, kind=st.sampled_from(["txt", "jsonl", "json"]))
@few
def test_documents(data: bytes, packing: tuple[str, bool], kind: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        path = written(Path(name), f"kab.{kind}", data, packing)
        found = one_line(lambda: list(documents(str(path))))
        assert found is None or len(found) == len(list(read_lines(path)))


@given(data=contents(), gaps=st.booleans())
@few
def test_verses(data: bytes, gaps: bool) -> None:
    with tempfile.TemporaryDirectory() as name:
        path = written(Path(name), "kab.tsv", data)
        found = one_line(lambda: read_verses(path, gaps=gaps))
        assert found is None or len(found.texts) + found.without_text == len(list(read_lines(path)))


@given(left=contents(), right=contents(), same=st.booleans(), packing=PACKED, kind=st.sampled_from(["txt", "tsv"]))
@few
def test_parallel_text(left: bytes, right: bytes, same: bool, packing: tuple[str, bool], kind: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        eng = written(folder, f"eng.{kind}", left, packing)
        kab = written(folder, f"kab.{kind}", left if same else right)
        text = one_line(lambda: read_parallel([folder]))
        if text is not None:
            for language, path in (("eng", eng), ("kab", kab)):
                assert len(text.texts[language]) == sum(
                    "\t".join(_parts(line, kind)) != "" for line in read_lines(path)
                )
            assert kind == "txt" or text.translated("kab") > 0
        made = one_line(lambda: write_split(folder, SplitSettings(test=1, min_words=1, min_test=1), [], folder / "out"))
        assert (made is None) != (folder / "out").exists()
        if made is not None and text is not None:
            assert sum(made["messages"].values()) == text.n_sentences


def _parts(line: str, kind: str) -> list[str]:
    """The text of a line of parallel text, empty where it has none."""
    return [(line.partition("\t")[2] if kind == "tsv" else line).strip()]


@given(data=contents(), packing=PACKED)
@few
def test_gathered_text(data: bytes, packing: tuple[str, bool]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = written(folder, "kab.txt", data, packing)
        made = one_line(lambda: write_gathered([], [path], None, GatherSettings(), folder / "out"))
        assert (made is None) != (folder / "out").exists()
        lines = one_line(lambda: list(read_lines(path)))
        if lines is not None:
            aligned, files = read_inputs([], [path])
            found = gather(aligned, {"kab": lines}, {})
            assert set(files) == {"kab"}
            assert len(found.text["kab"]) + sum(counts.get("kab", 0) for counts in found.dropped.values()) == len(lines)
        one_line(lambda: read_given({"kab": [path]}, [], 0))


@given(left=contents(), right=contents(), same=st.booleans())
@few
def test_test_sets(left: bytes, right: bytes, same: bool) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for place, data in (("tatoeba/kab-eng.kab", left), ("tatoeba/kab-eng.eng", left if same else right),
                            ("bible/kab.tsv", left), ("bible/eng.tsv", left if same else right), ("text/kab.txt", right),
                            ("ner/kab/test.tsv", left), ("pos/kab/test.conllu", right)):  # fmt: skip
            written(folder, place, data)
        pairs = one_line(lambda: DataFolder(folder).pairs("tatoeba", "kab"))
        if pairs is not None:
            assert len(pairs.other) == len(pairs.english) == len(list(read_lines(folder / "tatoeba/kab-eng.kab")))
        report = check(DataFolder(folder), ["kab"], [folder / "text/kab.txt"] if same and _is_text(right) else [])
        for findings in (report.faults, report.warnings, report.notes):
            assert all(len(line.splitlines()) == 1 for line in findings)
        assert (pairs is None) == ("kab" not in report.present["tatoeba"])


def _is_text(data: bytes) -> bool:
    with tempfile.TemporaryDirectory() as name:
        return one_line(lambda: list(read_lines(written(Path(name), "a.txt", data)))) is not None


@pytest.mark.parametrize("separator", ["\x85", "\u2028", "\u2029", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e"])
def test_no_other_separator_ends_a_line_in_any_reader(tmp_path: Path, separator: str) -> None:
    text = f"one{separator}two"
    for name, line in (("eng.txt", text), ("kab.txt", text), ("eng.tsv", f"a\t{text}"), ("kab.tsv", f"a\t{text}")):
        (tmp_path / name).write_text(f"{line}\n", encoding="utf-8")
    (tmp_path / "kab.jsonl").write_text(json.dumps({"text": text}, ensure_ascii=False) + "\n", encoding="utf-8")
    assert read_parallel([tmp_path]).texts["kab"] == {0: text, 1: text}
    assert list(documents(str(tmp_path / "kab.txt"))) == [text]
    assert list(documents(str(tmp_path / "kab.jsonl"))) == [text]
    assert read_given({"kab": [tmp_path / "kab.txt"]}, [], 0).learn.lines == {"kab": [text]}
