"""Whole directories: their files are as readable as any other new file, whatever wrote them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from hyperofa.base.files import new_directory


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_files_have_the_mode_of_other_new_files(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        with new_directory(tmp_path / "out", "done.json") as folder:
            (folder / "done.json").write_text("{}")
            (folder / "inner").mkdir()
            save_file({"a": torch.zeros(2)}, folder / "inner" / "model.safetensors")
            (folder / "run.sh").touch(0o700)
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert modes == {"done.json": mode, "model.safetensors": mode, "run.sh": mode | 0o100}
