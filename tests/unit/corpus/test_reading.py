"""Reading documents from every kind of file, and what is said of bad ones."""

from __future__ import annotations

import gzip
import json
import lzma

import pyarrow as pa
import pyarrow.parquet
import pytest

from hyperofa.corpus.reading import documents
from hyperofa.errors import DataMissingError, InputError

DAMAGED_GZIP = gzip.compress(b"some words\n" * 50, mtime=0)[:12] + b"\xff" * 30
LINES = ["aqjun yettwali", "ein Hund", "", "狗在跑"]


def test_plain_text_keeps_empty_lines_for_the_count(tmp_path):
    (tmp_path / "a.txt").write_bytes("\r\n".join(LINES).encode() + b"\n")
    assert list(documents(str(tmp_path / "a.txt"))) == LINES


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl"])
def test_a_byte_order_mark_is_no_text(tmp_path, name):
    lines = [json.dumps({"text": line}) if name == "a.jsonl" else line for line in LINES]
    (tmp_path / name).write_text("\n".join(lines), encoding="utf-8-sig")
    assert list(documents(str(tmp_path / name))) == LINES


@pytest.mark.parametrize(("suffix", "module"), [(".gz", gzip), (".xz", lzma)])
def test_compressed_text_and_json(tmp_path, suffix, module):
    with module.open(tmp_path / f"a.txt{suffix}", "wt", encoding="utf-8") as handle:
        handle.write("\n".join(LINES))
    assert list(documents(str(tmp_path / f"a.txt{suffix}"))) == LINES
    with module.open(tmp_path / f"a.jsonl{suffix}", "wt", encoding="utf-8") as handle:
        handle.write("\n".join(json.dumps({"body": line, "n": 1}) for line in LINES) + "\n\n")
    assert list(documents(str(tmp_path / f"a.jsonl{suffix}"), "body")) == [*LINES, ""]  # counted as in plain text


