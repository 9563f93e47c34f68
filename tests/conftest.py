"""What holds for all tests: those that start several processes themselves do not run beside each other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from support.disks import small_file_system

settings.register_profile("untimed", deadline=None)  # how long an example takes is the machine's affair
settings.load_profile("untimed")


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With ``-n 2 --dist loadgroup``, one worker takes all ``distributed`` tests while the other runs the rest."""
    for item in items:
        if item.get_closest_marker("distributed"):
            item.add_marker(pytest.mark.xdist_group("distributed"))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a file system of its own that holds 64 kilobytes."""
    with small_file_system(tmp_path / "small-disk", 64) as mounted:
        if not mounted:
            pytest.skip("needs the right to mount a file system")
        yield tmp_path / "small-disk"
