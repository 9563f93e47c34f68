"""Committed checkpoints: a folder with a manifest of every file's size and SHA-256, found, verified, committed, pruned.

A checkpoint is written to ``step_N.tmp``; every rank hashes and syncs the files it wrote; rank 0 writes
``manifest.json`` last and renames the folder. So a folder named ``step_N`` with a manifest is whole, whatever was
killed when, and nothing of it is unpickled before its hashes have been compared.
"""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hyperofa.config import build_config, to_plain
from hyperofa.errors import HyperofaError, InputError
from hyperofa.files import inside, read_json, sha256_file, write_json

MANIFEST = "manifest.json"
SHARDS = "shards"
"""The folder inside a checkpoint that holds what DeepSpeed wrote."""
FORMAT = 1
_STEP = re.compile(r"step_(\d{8})")


@dataclass(frozen=True)
class FileEntry:
    """Size in bytes and SHA-256 of one file."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What a checkpoint is and which files make it up (paths relative to its folder)."""

    format: int
    run_id: str
    step: int
    world_size: int
    zero_stage: int
    precision: str
    data_fingerprint: str
    norms: dict[str, float]
    """Euclidean norms over all ranks of the weights and the optimizer's moments, compared after loading."""
    files: dict[str, FileEntry]
    universal: bool = False
    """Whether it holds the unsharded state (:mod:`hyperofa.train.whole`), which any world size and stage can load."""
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(entry.size for entry in self.files.values())


def step_folder(run: Path, step: int) -> Path:
    """The folder of the checkpoint taken after ``step`` optimizer steps."""
    return run / f"step_{step:08d}"


def step_of(folder: Path) -> int:
    """The step in a checkpoint folder's name."""
    match = _STEP.fullmatch(folder.name)
    if match is None:
        raise InputError("not the name of a checkpoint (step_00001000)", where=folder)
    return int(match[1])


def committed(run: Path) -> list[Path]:
    """The committed checkpoints of a run, newest first."""
    if not run.is_dir():
        return []
    folders = [path for path in run.iterdir() if _STEP.fullmatch(path.name) and (path / MANIFEST).is_file()]
    return sorted(folders, reverse=True)


def uncommitted(run: Path) -> list[Path]:
    """Step folders that have no manifest: their manifest was removed, since a torn save keeps the name ``.tmp``."""
    if not run.is_dir():
        return []
    return sorted(path for path in run.iterdir() if _STEP.fullmatch(path.name) and not (path / MANIFEST).is_file())


def read_manifest(folder: Path) -> Manifest:
    """Read and check a manifest.

    Raises:
        DataMissingError: there is none.
        InputError: it is damaged, of another format, or names a file outside its folder.
    """
    path = folder / MANIFEST
    value = read_json(path)
    if not isinstance(value, dict):
        raise InputError("not a manifest", where=path)
    if value.get("format") != FORMAT:
        raise InputError(f"manifest format {value.get('format')!r} is not {FORMAT}", where=path)
    manifest = build_config(Manifest, value, path)
    for name in manifest.files:
        inside(folder, name)
    return manifest


def verify(folder: Path, run_id: str | None = None, *, rank: int = 0, world_size: int = 1) -> str | None:
    """Compare a checkpoint with its manifest; returns what is wrong in a few words, or None.

    The files are shared out over ``world_size`` ranks, so that a large checkpoint is read once; the ranks exchange
    their answers. The sizes of all files are compared by every rank.
    """
    try:
        manifest = read_manifest(folder)
    except HyperofaError as error:
        return str(error)
    if run_id is not None and manifest.run_id != run_id:
        return f"its manifest is from another run ({manifest.run_id}, not {run_id})"
    if manifest.step != step_of(folder):
        return f"its manifest is of step {manifest.step}"
    for name, entry in manifest.files.items():
        path = folder / name
        if not path.is_file():
            return f"{name} is missing"
        if path.stat().st_size != entry.size:
            return f"{name} has {path.stat().st_size} bytes, not {entry.size}"
    for name in sorted(manifest.files)[rank::world_size]:
        if sha256_file(folder / name) != manifest.files[name].sha256:
            return f"{name} does not match its SHA-256"
    return None


