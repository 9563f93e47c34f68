"""Files of the harness: which there are, atomic JSON, SHA-256."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from hyperofa_eval.base.errors import DataMissingError, InputError
from hyperofa_eval.text.textfiles import PACKED

VERSIONED = (
    "hyperofa-eval",
    "hyperofa",
    "torch",
    "transformers",
    "tokenizers",
    "accelerate",
    "evaluate",
    "seqeval",
    "numpy",
)


def find(path: Path) -> Path | None:
    """``path`` or the packed ``path.gz`` or ``path.xz``, the first that is a file."""
    named = (path.with_name(path.name + ending) for ending in ("", *PACKED))
    return next((each for each in named if each.is_file()), None)


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
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"not valid JSON ({error})", where=path) from None


def read_manifest(path: Path) -> dict[str, str]:
    """The SHA-256 of files by name that a ``manifest.json`` holds; raises :class:`InputError` where it is none."""
    found = read_json(path)
    files = found.get("files") if isinstance(found, dict) else None
    if not isinstance(files, dict) or not all(isinstance(digest, str) for digest in files.values()):
        raise InputError(
            "not a manifest (no SHA-256 by file)", where=path, todo="delete it: data check --manifest writes one"
        )
    return files


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically: the file is either the old one or the whole new one."""
    write_text(path, json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically (temporary file in the same folder, fsync, rename)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
            handle.write(text)
            handle.flush()
            os.fsync(handle.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def versions() -> dict[str, str]:
    """The versions of the packages that decide a result."""
    found: dict[str, str] = {}
    for name in VERSIONED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
