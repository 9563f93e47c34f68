"""Refinement: new rows learn, through the frozen body, to give states that the source model gives; no other row moves."""

from __future__ import annotations

from hyperofa.init.refine.body import Body
from hyperofa.init.refine.config import KINDS, RefineConfig
from hyperofa.init.refine.distill import Distill
from hyperofa.init.refine.learn import Objective, refine
from hyperofa.init.refine.parallel import Parallel
from hyperofa.init.refine.rows import LearnedRows, Start

__all__ = ["KINDS", "Body", "Distill", "LearnedRows", "Objective", "Parallel", "RefineConfig", "Start", "refine"]
