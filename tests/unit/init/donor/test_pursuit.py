"""Orthogonal matching pursuit against a slow reference, and its shorter passes."""

from __future__ import annotations

import numpy as np
import pytest

from hyperofa.init.donor.pursuit import pursue


@pytest.fixture(autouse=True)
def float32_products(monkeypatch):
    monkeypatch.setattr("hyperofa.base.device.multiplies_bfloat16", lambda device: False)


def reference(target, atoms, k):
    """One atom at a time, by its inner product with the rest; weights by least squares."""
    chosen, left, weights = [], target, np.zeros(0)
    for _ in range(k):
        scores = np.abs(atoms @ left)
        scores[chosen] = -1
        chosen.append(int(scores.argmax()))
        weights = np.linalg.lstsq(atoms[chosen].T, target, rcond=None)[0]
        left = target - weights @ atoms[chosen]
    return chosen, weights


def made(targets, atoms, k, **settings):
    blocks = list(pursue(targets, atoms, k, **settings))
    assert [block.start for block, _, _ in blocks] == [0, *(block.stop for block, _, _ in blocks[:-1])]
    return (np.concatenate([part[i] for part in blocks]) for i in (1, 2))


def test_it_chooses_and_weighs_as_the_reference(monkeypatch):
    monkeypatch.setattr("hyperofa.init.donor.pursuit._BUDGET", 1 << 14)  # several blocks
    rng = np.random.default_rng(0)
    atoms = (rng.normal(size=(60, 12)) * rng.uniform(0.1, 5, (60, 1))).astype(np.float32)
    targets = rng.normal(size=(40, 12)).astype(np.float32)
    chosen, weights = made(targets, atoms, 5)
    assert chosen.shape == weights.shape == (40, 5)
    for i, target in enumerate(targets):
        wanted, by = reference(target.astype(np.float64), atoms.astype(np.float64), 5)
        assert chosen[i].tolist() == wanted
        np.testing.assert_allclose(weights[i], by, rtol=2e-3, atol=2e-4)


def test_passes_of_several_atoms_choose_by_cosine():
    """The long atom has the larger inner product, the short one the direction."""
    atoms = np.array([[9, 9, 0], [1, 0, 0], [0, 0, 1]], dtype=np.float32)
    target = np.array([[2, 0, 0]], dtype=np.float32)
    for growth, first in ((0.0, 0), (1.0, 1)):
        chosen, _ = made(target, atoms, 1, growth=growth)
        assert chosen.tolist() == [[first]]


def test_a_sparse_combination_is_found_again_whatever_the_growth():
    rng = np.random.default_rng(1)
    atoms = rng.normal(size=(200, 64)).astype(np.float32)
    targets = np.stack([2 * atoms[3] - atoms[70], 0.5 * atoms[9] + atoms[11]])
    for growth in (0.0, 1.0):
        chosen, weights = made(targets, atoms, 8, growth=growth)
        found = np.zeros((2, 200))
        np.put_along_axis(found, chosen, weights, axis=1)
        np.testing.assert_allclose(found @ atoms, targets, atol=1e-3)
        np.testing.assert_allclose([found[0, 3], found[0, 70], found[1, 9], found[1, 11]], [2, -1, 0.5, 1], atol=1e-2)


def test_more_atoms_than_there_are_and_equal_ones_are_no_harm():
    atoms = np.array([[1, 0, 0], [1, 0, 0], [0, 2, 0]], dtype=np.float32)
    chosen, weights = made(np.array([[3, 4, 0], [0, 0, 0]], dtype=np.float32), atoms, 64, growth=1.0)
    assert chosen.shape == (2, 3)
    np.testing.assert_allclose(weights[0] @ atoms[chosen[0]], [3, 4, 0], atol=1e-3)
    np.testing.assert_allclose(weights[1], 0, atol=1e-6)
