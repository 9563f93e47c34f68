"""Directories that are never half-written, paths that stay in their folder, and the record of what made an output."""

from __future__ import annotations

import fcntl
import glob
import hashlib
import os
import shutil
import socket
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from hyperofa.errors import DataMissingError, InputError
from hyperofa_eval.base.files import sha256_file
from hyperofa_eval.base.files import versions as installed_versions

VERSIONED = (
    "hyperofa", "hyperofa-eval", "torch", "transformers", "tokenizers", "accelerate", "deepspeed", "datasets", "numpy", "scipy",
)  # fmt: skip


def sha256_tree(path: Path) -> str:
    """SHA-256 over a file, or over the names and contents of all files below a folder (sorted, hidden ones skipped)."""
    if path.is_file():
        return sha256_file(path)
    digest = hashlib.sha256()
    for file in sorted(p for p in path.rglob("*") if p.is_file() and not p.name.startswith(".")):
        digest.update(f"{file.relative_to(path).as_posix()}\0{sha256_file(file)}\n".encode())
    return digest.hexdigest()


@contextmanager
def new_directory(out: Path, marker: str) -> Iterator[Path]:
    """Yield a temporary sibling folder that becomes ``out`` when the block ends without an error.

    ``marker`` is the file (such as ``init.json``) that says what the folder is; the block must write it. An existing
    ``out`` is replaced only if it is empty or holds that marker, so nothing of another kind is ever lost. Where an earlier
    process was killed while it put its result in place, the one before is brought back first.

    Raises:
        InputError: ``out`` is a file, or a folder that holds something else or cannot be replaced.
    """
    check_output(out, marker)
    out = out.resolve()  # behind a link, the folder that it names is replaced
    out.parent.mkdir(parents=True, exist_ok=True)
    _bring_back(out, marker)
    here = Path.cwd() == out
    temporary, claim = _temporary(out)
    temporary.chmod(0o755)
    try:
        yield temporary
        if not (temporary / marker).is_file():
            raise RuntimeError(f"{out}: the block wrote no {marker}")
        as_readable_as_others(temporary)
        if out.exists():
            retired = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}.old-")) / out.name
            out.rename(retired)
            temporary.rename(out)
            if here:
                os.chdir(out)
            shutil.rmtree(retired.parent)
        else:
            temporary.rename(out)
    except BaseException:
        _bring_back(out, marker)
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    finally:
        if claim is not None:
            os.close(claim)


def _temporary(out: Path) -> tuple[Path, int | None]:
    """A new folder beside ``out`` and its claim; those of processes of this host that were killed are removed first."""
    prefix = f".{out.name}.tmp-{socket.gethostname()}-"  # another host's locks may not be seen here
    for folder in out.parent.glob(f"{glob.escape(prefix)}*"):
        with suppress(FileNotFoundError, BlockingIOError):
            claim = _claim(folder)
            if claim is not None:
                shutil.rmtree(folder, ignore_errors=True)
                os.close(claim)
    while True:
        folder = Path(tempfile.mkdtemp(dir=out.parent, prefix=prefix))
        with suppress(FileNotFoundError, BlockingIOError):  # another process took it for an abandoned one
            claim = _claim(folder)
            if folder.is_dir():
                return folder, claim


def _claim(folder: Path) -> int | None:
    """Lock a folder until the descriptor is closed or the process ends; None where the file system has no locks."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            raise
        return None
    return descriptor


def _bring_back(out: Path, marker: str) -> None:
    """Where a result was moved out of the way for another that never came, move it back; where it came, remove the old one."""
    for folder in out.parent.glob(f".{glob.escape(out.name)}.old-*"):
        if not out.exists() and (folder / out.name).exists():
            (folder / out.name).rename(out)
        if (out / marker).is_file():
            shutil.rmtree(folder, ignore_errors=True)


def as_readable_as_others(folder: Path) -> None:
    """Give every file below a folder the mode that a new file has here: safetensors makes its own readable by nobody else."""
    probe = folder / ".mode"
    probe.touch()
    mode = probe.stat().st_mode & 0o666
    probe.unlink()
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            path.chmod((path.stat().st_mode & 0o111) | mode)


def temporary_directory(name: str) -> tuple[Path, tempfile.TemporaryDirectory[str]]:
    """A path that does not exist yet, in a temporary folder that is removed when the second value is no longer held."""
    keep = tempfile.TemporaryDirectory(prefix="hyperofa-")
    return Path(keep.name) / name, keep


def check_output(out: Path, marker: str, *, replaced: bool = True) -> None:
    """Refuse an output path that holds something other than an earlier result of the same kind, or cannot be written.

    Call it before any work starts, so that a wrong ``--out`` costs nothing.

    Args:
        out: the path.
        marker: the file that says what the folder is.
        replaced: whether the folder is replaced as a whole (:func:`new_directory`), and not written to.
    """
    try:
        place = out.resolve()
    except (OSError, RuntimeError):  # a loop, which Python 3.11 says so
        raise InputError("the output path is a link that leads to itself", where=out, todo="name another") from None
    above = next(path for path in (place.parent, *place.parent.parents) if path.exists())
    if not above.is_dir():
        raise InputError(f"the output path goes through a file, {above.name}", where=out, todo="name another")
    written = place if place.is_dir() and not replaced else above
    if not os.access(written, os.W_OK | os.X_OK):
        raise InputError(f"{written} must not be written to", where=out, todo="name another directory")
    if replaced and place.is_mount():
        what = "a volume is mounted on the output directory, which cannot be replaced"
        raise InputError(what, where=out, todo="name a directory below it")
    if not out.exists():
        return
    if not out.is_dir():
        raise InputError("the output path is a file", where=out, todo="name a new or empty directory")
    if any(out.iterdir()) and not (out / marker).is_file():
        raise InputError(f"the output directory holds something else (no {marker})", where=out, todo="name a new one")


def inside(folder: Path, name: str) -> Path:
    """``folder / name``, refused if it would lie outside ``folder`` (absolute, ``..``, or through a link)."""
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise InputError(f"the path {name!r} leaves its folder", where=folder)
    return path


def existing_file(path: Path, what: str = "file") -> Path:
    """``path`` if it is a file, else :class:`DataMissingError`."""
    if not path.is_file():
        raise DataMissingError(f"no such {what}", where=path)
    return path


def versions() -> dict[str, str]:
    """The versions of the packages that decide a result, for the JSON beside it."""
    return installed_versions(VERSIONED)


def named_inputs(kind: str, paths: Iterable[Path]) -> dict[str, Path]:
    """Paths by ``kind/NAME`` for :func:`made_by`; the second of one name is ``kind/NAME#2``."""
    inputs_by_name: dict[str, Path] = {}
    for path in paths:
        key = f"{kind}/{path.name}"
        again = sum(other.name == path.name for other in inputs_by_name.values())
        inputs_by_name[f"{key}#{again + 1}" if again else key] = path
    return inputs_by_name


def made_by(command: str, inputs: Mapping[str, Path], settings: Mapping[str, Any]) -> dict[str, Any]:
    """What made an output: command, inputs with hashes (names, not machine paths), settings, versions."""
    return {
        "command": command,
        "inputs": {key: {"name": path.name, "sha256": sha256_tree(path)} for key, path in inputs.items()},
        "settings": dict(settings),
        "versions": versions(),
    }
