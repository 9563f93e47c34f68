"""A bidirectional LSTM over sets of unequal sizes on the CPU: torch's own weights and numbers, worked out by whole steps.

torch hands sequences of equal length to oneDNN. Where lengths differ it goes step by step through autograd, which adds up a
gradient of every weight in every step; here each weight's gradient is worked out at the end (``benchmarks/init/init_speed.py``).

oneDNN, which multiplies in bfloat16, prepares each shape that it meets and keeps up to a thousand of them with their scratch
memory. Numbers of rows here are all different, so they are rounded up: with each shape as it came, a fit of the paper's
network grew to 20 GB, and half the time of its steps went into preparing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

_STEP = 16
"""Rows of a step's product are a multiple of it (a matrix tile's height)."""

_CHUNK, _REST = 2048, 256
"""Rows of a product over all steps, at a time; what is left over is rounded up to a multiple of the second."""


def final_states(lstm: nn.LSTM, words: Tensor, lengths: Tensor) -> Tensor:
    """The last layer's final hidden states of both directions (B, 2h), as ``lstm`` gives them for packed sequences.

    Args:
        lstm: Bidirectional, batch first, with biases and without projections; its dropout acts between layers in training.
        words: (B, K, d) padded sequences.
        lengths: (B,) at least 1, on any device.
    """
    packed = pack_padded_sequence(words, lengths.cpu(), batch_first=True, enforce_sorted=False)
    if words.device.type != "cpu":
        _, (state, _) = lstm(packed)
        return torch.cat([state[-2], state[-1]], dim=-1)
    plan = _Plan(packed)
    states = packed.data
    for layer in range(lstm.num_layers):
        if layer:
            states = functional.dropout(states, lstm.dropout, lstm.training)
        both = [_run(lstm, f"l{layer}{suffix}", states, plan, backwards=bool(suffix)) for suffix in ("", "_reverse")]
        states = torch.cat(both, dim=-1)
    width = lstm.hidden_size
    last = torch.cat([states[plan.ends, :width], states[: len(plan.ends), width:]], dim=-1)
    assert packed.unsorted_indices is not None
    return last[packed.unsorted_indices]


def _run(lstm: nn.LSTM, name: str, states: Tensor, plan: _Plan, *, backwards: bool) -> Tensor:
    weights = [getattr(lstm, f"{part}_{name}") for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
    hidden: Tensor = _Direction.apply(states, weights[0], weights[1], weights[2] + weights[3], plan, backwards)
    return hidden


class _Plan:
    """Where the packed rows (N) lie: step t holds the first ``sizes[t]`` sequences, from row ``starts[t]`` on.

    Attributes:
        ends: (B,) int64, the row of each sequence's last step.
        earlier: For both directions (N,) int64, the row of the step that was read before; 0 where there is none.
        first: For both directions (N, 1) bool, whether there is none.
    """

    def __init__(self, packed: PackedSequence) -> None:
        self.sizes: list[int] = packed.batch_sizes.tolist()
        starts = torch.cumsum(packed.batch_sizes, 0) - packed.batch_sizes
        self.starts: list[int] = starts.tolist()
        step = torch.repeat_interleave(torch.arange(len(self.sizes)), packed.batch_sizes)
        sequence = torch.arange(len(step)) - starts[step]
        lengths = torch.bincount(sequence)
        self.ends = starts[lengths - 1] + torch.arange(len(lengths))
        first = (step == 0, step == lengths[sequence] - 1)
        self.earlier = (
            torch.where(first[0], 0, starts[step - 1] + sequence),
            torch.where(first[1], 0, starts[(step + 1) % len(starts)] + sequence),
        )
        self.first = (first[0][:, None], first[1][:, None])

    def steps(self, backwards: bool) -> list[tuple[slice, int]]:
        """The rows and their number, in the order in which a direction reads them."""
        rows = [(slice(start, start + size), size) for start, size in zip(self.starts, self.sizes, strict=True)]
        return rows[::-1] if backwards else rows


class _Direction(torch.autograd.Function):
    """One direction of one layer: rows (N, d) to hidden states (N, h). Products in autocast's precision, the rest in float32."""

    @staticmethod
    def forward(
        ctx: Any, rows: Tensor, inward: Tensor, around: Tensor, bias: Tensor, plan: _Plan, backwards: bool
    ) -> Tensor:
        """``inward`` (4h, d), ``around`` (4h, h), ``bias`` (4h,): input, forget, cell and output gates, in torch's order."""
        kind = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else torch.float32
        width = around.shape[1]
        rows, inward, onward = rows.to(kind), inward.to(kind), around.to(kind)
        gates = _through(rows, inward, bias.to(kind))
        cells, hidden = gates.new_empty(len(rows), width), gates.new_empty(len(rows), width)
        state = gates.new_zeros(_up(plan.sizes[0], _STEP), width, dtype=kind)
        cell = gates.new_zeros(plan.sizes[0], width)
        for here, size in plan.steps(backwards):
            gate = gates[here]
            gate += functional.linear(state[: _up(size, _STEP)], onward)[:size]
            gate[:, : 2 * width].sigmoid_()
            gate[:, 2 * width : 3 * width].tanh_()
            gate[:, 3 * width :].sigmoid_()
            enter, keep, new, out = gate.chunk(4, dim=1)
            torch.mul(keep, cell[:size], out=cells[here]).addcmul_(enter, new)
            torch.tanh(cells[here], out=hidden[here]).mul_(out)
            cell[:size], state[:size] = cells[here], hidden[here]
        ctx.save_for_backward(rows, inward, around, gates, cells, hidden)
        ctx.plan, ctx.backwards, ctx.kind = plan, backwards, kind
        return hidden

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of rows, both weights and the bias; each weight's is worked out over all steps at once."""
        rows, inward, around, gates, cells, hidden = ctx.saved_tensors
        plan, kind, width = ctx.plan, ctx.kind, hidden.shape[1]
        earlier, first = plan.earlier[ctx.backwards], plan.first[ctx.backwards]
        before = cells[earlier].masked_fill_(first, 0.0)
        back, inward_back = around.to(kind).T.contiguous(), inward.T.contiguous()
        sigmoid_backward, tanh_backward = torch.ops.aten.sigmoid_backward, torch.ops.aten.tanh_backward
        d_gates = torch.empty_like(gates)
        d_gate = gates.new_zeros(_up(plan.sizes[0], _STEP), 4 * width, dtype=kind)
        d_state, d_cell = gates.new_zeros(plan.sizes[0], width), gates.new_zeros(plan.sizes[0], width)
        for here, size in reversed(plan.steps(ctx.backwards)):
            enter, keep, new, out = gates[here].chunk(4, dim=1)
            d_hidden = d_state[:size] + gradients[0][here]
            open_cell = torch.tanh(cells[here])
            d_here = d_cell[:size] + tanh_backward(d_hidden * out, open_cell)
            into = d_gates[here].chunk(4, dim=1)
            into[0].copy_(sigmoid_backward(d_here * new, enter))
            into[1].copy_(sigmoid_backward(d_here * before[here], keep))
            into[2].copy_(tanh_backward(d_here * enter, new))
            into[3].copy_(sigmoid_backward(d_hidden * open_cell, out))
            d_cell[:size] = d_here * keep
            d_gate[:size] = d_gates[here]
            d_state[:size] = functional.linear(d_gate[: _up(size, _STEP)], back)[:size]
        low = d_gates.to(kind)
        d_around = _outer(low, hidden.to(kind)[earlier].masked_fill_(first, 0.0))
        d_rows = _through(low, inward_back) if ctx.needs_input_grad[0] else None
        return d_rows, _outer(low, rows), d_around, d_gates.sum(0), None, None


def _up(size: int, multiple: int) -> int:
    return -(-size // multiple) * multiple


def _chunks(*all_rows: Tensor) -> Iterator[tuple[slice, list[Tensor]]]:
    """Where each chunk's rows lie, and the rows; the last chunk's have zeros below them."""
    for start in range(0, len(all_rows[0]), _CHUNK):
        parts = [rows[start : start + _CHUNK] for rows in all_rows]
        here = slice(start, start + len(parts[0]))
        missing = _up(len(parts[0]), _REST) - len(parts[0])
        yield here, [functional.pad(part, (0, 0, 0, missing)) if missing else part for part in parts]


def _through(rows: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``functional.linear`` (N, p) in float32."""
    product = rows.new_empty(len(rows), len(weight), dtype=torch.float32)
    for here, (chunk,) in _chunks(rows):
        product[here] = functional.linear(chunk, weight, bias)[: here.stop - here.start]
    return product


def _outer(left: Tensor, right: Tensor) -> Tensor:
    """``left.T @ right`` (p, q) of (N, p) and (N, q), added up in float32."""
    product = left.new_zeros(left.shape[1], right.shape[1], dtype=torch.float32)
    for _, (a, b) in _chunks(left, right):
        product += a.T @ b
    return product
