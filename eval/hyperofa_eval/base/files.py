"""Files that are never half-written, SHA-256, and the versions of packages."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from hyperofa_eval.base.errors import DataMissingError, InputError

MANIFEST = "manifest.json"
_OURS = ("hyperofa-eval", "hyperofa")
VERSIONED = (*_OURS, "torch", "transformers", "tokenizers", "accelerate", "evaluate", "seqeval", "numpy")
"""The packages that decide a score."""


def check_target(path: Path) -> None:
    """Refuse, before any work is done, a folder that could not be written: a file is in its way, or it may not be.

    Raises:
        InputError: the path or one above it is a file, or must not be written to.
    """
    nearest = next(place for place in (path, *path.absolute().parents) if place.exists())
    if not nearest.is_dir():
        what = "the output path is a file" if nearest == path else "a file lies on the way to the folder"
        raise InputError(what, where=nearest, todo="name a directory")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise InputError("must not be written to", where=nearest, todo="name another directory")


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes, as hex."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def sha256_json(value: Any) -> str:
    """SHA-256 of a value's canonical JSON, as hex."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def read_json(path: Path) -> Any:
    """Parse a JSON file; raises :class:`DataMissingError` or :class:`InputError` with its place."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise DataMissingError("no such file", where=path) from None
    except (ValueError, RecursionError) as error:  # also a number of thousands of digits, or brackets without an end
        raise InputError(f"not valid JSON ({error})", where=path) from None


def read_manifest(path: Path) -> dict[str, str]:
    """The SHA-256 of files by name that a ``manifest.json`` holds; raises :class:`InputError` where it is none."""
    manifest = read_json(path)
    files = manifest.get("files") if isinstance(manifest, dict) else None
    if not isinstance(files, dict) or not all(isinstance(digest, str) for digest in files.values()):
        todo = "delete it: data check --manifest writes one"
        raise InputError("not a manifest (no SHA-256 by file)", where=path, todo=todo)
    return files


def write_json(path: Path, value: Any, *, allow_nan: bool = True) -> None:
    """Write JSON atomically: the file is either the old one or the whole new one."""
    write_text(path, json.dumps(value, ensure_ascii=False, indent=2, allow_nan=allow_nan) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text file (UTF-8) atomically; see :func:`write_bytes`."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically (temporary file in the same folder, fsync, rename): the old one or the whole new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as handle:
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def versions(packages: Iterable[str] = VERSIONED) -> dict[str, str]:
    """The versions of those packages that are installed; without a list, of those that decide a score."""
    from importlib.metadata import PackageNotFoundError, version  # slow, and --help needs none

    versions_of: dict[str, str] = {}
    for name in packages:
        with suppress(PackageNotFoundError):
            versions_of[name] = version(name)
    return versions_of
