"""Committed checkpoints: a folder with a manifest of every file's size and SHA-256, found, verified, committed, pruned.

A checkpoint is written to ``step_N.tmp``; every rank hashes and syncs the files it wrote; rank 0 writes
``manifest.json`` last and renames the folder. So a folder named ``step_N`` with a manifest is whole, whatever was
killed when, and nothing of it is unpickled before its hashes have been compared. So is a ``step_N.tmp`` with a manifest, to
which the next start gives its name.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hyperofa.base.files import inside
from hyperofa.errors import HyperofaError, InputError
from hyperofa_eval.base.files import read_json, sha256_file, write_json
from hyperofa_eval.settings.config import build_config, to_plain

MANIFEST = "manifest.json"
SHARDS = "shards"
"""The folder inside a checkpoint that holds what DeepSpeed wrote."""
UNSHARDED_INDEX = "whole.json"
"""What :mod:`hyperofa.train.checkpoint.unsharded` calls the index of an unsharded state."""
FORMAT = 1
NORMS = ("weights", "exp_avg", "exp_avg_sq")
"""What the norms in a manifest are of: the float32 weights and AdamW's two moments."""
_STEP = re.compile(r"step_\d{8}")
_OPTIMIZER_SHARD = re.compile(rf"{SHARDS}/(?:bf16_)?zero_pp_rank_(\d+)_mp_rank_\d+_optim_states\.pt")
_MODEL_SHARD = re.compile(rf"{SHARDS}/[^/]*model_states\.pt")
_RANK_FILE = re.compile(r"zero_pp_rank_(\d+)_mp_rank_")
_UNSHARDED_FILE = re.compile(r"whole-\d+\.safetensors")


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
    parameter_norms: dict[str, tuple[float, float, float]] = field(default_factory=dict)
    """The same for each parameter by its name, in the order of :data:`NORMS`: two that were swapped leave the sums alone."""
    universal: bool = False
    """Whether it holds the unsharded state, which any world size and stage can load (:mod:`.unsharded`)."""
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(entry.size for entry in self.files.values())


def step_folder(run: Path, step: int) -> Path:
    """The folder of the checkpoint taken after ``step`` optimizer steps."""
    return run / f"step_{step:08d}"


def step_of(folder: Path) -> int:
    """The step in the name of a checkpoint's folder."""
    return int(folder.name.removeprefix("step_"))


def committed(run: Path) -> list[Path]:
    """The committed checkpoints of a run, newest first."""
    return [folder for folder in _step_folders(run) if (folder / MANIFEST).is_file()]


def uncommitted(run: Path) -> list[Path]:
    """Step folders that have no manifest: their manifest was removed, since a torn save keeps the name ``.tmp``."""
    return [folder for folder in _step_folders(run) if not (folder / MANIFEST).is_file()]


def _step_folders(run: Path) -> list[Path]:
    return sorted((path for path in run.glob("step_*") if _STEP.fullmatch(path.name)), reverse=True)