def test_parquet_and_arrow(tmp_path):
    table = pa.table({"text": LINES, "n": range(4)})
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    with pa.OSFile(str(tmp_path / "a.arrow"), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    assert list(documents(str(tmp_path / "a.parquet"))) == LINES
    assert list(documents(str(tmp_path / "a.arrow"))) == LINES


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"good\n\xff\xfe bad\n", r"a\.txt, line 2: not UTF-8"),
        ("a.jsonl", b'{"text": "x"}\n{"text": \n', r"a\.jsonl, line 2: not a JSON object"),
        ("a.jsonl", b'{"text": "x"}\n\n{"body": "x"}\n', r"a\.jsonl, line 3: no text field 'text' \(found: body\)"),
        ("a.jsonl", b"[1]\n", r"a\.jsonl, line 1: a list of 1, not an object with fields; each line must be"),
        ("a.jsonl", b'"x"\n', r"a\.jsonl, line 1: a string, not an object with fields"),
        ("a.json", b'[\n{"text": "x"}\n]\n', r"a\.json, line 1: not a JSON object .*; write one object a line"),
        ("a.jsonl", b'{"text": "x"}\n{"text": null}\n', r"line 2: the field 'text' is null, not text; remove the line"),
        ("a.jsonl", b'{"text": 7, "body": "x"}\n', r"the field 'text' is a number, not text; .*--field \('body'\)"),
        ("a.jsonl", b'{"text": true}\n', r"line 1: the field 'text' is the truth value true, not text; write the text"),
        ("a.jsonl", b'{"text": {"en": "x"}}\n', r"line 1: the field 'text' is an object of 1 fields, not text"),
        ("a.jsonl", b'{"text": ["x", "y"]}\n', r"line 1: the field 'text' is a list of 2, not text"),
        ("a.jsonl", b"[" * 100_000, r"a\.jsonl, line 1: not a JSON object"),
        ("a.jsonl", b'{"text": "x", "n": ' + b"1" * 5000 + b"}", r"a\.jsonl, line 1: not a JSON object"),
        ("a.jsonl", b'{"text": "\\ud800"}\n', r"a\.jsonl, line 1: half a surrogate pair"),
        ("a.txt.gz", DAMAGED_GZIP, r"a\.txt\.gz, line 1: a damaged \.gz file"),
        ("a.txt.gz", b"not gzip", r"a\.txt\.gz: not a \.gz file: it seems to be plain text"),
        ("a.jsonl", b'{"text": "x", "text": "y"}\n', r"a\.jsonl, line 1: the field 'text' comes 2 times; keep one"),
        ("a.JSONL", b'{"body": "x"}\n', r"a\.JSONL, line 1: no text field 'text'"),
        ("a.ndjson", b'{"body": "x"}\n', r"a\.ndjson, line 1: no text field 'text'"),
        (
            "a.json",
            b'{\n"text": "x"\n}\n',
            r"line 1: not a JSON object .*; write one object a line, such as with jq -c \.$",
        ),
        ("a.parquet", b"PAR1 not really", "not a readable parquet file"),
    ],
)
def test_bad_content_names_its_place(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        list(documents(str(tmp_path / name)))


def test_a_damaged_table_is_one_error_and_no_line_of_the_library(tmp_path, capfd):
    (tmp_path / "a.parquet").write_bytes(b"xxxx")
    with pytest.raises(InputError, match=r"a\.parquet: not a readable parquet file"):
        list(documents(str(tmp_path / "a.parquet")))
    assert capfd.readouterr().err == ""


def test_fields_of_inner_objects_are_not_counted(tmp_path):
    (tmp_path / "a.jsonl").write_text(
        '{"meta": {"text": 1, "text": 2}, "text": "x", "more": [{"text": 3}], "id": 1, "id": 2}\n'
    )
    assert list(documents(str(tmp_path / "a.jsonl"))) == ["x"]


def test_json_under_the_name_of_plain_text_is_said(tmp_path, caplog):
    (tmp_path / "a.txt").write_text('{"text": "x"}\n{"text": "y"}\n')
    assert len(list(documents(str(tmp_path / "a.txt")))) == 2
    (record,) = caplog.records
    assert "a.txt: read as plain text, though its first line is JSON" in record.getMessage()


def test_a_column_that_is_not_there_is_named(tmp_path):
    pyarrow.parquet.write_table(pa.table({"body": ["x"]}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r"row 1: no text field 'text' \(found: body\)"):
        list(documents(str(tmp_path / "a.parquet")))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataMissingError, match="no such text file"):
        list(documents(str(tmp_path / "a.txt")))


def rows_then_error(*rows):
    yield from rows
    raise ConnectionError("the line is dead\nand more")


def test_a_data_set_of_the_hub_is_asked_for_as_it_is_named(monkeypatch):
    asked = []

    def load_dataset(*names, **options):
        asked.append((*names, options))
        return [{"text": " one "}, {"text": "two"}]

    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    assert list(documents("hub:org/set")) == ["one", "two"]
    assert list(documents("hub:org/set:abc123@swh_Latn#test[:9]")) == ["one", "two"]
    plain = {"split": "train", "revision": None, "streaming": True}
    assert asked[0] == ("org/set", None, plain)
    assert asked[1] == ("org/set", "swh_Latn", {"split": "test[:9]", "revision": "abc123", "streaming": True})


def test_a_data_set_that_fails_is_one_line(monkeypatch):
    monkeypatch.setattr("datasets.load_dataset", lambda *names, **options: rows_then_error({"text": "one"}))
    with pytest.raises(
        DataMissingError, match=r"hub:org/set: reading .* failed after row 1 .the line is dead.; start"
    ) as e:
        list(documents("hub:org/set"))
    assert "\n" not in str(e.value)
    monkeypatch.setattr("datasets.load_dataset", lambda *names, **options: [{"body": "one"}])
    with pytest.raises(InputError, match=r"row 1: no text field 'text' \(found: body\)"):
        list(documents("hub:org/set"))
    monkeypatch.setattr("datasets.load_dataset", lambda *names, **options: next(rows_then_error()))
    with pytest.raises(DataMissingError, match="cannot open the data set"):
        list(documents("hub:org/set"))


def test_a_null_in_a_table_is_named_with_its_row(tmp_path):
    pyarrow.parquet.write_table(pa.table({"text": ["x", None]}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r"row 2: the field 'text' is null, not text"):
        list(documents(str(tmp_path / "a.parquet")))