def hash_and_sync(folder: Path, names: Iterable[str]) -> dict[str, FileEntry]:
    """Force files onto the disk and describe them (each rank does this for the files it wrote)."""
    entries: dict[str, FileEntry] = {}
    for name in names:
        path = folder / name
        with path.open("rb") as handle:
            os.fsync(handle.fileno())
        entries[name] = FileEntry(path.stat().st_size, sha256_file(path))
    return entries


def files_below(folder: Path) -> list[str]:
    """Relative names of all files below a checkpoint folder but its manifest, sorted."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    return sorted(name for path in paths if (name := path.relative_to(folder).as_posix()) != MANIFEST)


def commit(temporary: Path, final: Path, manifest: Manifest) -> None:
    """Write the manifest, then give the folder its name: from here on the checkpoint exists (rank 0 only).

    Raises:
        HyperofaError: a file in the folder is in no rank's list, so nobody vouches for it.
    """
    _seal(temporary, manifest)
    if final.exists():  # not committed, or resume would have started from it or set it aside
        set_aside(final)
    temporary.rename(final)
    _sync_folder(final.parent)


def replace(temporary: Path, final: Path, manifest: Manifest) -> None:
    """Like :func:`commit`, in place of a committed checkpoint of the same step, which is removed last."""
    _seal(temporary, manifest)
    old = set_aside(final)
    temporary.rename(final)
    _sync_folder(final.parent)
    shutil.rmtree(old)


def _seal(folder: Path, manifest: Manifest) -> None:
    strays = set(files_below(folder)) - set(manifest.files)
    if strays:
        raise HyperofaError(f"files that no rank listed: {', '.join(sorted(strays))}", where=folder)
    write_json(folder / MANIFEST, to_plain(manifest))
    for part in [folder, *(path for path in folder.rglob("*") if path.is_dir())]:
        _sync_folder(part)


def set_aside(folder: Path) -> Path:
    """Rename a checkpoint that cannot be used, so that it is neither counted nor overwritten, and can be looked at."""
    for number in range(1000):
        target = folder.with_name(f"{folder.name}.skipped{number or ''}")
        if not target.exists():
            return folder.rename(target)
    raise HyperofaError("a thousand skipped checkpoints of this step", where=folder, todo="remove them")


def prune(run: Path, keep: int) -> list[Path]:
    """Remove all but the newest ``keep`` committed checkpoints; returns what was removed."""
    removed = committed(run)[keep:]
    for folder in removed:
        (folder / MANIFEST).unlink()  # first, so that an interrupted removal leaves no checkpoint
        shutil.rmtree(folder, ignore_errors=True)
    return removed


def remove_torn(run: Path) -> None:
    """Remove what saves that never ended left behind."""
    for folder in run.glob("step_*.tmp"):
        shutil.rmtree(folder, ignore_errors=True)


def describe(folder: Path) -> dict[str, Any]:
    """One row about a committed checkpoint, for people and ``--json``."""
    manifest = read_manifest(folder)
    row = {item.name: getattr(manifest, item.name) for item in dataclasses.fields(manifest) if item.name != "files"}
    return {"folder": folder.name, **row, "n_files": len(manifest.files), "bytes": manifest.size}


def only_folder(run: Path, step: int | None) -> Path:
    """The checkpoint of ``step``, or the newest one, of a run.

    Raises:
        InputError: there is none; the line says which steps there are.
    """
    folders = committed(run)
    if step is None and folders:
        return folders[0]
    for folder in folders:
        if step_of(folder) == step:
            return folder
    there: Sequence[int] = [step_of(folder) for folder in folders]
    what = "no committed checkpoint" if step is None else f"no committed checkpoint of step {step}"
    raise InputError(what, where=run, todo=f"there are: {there}" if there else "train first")


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
