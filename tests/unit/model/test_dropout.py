"""Stateless dropout: its rate, and that masks depend on the sequence's key and the layer alone."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hyperofa.errors import InputError
from hyperofa.model import TrainingModel
from hyperofa.model.dropout import StatelessDropout, make_stateless

from .conftest import small_source


def dropped(keys: list[int], *, rate: float = 0.1, layer: int = 0, shape: tuple[int, ...] = (64, 48)) -> torch.Tensor:
    dropout = StatelessDropout(rate, layer)
    dropout.keys = torch.tensor(keys)
    return dropout(torch.ones(len(keys), *shape))


def test_the_rate_and_the_scale():
    out = dropped(list(range(1, 200)), rate=0.25)
    assert (out == 0).float().mean().item() == pytest.approx(0.25, abs=0.002)
    assert out.unique().tolist() == [0.0, pytest.approx(1 / 0.75)]
    per_position = (out == 0).float().mean(0)
    assert per_position.min() > 0.1
    assert per_position.max() < 0.42


def test_a_mask_depends_on_its_own_key_and_layer_only():
    together = dropped([5, 6, 7])
    for row, key in enumerate([5, 6, 7]):
        assert torch.equal(together[row], dropped([key])[0])
    assert not torch.equal(dropped([5]), dropped([6]))
    assert not torch.equal(dropped([5]), dropped([5], layer=1))


def test_masks_of_different_keys_are_independent():
    masks = (dropped(list(range(1000, 1100)), rate=0.5).flatten(1) == 0).float()
    correlation = torch.corrcoef(masks)
    correlation.fill_diagonal_(0)
    assert correlation.abs().max() < 5 / masks.shape[1] ** 0.5


def test_nothing_is_dropped_in_evaluation():
    dropout = StatelessDropout(0.5, 0).eval()
    values = torch.randn(2, 3)
    assert torch.equal(dropout(values), values)


def test_keys_are_needed():
    with pytest.raises(ValueError, match="dropout_keys"):
        StatelessDropout(0.5, 0)(torch.ones(1, 2))


def test_every_dropout_layer_is_replaced_and_attention_keeps_its_probabilities(family_name):
    model = small_source(family_name)
    made = make_stateless(model, 0.2)
    assert len({dropout.layer for dropout in made}) == len(made)
    assert all(dropout.rate == 0.2 for dropout in made)
    assert not any(isinstance(module, nn.Dropout) and module.p for module in model.modules())
    assert not any(getattr(module, "attention_dropout", 0.0) for module in model.modules())
    if family_name in {"bert", "roberta", "gpt2"}:
        assert made


def test_no_rate_keeps_the_configs():
    assert {dropout.rate for dropout in make_stateless(small_source("bert"), None)} == {0.1}
    assert make_stateless(small_source("bert"), 0.0) == []


def test_a_model_that_is_wrapped_again_takes_the_new_rate():
    model = small_source("bert")
    first = make_stateless(model, 0.2)
    assert make_stateless(model, None) == first
    assert make_stateless(model, 0.3) == first
    assert {dropout.rate for dropout in first} == {0.3}
    assert make_stateless(model, 0.0) == []
    assert {dropout.rate for dropout in first} == {0.0}


def test_a_rate_that_is_none_is_refused():
    with pytest.raises(InputError, match=r"1\.0 is not in"):
        make_stateless(small_source("bert"), 1.0)


def test_the_loss_of_a_sequence_does_not_depend_on_its_micro_batch():
    model = TrainingModel(small_source("bert"), dropout=0.3).train()
    ids = torch.randint(5, 40, (4, 12), generator=torch.Generator().manual_seed(0))
    keys = torch.tensor([3, 1, 4, 159])
    together = model(input_ids=ids, labels=ids, dropout_keys=keys).row_loss_sums
    alone = [model(input_ids=ids[i : i + 1], labels=ids[i : i + 1], dropout_keys=keys[i : i + 1]) for i in range(4)]
    torch.testing.assert_close(together, torch.cat([out.row_loss_sums for out in alone]))
    other = model(input_ids=ids, labels=ids, dropout_keys=keys + 1).row_loss_sums
    assert ((other - together).abs() > 1e-3).all()


@pytest.mark.parametrize("key", [0, 1, 2**31, 2**40 + 5, -3])
def test_masks_are_the_32_bit_hash(key: int) -> None:
    """int32 arithmetic that wraps must give what integers without a width give."""

    def mix(value: int) -> int:
        value &= 0xFFFFFFFF
        value = (value ^ value >> 16) * 0x7FEB352D & 0xFFFFFFFF
        value = (value ^ value >> 15) * 0x846CA68B & 0xFFFFFFFF
        return value ^ value >> 16

    layer = StatelessDropout(0.3, layer=5).train()
    layer.keys = torch.tensor([key])
    kept = layer(torch.ones(1, 400))[0] != 0
    row = mix(key ^ (5 * 0x7FEB352D & 0xFFFFFFFF))
    assert kept.tolist() == [mix(row ^ index) >= int(0.3 * 2**32) for index in range(400)]
