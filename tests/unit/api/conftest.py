"""The tiny source model, target tokenizer and word vectors of the initialisation's tests."""

from __future__ import annotations

from tests.unit.init.conftest import rooms

__all__ = ["rooms"]
