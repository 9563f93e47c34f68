"""A hub's cache with models in it, as huggingface_hub lays one out, and no hub to be reached."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def use_cache(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    """Let huggingface_hub work offline, with ``cache`` alone."""
    from huggingface_hub import constants

    cache.mkdir(exist_ok=True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


def put_in_cache(cache: Path, name: str, source: Path, commit: str = COMMIT) -> Path:
    """Copy a model directory into the cache under a hub id; returns the snapshot's folder."""
    folder = cache / f"models--{name.replace('/', '--')}"
    snapshot = folder / "snapshots" / commit
    shutil.copytree(source, snapshot)
    (folder / "refs").mkdir(exist_ok=True)
    (folder / "refs" / "main").write_text(commit)
    return snapshot
