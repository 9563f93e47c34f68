"""The losses of hypernetworks, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from hyperofa.init.hypernet.losses import contrastive, direction_loss, normalised_l1, paper_loss


def test_contrastive_loss_by_hand():
    rng = np.random.default_rng(0)
    p, t = rng.normal(size=(4, 3)), rng.normal(size=(4, 3))
    expected = 0.0
    for i in range(4):
        cosines = [p[i] @ t[j] / np.linalg.norm(p[i]) / np.linalg.norm(t[j]) / 0.25 for j in range(4)]
        expected -= (cosines[i] - math.log(sum(math.exp(c) for c in cosines))) / 4
    assert float(contrastive(torch.tensor(p), torch.tensor(t), 0.25)) == pytest.approx(expected)


def test_normalised_l1_and_their_sum_by_hand():
    p, t = torch.tensor([[1.0, 2.0], [0.0, -1.0]]), torch.tensor([[2.0, 2.0], [-2.0, -2.0]])
    assert float(normalised_l1(p, t)) == pytest.approx((1 + 0 + 2 + 1) / 8)
    both = 0.1 * float(contrastive(p, t, 0.5)) + 0.9 * 0.5
    assert float(paper_loss(p, t, weight=0.1, temperature=0.5)) == pytest.approx(both)


def test_direction_loss_is_blind_to_length():
    p, t = torch.randn(6, 4), torch.randn(6, 4)
    one, ten = (float(direction_loss(scale * p, t, weight=0.3, temperature=0.2)) for scale in (1, 10))
    assert one == pytest.approx(ten, rel=1e-5)
