"""Refinement: new rows learn, through the frozen body, to give states that the source model gives; no other row moves."""

from __future__ import annotations

from hyperofa.init.refine.body import Body
from hyperofa.init.refine.distill import Distill
from hyperofa.init.refine.learn import Objective, refine
from hyperofa.init.refine.learned_rows import LearnedRows, Start
from hyperofa.init.refine.settings import KINDS, RefineConfig
from hyperofa.init.refine.translations import Parallel

__all__ = ["KINDS", "Body", "Distill", "LearnedRows", "Objective", "Parallel", "RefineConfig", "Start", "refine"]