def read_manifest(folder: Path) -> Manifest:
    """Read and check a manifest.

    Raises:
        DataMissingError: there is none.
        InputError: it is damaged, of another format, names a file outside its folder, or lacks files or norms without
            which nothing could be loaded and compared.
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
    if problem := _incomplete(manifest):
        raise InputError(problem, where=path)
    return manifest


def _incomplete(manifest: Manifest) -> str | None:
    """What a manifest lacks, whatever is in its folder: an empty one would vouch for anything."""
    if set(manifest.norms) != set(NORMS):
        return f"its norms are of {', '.join(sorted(manifest.norms)) or 'nothing'}, not of {', '.join(NORMS)}"
    if manifest.universal:
        complete = UNSHARDED_INDEX in manifest.files and any(map(_UNSHARDED_FILE.fullmatch, manifest.files))
        return None if complete else f"it lists no {UNSHARDED_INDEX} with its safetensors files"
    ranks = sorted(int(match[1]) for match in map(_OPTIMIZER_SHARD.fullmatch, manifest.files) if match)
    if ranks != list(range(manifest.world_size)) or not ranks:
        return f"it lists optimizer shards of {len(ranks)} ranks, not of {manifest.world_size}"
    return None if any(map(_MODEL_SHARD.fullmatch, manifest.files)) else "it lists no model shard"


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
    strays = sorted(set(files_below(folder)) - set(manifest.files))
    if strays:  # DeepSpeed loads what it finds by pattern
        return f"{strays[0]} is not in its manifest{f', nor are {len(strays) - 1} more' if len(strays) > 1 else ''}"
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
    """Relative names of all files below a checkpoint folder but its manifest, sorted.

    NFS keeps a removed file that is still open as ``.nfs…``; nothing loads those.
    """
    paths = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".nfs"))
    return sorted(name for path in paths if (name := path.relative_to(folder).as_posix()) != MANIFEST)


def files_of_rank(folder: Path, rank: int) -> list[str]:
    """The files below ``folder`` that a rank wrote, relative: those with its number, and for rank 0 those with none."""
    mine: list[str] = []
    for path in sorted(folder.rglob("*")):
        match = _RANK_FILE.search(path.name)
        if path.is_file() and (int(match[1]) if match else 0) == rank:
            mine.append(path.relative_to(folder).as_posix())
    return mine


def commit(temporary: Path, final: Path, manifest: Manifest, *, replaces: bool = False) -> None:
    """Write the manifest, then give the folder its name: from here on the checkpoint exists (rank 0 only).

    A folder of that name is set aside: it is not committed, or resume would have started from it. With ``replaces`` it is the
    committed checkpoint of the same step, and is removed last.

    Raises:
        HyperofaError: a file in the folder is in no rank's list, so nobody vouches for it.
    """
    strays = set(files_below(temporary)) - set(manifest.files)
    if strays:
        raise HyperofaError(f"files that no rank listed: {', '.join(sorted(strays))}", where=temporary)
    write_json(temporary / MANIFEST, to_plain(manifest))
    for part in [temporary, *(path for path in temporary.rglob("*") if path.is_dir())]:
        _sync_folder(part)
    old = set_aside(final) if final.exists() else None
    try:
        temporary.rename(final)
    except BaseException:
        if old is not None:
            old.rename(final)
        raise
    _sync_folder(final.parent)
    if replaces and old is not None:
        shutil.rmtree(old)


def finish_renames(run: Path) -> None:
    """Give each whole checkpoint whose commit or removal was killed its name back, unless that is taken (rank 0 only)."""
    for temporary in run.glob("step_*.tmp"):
        final = temporary.with_suffix("")
        if _STEP.fullmatch(final.name) and (temporary / MANIFEST).is_file() and not final.exists():
            temporary.rename(final)
            _sync_folder(run)


def set_aside(folder: Path) -> Path:
    """Rename a checkpoint that cannot be used, so that it is neither counted nor overwritten, and can be looked at."""
    for number in range(1000):
        target = folder.with_name(f"{folder.name}.skipped{number or ''}")
        if not target.exists():
            return folder.rename(target)
    raise HyperofaError("a thousand skipped checkpoints of this step", where=folder, todo="remove them")


def prune(run: Path, keep: int) -> None:
    """Remove all but the newest ``keep`` committed checkpoints.

    Each takes the name of a torn save before its manifest goes: whatever a kill leaves, the next start removes it, or gives
    a whole checkpoint its name back.
    """
    for folder in committed(run)[keep:]:
        torn = folder.rename(folder.with_name(f"{folder.name}.tmp"))
        (torn / MANIFEST).unlink()
        shutil.rmtree(torn, ignore_errors=True)


def describe(folder: Path) -> dict[str, Any]:
    """One row about a committed checkpoint, for people and ``--json``; ``problem`` says what is wrong with its manifest."""
    try:
        manifest = read_manifest(folder)
    except HyperofaError as error:
        return {"folder": folder.name, "step": step_of(folder), "problem": str(error)}
    row = {name: value for name, value in vars(manifest).items() if name not in {"files", "parameter_norms"}}
    return {"folder": folder.name, **row, "n_files": len(manifest.files), "bytes": manifest.size, "problem": None}


def select_folder(run: Path, step: int | None) -> Path:
    """The checkpoint of ``step``, or the newest one, of a run.

    Raises:
        InputError: there is none; the line says which steps there are.
    """
    by_step = {step_of(folder): folder for folder in committed(run)}
    chosen = next(iter(by_step), None) if step is None else step
    if chosen in by_step:
        return by_step[chosen]
    what = "no committed checkpoint" if step is None else f"no committed checkpoint of step {step}"
    raise InputError(what, where=run, todo=f"there are: {list(by_step)}" if by_step else "train first")


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
