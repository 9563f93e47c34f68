"""HyperOFA: write the embeddings of a larger vocabulary, then continue pre-training, sharded."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("hyperofa")
except PackageNotFoundError:  # run from a source tree that is not installed
    __version__ = "0.0.0"
