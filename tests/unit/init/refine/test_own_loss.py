"""Learning from tokens: the figure is the model's own, for next and for masked tokens, tied or not."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from hyperofa.init.refine.body import Body
from hyperofa.init.refine.learned_rows import LearnedRows
from hyperofa.init.refine.own_loss import HeadFacts, OwnLoss
from hyperofa.init.refine.settings import RefineConfig

from .conftest import CPU, decoder, start_of

CONFIG = RefineConfig(steps=4, batch_size=8, max_length=30).completed("tokens")
NONE = np.zeros(0, dtype=int)


def facts(size, tokenizer, *, causal=True):
    specials = torch.tensor(sorted(tokenizer.all_special_ids))
    return HeadFacts(causal, None, None, torch.ones(size, dtype=torch.bool), specials, tokenizer.mask_token_id)


@pytest.mark.parametrize("tied", [True, False])
def test_the_held_out_figure_is_bits_per_character(parts, tied):
    tokenizer = parts.tokenizers[1]
    source, size = decoder(len(tokenizer), tied=tied), len(tokenizer)
    start = start_of(size, 16, slice(5, 15))
    rows = LearnedRows(start, NONE, sparse=False)
    head = rows if tied else LearnedRows(start_of(size, 16, slice(6, 15)), NONE, sparse=False)
    made = OwnLoss(parts.given, tokenizer, Body(source, None, CPU, bf16=False), CONFIG, 0, facts(size, tokenizer))
    with made._body.frozen():
        found = made.held_out(rows, head)
    means = []
    for lines in parts.given.choose.all_lines().values():
        total = 0.0
        for line in lines:
            ids = torch.tensor([tokenizer(line)["input_ids"]])
            with torch.no_grad():
                states = source.model.base_model(inputs_embeds=rows(ids)).last_hidden_state[0, :-1]
                total += float(functional.cross_entropy(states @ head.start.T, ids[0, 1:], reduction="sum"))
        means.append(total / math.log(2) / sum(map(len, lines)))
    assert found == pytest.approx(float(np.mean(means)), rel=1e-4)


def test_masked_tokens_are_never_specials_and_always_the_same(parts):
    tokenizer, seen = parts.tokenizers[1], []
    rows = LearnedRows(parts.start, NONE, sparse=False)
    made = OwnLoss(parts.given, tokenizer, parts.body(), CONFIG, 0, facts(len(tokenizer), tokenizer, causal=False))
    assert made.unit == "nats a token"
    inner = made._body.scored_states

    def noted(embeddings, mask, wanted):
        seen.append((embeddings.clone(), mask, wanted))
        return inner(embeddings, mask, wanted)

    made._body.scored_states = noted
    with made._body.frozen():
        assert made.held_out(rows, rows) == made.held_out(rows, rows)
    for embeddings, mask, wanted in seen:
        torch.testing.assert_close(
            embeddings[wanted], rows.start[tokenizer.mask_token_id].expand(int(wanted.sum()), -1)
        )
        assert not wanted[:, 0].any()
        assert not (wanted & ~mask.bool()).any()
    assert sum(int(wanted.sum()) for *_, wanted in seen) > 5


def test_the_tied_heads_side_gets_a_gradient(parts):
    """A new token that no batch holds is still scored, and so learns."""
    tokenizer = parts.tokenizers[1]
    size = len(tokenizer)
    start = start_of(size, 16, slice(5, size))
    made = OwnLoss(
        parts.given, tokenizer, Body(decoder(size), None, CPU, bf16=False), CONFIG, 0, facts(size, tokenizer)
    )
    with made._body.frozen():
        rows = LearnedRows(start, made.begin(start.movable), sparse=False)
        made.loss(rows, rows, 0).backward()
    held = np.unique(np.concatenate([made._ids[i] for i in made._draws.batch(0)]))
    absent = np.setdiff1d(np.arange(5, size), held)
    assert len(absent) > 0
    assert (rows.own.grad[1 + absent - 5].abs().sum(dim=1) > 0).all()


def test_targets_may_be_left_out(parts):
    tokenizer = parts.tokenizers[1]
    size = len(tokenizer)
    made = OwnLoss(
        parts.given, tokenizer, Body(decoder(size), None, CPU, bf16=False), CONFIG, 0, facts(size, tokenizer)
    )
    rows = LearnedRows(parts.start, NONE, sparse=False)
    with made._body.frozen():
        whole = made.held_out(rows, rows)
        assert made.scoring_only(torch.zeros(size, dtype=torch.bool)).held_out(rows, rows) == 0
        assert 0 < made.scoring_only(torch.arange(size) < 8).held_out(rows, rows) < whole
        assert made.held_out(rows, rows) == whole
