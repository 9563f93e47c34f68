"""Texts and paths as recipes hold them: changed wherever they stand, patterns spelled out, shortened as one would type them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from hyperofa.errors import DataMissingError

VECTOR_FILES = (".wv", ".vec", ".bin", ".txt", ".gz", ".xz")


def in_all_texts(value: Any, change: Callable[[str], str]) -> Any:
    """``value`` with every text in it changed, however deep it stands in mappings and lists; keys stay."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {key: in_all_texts(item, change) for key, item in value.items()}
    return [in_all_texts(item, change) for item in value] if isinstance(value, list | tuple) else value


def texts_in(value: Any) -> Iterator[str]:
    """Every text in ``value``, however deep it stands in mappings and lists; keys are left out."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list | tuple):
        for item in value.values() if isinstance(value, dict) else value:
            yield from texts_in(item)


def expand(patterns: Sequence[str]) -> list[Path]:
    """The paths of patterns, each pattern's sorted; a name without ``*`` stays as it is, there or not.

    Raises:
        DataMissingError: a pattern matches nothing.
    """
    paths: list[Path] = []
    for pattern in patterns:
        if "*" not in pattern or "$" in pattern:
            paths.append(Path(pattern))
            continue
        fixed = Path(*itertools.takewhile(lambda part: "*" not in part, Path(pattern).parts))
        matched = sorted(fixed.glob(str(Path(pattern).relative_to(fixed))))
        if not matched:
            raise DataMissingError("no file matches", where=pattern)
        paths += matched
    return paths


def is_vector_file(name: str) -> bool:
    """Whether a name means a file of word vectors to import, and not a store."""
    return not Path(name).is_dir() and Path(name).suffix in VECTOR_FILES


def shown(path: Path) -> Path:
    """``path`` as one would type it here: relative if it lies below the current folder."""
    folder = Path.cwd()
    return path.relative_to(folder) if path.is_absolute() and path.is_relative_to(folder) else path
