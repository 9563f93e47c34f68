"""Whole directories: their files are as readable as any other new file, whatever wrote them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from hyperofa.base.files import check_output, new_directory
from hyperofa.errors import InputError


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


def write(out: Path, word: str, *, fail: bool = False) -> None:
    with new_directory(out, "done.json") as folder:
        (folder / "done.json").write_text(word)
        if fail:
            raise RuntimeError(word)


@pytest.mark.parametrize("killed", [True, False], ids=["killed", "interrupted"])
def test_a_result_that_was_moved_away_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed: bool) -> None:
    out = tmp_path / "out"
    write(out, "first")
    renamed: list[Path] = []
    rename = Path.rename

    def fails_second(path: Path, target: Path) -> Path:
        renamed.append(path)
        if len(renamed) == 2 or (killed and len(renamed) > 2):
            raise KeyboardInterrupt
        return rename(path, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", fails_second)
        with pytest.raises(KeyboardInterrupt):
            write(out, "second")
    assert out.exists() is not killed
    with pytest.raises(RuntimeError):
        write(out, "third", fail=True)
    assert (out / "done.json").read_text() == "first"
    assert [path.name for path in tmp_path.iterdir() if ".old-" in path.name] == []
    write(out, "fourth")
    assert (out / "done.json").read_text() == "fourth"


def test_what_cannot_be_replaced_is_refused_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "file").touch()
    (tmp_path / "volume").mkdir()
    monkeypatch.setattr(Path, "is_mount", lambda path: path.name == "volume")
    cases = [
        (tmp_path / "loop", "a link that leads to itself"),
        (tmp_path / "file" / "out", "goes through a file, file"),
        (tmp_path / "file", "the output path is a file"),
        (tmp_path / "volume", "a volume is mounted on the output directory"),
    ]
    for out, said in cases:
        with pytest.raises(InputError, match=said) as caught:
            check_output(out, "done.json")
        assert "\n" not in str(caught.value)
    check_output(tmp_path / "volume", "done.json", replaced=False)
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path)
    with pytest.raises(InputError, match="must not be written to"):
        check_output(tmp_path / "new" / "out", "done.json")
    (tmp_path / "here").mkdir()
    check_output(tmp_path / "here" / "out", "done.json")


def test_the_process_stays_in_a_directory_that_it_replaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for word in ("first", "second"):
        write(Path(), word)
        assert Path("done.json").read_text() == word


def test_folders_of_killed_processes_are_removed_and_those_of_living_ones_stay(tmp_path: Path) -> None:
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom hyperofa.base.files import new_directory\n"
        "with new_directory(Path(sys.argv[1]), 'marker') as folder:\n"
        "    (folder / 'half').write_text('')\n    print(folder, flush=True)\n    time.sleep(60)\n"
    )
    out = tmp_path / "out"
    command = [sys.executable, "-c", code, str(out)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    try:
        folders = [Path(process.stdout.readline().strip()) for process in processes if process.stdout]
        processes[0].kill()
        processes[0].wait()
        with new_directory(out, "marker") as folder:
            assert not folders[0].exists()
            assert (folders[1] / "half").is_file()
            (folder / "marker").write_text("")
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([folders[1].name, "out"])
