"""The model types of factorised models; a leaf, since ``import hyperofa`` needs it and must stay light."""

from __future__ import annotations

PREFIX = "hyperofa_"
"""Stands before the model type of the plain family (``hyperofa_bert``)."""
