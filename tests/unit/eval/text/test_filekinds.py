"""Kinds of files by their first bytes: real files of each kind are named, text is not."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import pickle
import sqlite3
import tarfile
import zipfile

import numpy as np
import pytest

from hyperofa_eval.text.filekinds import HEAD_BYTES, seems_to_be

TEXT = "eng:dog 0.25 -0.5\ndeu:Straße 1.0 2.0\ncmn:政府 1 2\n"


def written(save) -> bytes:
    handle = io.BytesIO()
    save(handle)
    return handle.getvalue()


def zipped(name: str) -> bytes:
    def save(handle: io.BytesIO) -> None:
        with zipfile.ZipFile(handle, "w") as archive:
            archive.writestr(name, TEXT)

    return written(save)


def tarred() -> bytes:
    def save(handle: io.BytesIO) -> None:
        with tarfile.open(fileobj=handle, mode="w") as archive:
            archive.addfile(tarfile.TarInfo("v.vec"), io.BytesIO())

    return written(save)


def parquet() -> bytes:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    return written(lambda handle: pq.write_table(pa.table({"a": [1]}), handle))


def arrow(maker: str) -> bytes:
    pa = pytest.importorskip("pyarrow")

    def save(handle: io.BytesIO) -> None:
        table = pa.table({"a": [1]})
        with getattr(pa.ipc, maker)(handle, table.schema) as writer:
            writer.write_table(table)

    return written(save)


def tensors() -> bytes:
    return pytest.importorskip("safetensors.numpy").save({"vectors": np.zeros((2, 2), np.float32)})


def checkpoint() -> bytes:
    torch = pytest.importorskip("torch")
    return written(lambda handle: torch.save({"a": torch.zeros(2)}, handle))


def database() -> bytes:
    with sqlite3.connect(":memory:") as connection:
        connection.execute("create table t (a)")
        return connection.serialize()


KINDS = {
    "zip": (lambda: zipped("v.vec"), "a zip archive"),
    "npz": (lambda: written(lambda handle: np.savez(handle, vectors=np.ones(2))), "NumPy arrays"),
    "docx": (lambda: zipped("[Content_Types].xml"), "Office document"),
    "torch": (checkpoint, "a PyTorch file"),
    "npy": (lambda: written(lambda handle: np.save(handle, np.ones((2, 2)))), "a NumPy array"),
    "gzip": (lambda: gzip.compress(TEXT.encode()), "gzip"),
    "xz": (lambda: lzma.compress(TEXT.encode()), "xz"),
    "bz2": (lambda: bz2.compress(TEXT.encode()), "bzip2"),
    "tar": (tarred, "a tar archive"),
    "parquet": (parquet, "a Parquet file"),
    "arrow": (lambda: arrow("new_file"), "an Arrow file"),
    "arrow stream": (lambda: arrow("new_stream"), "an Arrow stream"),
    "safetensors": (tensors, "a safetensors file"),
    "sqlite": (database, "SQLite"),
    **{f"pickle {p}": (lambda p=p: pickle.dumps({"a": [1]}, protocol=p), "a Python pickle") for p in range(2, 6)},
    "hdf5": (lambda: b"\x89HDF\r\n\x1a\n" + bytes(99), "HDF5"),
    "pdf": (lambda: b"%PDF-1.7\n", "a PDF document"),
    "html": (lambda: b"\r\n<!DOCTYPE html><html><head><title>404</title>", "an HTML page"),
    "bare html": (lambda: b"<html>\n<body>Not found", "an HTML page"),
    "xml": (lambda: b"\xef\xbb\xbf<?xml version='1.0'?><Error/>", "XML"),
    "lfs": (lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n", "git-lfs pointer"),
    "json": (lambda: json.dumps([{"word": "dog"}]).encode(), "JSON"),
    **{
        name: (lambda name=name: TEXT.encode(name), f"UTF-{name[4:6]} text")
        for name in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be")
    },
    "chinese without a mark": (lambda: "政府 1 2\n".encode("utf-16-le"), "UTF-16 text"),
    "only chinese without a mark": (lambda: ("政" * 30 + "\n").encode("utf-16-le"), "UTF-16 text"),
    "zeros": (lambda: b"dog\0cat\n" + bytes(range(1, 99)), "binary data"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_of_another_kind_is_named(kind):
    make, expected = KINDS[kind]
    found = seems_to_be(make()[:HEAD_BYTES])
    assert found is not None
    assert expected in found


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        "",
        "2 3\n",
        "{ 0.1 0.2\n",
        '" 0.1 0.2\n',
        "< 1 2\n",
        "<s> 1 2\n",
        "[ 1 2\n",
        "PK 1 2\n",
        "\ufeffdog 1 2\n",
        "BZh 1",
        "PAR1 1 2",
        "GGUF 1 2",
    ],
)
def test_text_has_no_name(text):
    assert seems_to_be(text.encode()) is None
