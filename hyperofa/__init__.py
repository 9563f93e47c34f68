"""HyperOFA: write the embeddings of a larger vocabulary, then continue pre-training, sharded."""

from __future__ import annotations

__version__ = "0.1.0"
