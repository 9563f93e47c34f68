"""Paths as recipes name them: patterns spelled out, and shortened as one would type them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hyperofa.errors import DataMissingError

VECTOR_FILES = (".wv", ".vec", ".bin", ".txt", ".gz", ".xz")


def expand(patterns: Sequence[str]) -> list[Path]:
    """The paths of patterns, each pattern's sorted; a name without ``*`` stays as it is, there or not.

    Raises:
        DataMissingError: a pattern matches nothing.
    """
    found: list[Path] = []
    for pattern in patterns:
        if "*" not in pattern or "$" in pattern:
            found.append(Path(pattern))
            continue
        fixed = Path(*[part for part in Path(pattern).parts if "*" not in part][: _first_star(pattern)])
        matched = sorted(fixed.glob(str(Path(pattern).relative_to(fixed))))
        if not matched:
            raise DataMissingError("no file matches", where=pattern)
        found += matched
    return found


def _first_star(pattern: str) -> int:
    return next(index for index, part in enumerate(Path(pattern).parts) if "*" in part)


def is_vector_file(name: str) -> bool:
    """Whether a name means a file of word vectors to import, and not a store."""
    return not Path(name).is_dir() and Path(name).suffix in VECTOR_FILES


def shown(path: Path) -> Path:
    """``path`` as one would type it here: relative if it lies below the current folder."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_absolute() and path.is_relative_to(here) else path
