"""Cross-entropy of which some rows learn, against torch's own."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from hyperofa.init.refine import scores
from hyperofa.init.refine.scores import cross_entropies


@pytest.mark.parametrize("softcap", [None, 1.5])
@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize("positions", [1, 4, 100])
def test_loss_and_gradients_are_those_of_torch(monkeypatch, softcap, with_bias, positions):
    monkeypatch.setattr(scores, "_CHUNK_BYTES", 4 * 9 * positions)
    torch.manual_seed(0)
    hidden, table = torch.randn(11, 5, requires_grad=True), torch.randn(9, 5)
    ids, targets = torch.tensor([2, 3, 7]), torch.randint(0, 9, (11,))
    bias = torch.randn(9) if with_bias else None
    learned = table[ids].clone().requires_grad_(True)
    found = cross_entropies(hidden, table, learned, ids, targets, bias=bias, softcap=softcap)
    (3 * found).backward()
    mine = hidden.grad, learned.grad
    hidden.grad = None
    other = learned.detach().clone().requires_grad_(True)
    logits = functional.linear(hidden, table.index_copy(0, ids, other), bias)
    logits = logits if softcap is None else softcap * torch.tanh(logits / softcap)
    expected = functional.cross_entropy(logits, targets, reduction="sum")
    (3 * expected).backward()
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(mine, (hidden.grad, other.grad))


def test_in_bfloat16_it_is_near():
    torch.manual_seed(0)
    hidden, table, targets = torch.randn(40, 16), torch.randn(50, 16), torch.randint(0, 50, (40,))
    none = torch.zeros(0, 16), torch.zeros(0, dtype=torch.long)
    exact = cross_entropies(hidden, table, *none, targets)
    found = cross_entropies(hidden.bfloat16(), table.bfloat16(), *none, targets)
    assert found.dtype == torch.float32
    assert float(found) == pytest.approx(float(exact), rel=0.01)


def test_no_positions_are_no_loss():
    hidden = torch.zeros(0, 4, requires_grad=True)
    table, none = torch.randn(5, 4), torch.zeros(0, dtype=torch.long)
    total = cross_entropies(hidden, table, table[none], none, none)
    total.backward()
    assert float(total.detach()) == 0
