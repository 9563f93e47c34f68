"""``ofa-ridge``: its parts, its lengths, and what it leaves out."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from hyperofa.errors import InputError
from hyperofa.init.methods.ofa_ridge import Directions, OfaRidgeSettings, ofa_ridge


def test_rows_are_the_weighted_sum_of_the_parts_at_the_length_of_source_rows(problem):
    settings = OfaRidgeSettings(ofa_weight=2.0, ridge_weight=0.25, broad_ridge_weight=0.75)
    found = ofa_ridge(dataclasses.replace(problem, settings=settings))
    parts = Directions(problem, settings)
    offsets = found - parts.centre
    total = 2.0 * parts.nearest() + 0.25 * parts.narrow_ridge() + 0.75 * parts.broad_ridge()
    wanted = np.linalg.norm(parts.rows - parts.centre, axis=1).mean()
    np.testing.assert_allclose(np.linalg.norm(offsets, axis=1), wanted, rtol=1e-4)
    cosines = (offsets * total).sum(1) / np.linalg.norm(offsets, axis=1) / np.linalg.norm(total, axis=1)
    np.testing.assert_allclose(cosines, 1, atol=1e-5)


def test_nothing_to_sum_is_refused():
    with pytest.raises(InputError, match="all three weights are 0"):
        OfaRidgeSettings(ofa_weight=0, ridge_weight=0, broad_ridge_weight=0)


def test_the_default_leaves_out_what_the_source_does_not_know(problem):
    """A language that only offsets its vectors, and source tokens seen only in it, change nothing near the known ones."""
    settings = OfaRidgeSettings(broad_ridge_weight=0)
    languages = np.arange(50) % 2
    offset = problem.vectors + 5 * languages[:, None].astype(np.float32)
    plain = dataclasses.replace(problem, settings=settings, languages=languages)
    moved = dataclasses.replace(plain, vectors=offset)
    bare = dataclasses.replace(moved, languages=None)
    same, other = (np.abs(ofa_ridge(p) - ofa_ridge(plain)).mean() for p in (moved, bare))
    assert same < other
