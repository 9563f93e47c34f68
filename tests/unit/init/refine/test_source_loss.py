"""The frozen source model's loss with other rows for some tokens: nothing for the true ones, the model's own, with a gradient."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from hyperofa.data.given_text import GivenText, PartedText, part_text
from hyperofa.data.parallel import ParallelText
from hyperofa.init.refine.body import Body
from hyperofa.init.refine.source_loss import SourceLoss

from .conftest import CPU, TEXT, decoder


def made(parts, source=None, given=None, primitives=None, tokenizer=None):
    source = source or parts.source
    body = Body(source, None, CPU, bf16=False)
    found = SourceLoss(given or parts.given, tokenizer or parts.tokenizers[0], body, source, primitives, 0)
    everything = np.ones(len(source.input_embeddings), dtype=bool)
    assert found.begin(everything, everything)
    return found


def rows_of(source):
    return lambda ids: source.input_embeddings[torch.from_numpy(ids)].float()


def test_an_encoder_loses_nothing_by_its_own_rows_and_more_by_wronger_ones(parts):
    model, true = made(parts), rows_of(parts.source)
    every = np.ones(len(parts.source.input_embeddings), dtype=bool)
    with model.at_work():
        losses = [model.held_out(every, lambda ids, by=by: true(ids) * (1 - by)) for by in (0.0, 0.2, 0.6)]
    assert losses[0] == pytest.approx(0, abs=1e-6)
    assert losses[0] + 1e-3 < losses[1] < losses[2]


@pytest.mark.parametrize("tied", [True, False])
def test_a_decoder_s_loss_is_of_the_next_token_with_other_rows_in_its_head_too(parts, tied):
    tokenizer = parts.tokenizers[0]
    source = decoder(len(tokenizer), tied=tied)
    model = made(parts, source)
    lines = model.batch(0)
    ids = np.unique(np.concatenate(lines))[1::2]
    new = torch.randn(len(ids), 16, generator=torch.Generator().manual_seed(1)) * 0.1
    with model.at_work():
        found = float(model.loss(lines, ids, new))
        again = float(model.loss(lines, ids[:0], new[:0]))
    table = source.model.get_input_embeddings().weight.detach().clone()
    head = source.model.lm_head.weight.detach().clone()
    for expected in (again, found):
        total, count = 0.0, 0
        for line in map(torch.from_numpy, lines):
            with torch.no_grad():
                states = source.model.base_model(inputs_embeds=table[line][None]).last_hidden_state[0, :-1]
                total += float(functional.cross_entropy(states @ head.T, line[1:], reduction="sum"))
            count += len(line) - 1
        assert expected == pytest.approx(total / count, rel=1e-5)
        table[torch.from_numpy(ids)] = new
        head = table if tied else head


def test_held_out_tokens_that_a_line_lacks_are_scored_under_a_tied_head_alone(parts):
    tokenizer = parts.tokenizers[0]
    losses = {}
    for tied in (True, False):
        source = decoder(len(tokenizer), tied=tied)
        model = made(parts, source)
        absent = np.ones(len(source.input_embeddings), dtype=bool)
        absent[np.concatenate([row for lines in model._held for row in lines])] = False
        assert absent.any()
        true = rows_of(source)
        with model.at_work():
            by = [model.held_out(absent, lambda ids, by=by, true=true: true(ids) + by) for by in (0.0, 0.5)]
        losses[tied] = by[1] - by[0]
    assert abs(losses[True]) > 1e-4
    assert losses[False] == 0


@pytest.mark.parametrize("causal", [True, False])
def test_the_gradient_is_that_of_finite_differences(parts, causal):
    tokenizer = parts.tokenizers[0]
    source = decoder(len(tokenizer)) if causal else parts.source
    model = made(parts, source)
    lines = model.batch(1)
    ids = np.unique(np.concatenate(lines))[1::2]
    rng = torch.Generator().manual_seed(2)
    rows = rows_of(source)(ids)
    rows = (rows + 0.1 * torch.randn(rows.shape, generator=rng)).requires_grad_()
    along = torch.randn(rows.shape, generator=rng)
    with model.at_work():
        model.loss(lines, ids, rows).backward()
        with torch.no_grad():
            low, high = (float(model.loss(lines, ids, rows + step * along)) for step in (-3e-3, 3e-3))
    assert float((rows.grad * along).sum()) == pytest.approx((high - low) / 6e-3, rel=0.02)
    assert all(p.grad is None for p in source.model.parameters())


def test_with_primitives_rows_are_coordinates(parts):
    rng = np.random.default_rng(0)
    primitives = rng.normal(size=(3, 16)).astype(np.float32)
    plain, factors = made(parts), made(parts, primitives=primitives)
    lines = plain.batch(0)
    ids = np.unique(np.concatenate(lines))[1::2]
    coordinates = torch.from_numpy(rng.normal(size=(len(ids), 3)).astype(np.float32))
    with plain.at_work(), factors.at_work():
        whole = float(plain.loss(lines, ids, coordinates @ torch.from_numpy(primitives)))
        assert float(factors.loss(lines, ids, coordinates)) == pytest.approx(whole, rel=1e-5)


def test_there_is_nothing_to_learn_from_where_the_text_holds_none_of_the_tokens(parts):
    body, source = parts.body(), parts.source
    model = SourceLoss(parts.given, parts.tokenizers[0], body, source, None, 0)
    every = np.ones(len(source.input_embeddings), dtype=bool)
    assert not model.begin(~every, every)
    assert not model.begin(every, ~every)
    nothing = SourceLoss(PartedText(), parts.tokenizers[0], body, source, None, 0)
    assert not nothing.begin(every, every)


def test_it_knows_which_tokens_the_text_holds(parts):
    model, tokenizer = made(parts), parts.tokenizers[0]
    found = model.holds(tokenizer, len(tokenizer))
    expected = set()
    for lines in parts.given.learn.all_lines().values():
        for line in lines:
            expected |= set(tokenizer(line)["input_ids"])
    assert set(np.flatnonzero(found)) == expected


def test_the_lines_of_a_step_do_not_depend_on_the_order_of_languages(parts):
    backwards = part_text(GivenText({}, ParallelText(dict(reversed(TEXT.texts.items())), TEXT.n_sentences)), 0)
    for ours, theirs in zip(made(parts).batch(3), made(parts, given=backwards).batch(3), strict=True):
        np.testing.assert_array_equal(ours, theirs)
