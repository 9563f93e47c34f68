"""Names of model types, phases and parts; a leaf, since ``import hyperofa`` and ``--help`` need it and must stay light."""

from __future__ import annotations

from typing import Literal, get_args

Phase = Literal["all", "all_but_old_rows", "embeddings", "new_rows", "head"]
OLD_ROWS_STAY: tuple[Phase, ...] = ("all_but_old_rows", "new_rows")
"""Phases that need to know which rows are new: those of the source keep every bit."""

TiedGradient = Literal["both", "input"]
Part = Literal["embeddings", "primitives", "head", "body"]
PARTS: tuple[Part, ...] = get_args(Part)
"""The parts that can have learning rates of their own; their parameter groups are called so, or ``<part>_no_decay``."""
RatedPart = Literal["embeddings", "old_rows", "primitives", "head", "body"]
"""What a rate can be given to: a part, or those of the embeddings that are rows of the source."""

PREFIX = "hyperofa_"
"""Stands before the model type of the plain family (``hyperofa_bert``)."""
