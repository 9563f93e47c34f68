"""The LSTM over sets of unequal sizes gives torch's own states and gradients."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence
from torch.utils._python_dispatch import TorchDispatchMode

from hyperofa.init.hypernet import recurrence
from hyperofa.init.hypernet.recurrence import final_states


def by_torch(lstm, words, lengths):
    """What the module documents as its reference: torch's LSTM over packed sequences."""
    packed = pack_padded_sequence(words, lengths, batch_first=True, enforce_sorted=False)
    _, (state, _) = lstm(packed)
    return torch.cat([state[-2], state[-1]], dim=-1)


def gradients(function, lstm, words, lengths, weights):
    words = words.clone().requires_grad_()
    states = function(lstm, words, lengths)
    return states.detach(), torch.autograd.grad((states.float() * weights).sum(), [words, *lstm.parameters()])


@settings(max_examples=25, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=7),
    layers=st.integers(1, 3),
    seed=st.integers(0, 1000),
)
def test_states_and_gradients_are_those_of_torch(lengths, layers, seed):
    torch.manual_seed(seed)
    lstm = nn.LSTM(5, 4, layers, batch_first=True, bidirectional=True)
    words, weights = torch.randn(len(lengths), max(lengths), 5), torch.randn(len(lengths), 8)
    ours, ours_grad = gradients(final_states, lstm, words, torch.tensor(lengths), weights)
    theirs, theirs_grad = gradients(by_torch, lstm, words, torch.tensor(lengths), weights)
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)
    for a, b in zip(ours_grad, theirs_grad, strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-5)


def test_in_bfloat16_it_is_as_close_to_float32_as_torch():
    torch.manual_seed(0)
    lstm = nn.LSTM(20, 32, 2, batch_first=True, bidirectional=True)
    lengths = torch.randint(1, 30, (16,))
    words, weights = torch.randn(16, 30, 20)[:, : int(lengths.max())], torch.randn(16, 64)
    _, exact = gradients(by_torch, lstm, words, lengths, weights)

    def low(function):
        def run(*given):
            with torch.autocast("cpu", torch.bfloat16):
                return function(*given)

        _, found = gradients(run, lstm, words, lengths, weights)
        return max(float((a - b).norm() / b.norm()) for a, b in zip(found, exact, strict=True))

    assert low(final_states) < 1.1 * low(by_torch)
    assert low(final_states) < 0.02


def test_dropout_lies_between_the_layers_and_only_in_training():
    torch.manual_seed(0)
    lstm = nn.LSTM(5, 64, 2, batch_first=True, bidirectional=True, dropout=0.5)
    words, lengths = torch.randn(3, 4, 5), torch.tensor([4, 2, 1])
    assert not torch.equal(final_states(lstm, words, lengths), final_states(lstm, words, lengths))
    lstm.eval()
    torch.testing.assert_close(final_states(lstm, words, lengths), by_torch(lstm, words, lengths))


def test_it_works_without_gradients():
    lstm = nn.LSTM(5, 4, batch_first=True, bidirectional=True)
    with torch.inference_mode():
        assert final_states(lstm, torch.randn(2, 3, 5), torch.tensor([3, 1])).shape == (2, 8)
    with pytest.raises(RuntimeError):
        final_states(lstm, torch.randn(2, 3, 5), torch.tensor([3, 0]))


@pytest.mark.parametrize("seed", range(4))
def test_rows_that_fill_no_chunk_or_more_than_one_change_nothing(seed, monkeypatch):
    monkeypatch.setattr(recurrence, "_CHUNK", 8)
    monkeypatch.setattr(recurrence, "_REST", 4)
    torch.manual_seed(seed)
    lstm = nn.LSTM(5, 4, 2, batch_first=True, bidirectional=True)
    lengths = torch.randint(1, 9, (5 + 7 * seed,))
    words, weights = torch.randn(len(lengths), int(lengths.max()), 5), torch.randn(len(lengths), 8)
    ours = gradients(final_states, lstm, words, lengths, weights)
    theirs = gradients(by_torch, lstm, words, lengths, weights)
    for a, b in zip([ours[0], *ours[1]], [theirs[0], *theirs[1]], strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


class Products(TorchDispatchMode):
    """Notes the shapes of all matrix products."""

    def __init__(self):
        super().__init__()
        self.shapes = set()

    def __torch_dispatch__(self, function, types, arguments=(), named=None):
        if function in (torch.ops.aten.mm.default, torch.ops.aten.addmm.default):
            self.shapes.add((function, *(tuple(value.shape) for value in arguments)))
        return function(*arguments, **(named or {}))


def test_products_have_few_shapes():
    """A library that keeps memory for each shape would fill the machine: batches and steps all have numbers of their own."""
    torch.manual_seed(0)
    lstm = nn.LSTM(5, 4, batch_first=True, bidirectional=True)
    with Products() as seen:
        for _ in range(40):
            lengths = torch.randint(1, 40, (64,))
            words = torch.randn(64, int(lengths.max()), 5, requires_grad=True)
            final_states(lstm, words, lengths).sum().backward()
    steps = 2 * 64 // 16  # out and back
    over_all_steps = 4 * 2048 // 256
    assert 0 < len(seen.shapes) <= steps + over_all_steps
