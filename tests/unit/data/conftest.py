"""Small wheels with message catalogues, and a package index that is only a folder."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from hyperofa.data.inputs import Wheel
from hyperofa_eval.base.files import sha256_file


def _mo_bytes(messages: dict[str, str], order: str = "<") -> bytes:
    """A compiled catalogue, as GNU gettext lays it out (header entry first, sorted by message)."""
    entries = sorted({"": "Content-Type: text/plain; charset=UTF-8\n", **messages}.items())
    count, at = len(entries), 28 + 16 * len(entries)
    tables: list[list[int]] = [[], []]
    body = b""
    for column in (0, 1):
        for entry in entries:
            text = entry[column].encode()
            tables[column] += [len(text), at + len(body)]
            body += text + b"\0"
    head = struct.pack(f"{order}7I", 0x950412DE, 0, count, 28, 28 + 8 * count, 0, at)
    return head + struct.pack(f"{order}{4 * count}I", *tables[0], *tables[1]) + body


def _write_wheel(folder: Path, members: dict[str, bytes], name: str = "sample", version: str = "1.0") -> Wheel:
    """A wheel that pip accepts, holding ``members``; returns its pin."""
    file = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(file, "w") as archive:
        for member, data in members.items():
            archive.writestr(member, data)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return Wheel(name, version, sha256_file(file))


@pytest.fixture(scope="session")
def mo_bytes() -> Callable[..., bytes]:
    """Makes compiled catalogues."""
    return _mo_bytes


@pytest.fixture(scope="session")
def write_wheel() -> Callable[..., Wheel]:
    """Makes wheels."""
    return _write_wheel


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes for its only index; the cache is empty and apart."""
    folder = tmp_path / "index"
    folder.mkdir()
    for key, value in {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(folder), "PIP_CONFIG_FILE": "/dev/null"}.items():
        monkeypatch.setenv(key, value)
    monkeypatch.setenv("HYPEROFA_CACHE", str(tmp_path / "cache"))
    return folder
