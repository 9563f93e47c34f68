"""Names that a user types for a model or tokenizer: a directory, or a hub id."""

from __future__ import annotations

from pathlib import Path


def only_a_path(name: str) -> bool:
    """Whether a name that is no directory is no hub id either: written as a path, a file, or in a folder that is there.

    A mistyped directory is then told at once, and not asked for at the hub for minutes.
    """
    first, slash, _ = name.partition("/")
    written = name.startswith((".", "/", "~")) or name.count("/") > 1
    return written or Path(name).is_file() or (bool(slash) and Path(first).is_dir())
