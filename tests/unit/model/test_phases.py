"""Which parameters learn in which phase."""

from __future__ import annotations

import pytest
import torch

from hyperofa.errors import InputError
from hyperofa.model import parameter_groups
from hyperofa.model.phases import freeze, frozen_parts, part_of

from .conftest import SIZE, made


def test_groups_hold_every_parameter_once(family_name, rank, target_tokenizer):
    model = made(family_name, target_tokenizer, rank)
    groups = {group["name"]: group for group in parameter_groups(model, weight_decay=0.1)}
    found = [id(parameter) for group in groups.values() for parameter in group["params"]]
    assert sorted(found) == sorted({id(parameter) for parameter in model.parameters()})
    decay = {"embeddings": 0.0, "primitives": 0.0, "head": 0.1, "head_no_decay": 0.0, "body": 0.1, "body_no_decay": 0.0}
    absent = set() if rank else {"primitives"}
    absent |= {name for name in decay if name.startswith("head") and name not in groups}  # decoders have no such layers
    assert {name: group["weight_decay"] for name, group in groups.items()} == {
        name: value for name, value in decay.items() if name not in absent
    }
    assert all(parameter.dim() == 1 for parameter in groups["body_no_decay"]["params"])
    assert "head" in groups or model.objective == "causal"
    expected = {"coordinates"} if rank else {"weight"}
    names = {
        key.rpartition(".")[2]
        for key, p in model.named_parameters()
        if id(p) in map(id, groups["embeddings"]["params"])
    }
    assert names - {"bias"} == expected


def test_a_frozen_part_has_no_gradients_and_no_group(target_tokenizer, batch):
    model = made("bert", target_tokenizer, 5)
    freeze(model, {"body", "primitives"})
    names = {group["name"] for group in parameter_groups(model, weight_decay=0.1)}
    assert names == {"embeddings", "head", "head_no_decay"}
    model(**batch).loss_sum.backward()
    learned = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert not any("encoder" in name or "primitives" in name for name in learned)
    assert any("coordinates" in name for name in learned)


def test_phases_name_what_stands_still():
    assert frozen_parts("all") == frozenset()
    assert frozen_parts("head") == {"embeddings", "primitives", "body"}
    assert frozen_parts("all_but_old_rows") == frozenset()
    assert frozen_parts("embeddings") == frozen_parts("new_rows") == {"head", "body"}
    assert part_of("body_no_decay") == "body"


def gradients(model, batch):
    model.zero_grad()
    model(**batch).loss_sum.backward()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize(("tied", "frozen", "cut"), [(True, True, True), (True, False, False), (False, True, False)])
def test_a_head_alone_needs_no_graph_below_it(target_tokenizer, batch, tied, frozen, cut):
    model = made("bert", target_tokenizer, 5, tied=tied)
    if frozen:
        freeze(model, {"body", "primitives"})
    everything = gradients(model, batch)
    model.set_phase("head")
    alone = gradients(model, batch)
    assert alone.keys() == everything.keys()
    same = {name for name in alone if alone[name].equal(everything[name])}
    assert any("transform" in name for name in same)
    different = {name for name in alone if name not in same}
    assert bool(different) == cut
    assert all("coordinates" in name for name in different), "the input side of a tied row has no gradient"
    model.set_phase("all")
    assert all(grad.equal(everything[name]) for name, grad in gradients(model, batch).items())


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("phase", ["new_rows", "all_but_old_rows"])
def test_old_rows_stay(family_name, tied, rank, phase, target_tokenizer, batch):
    model = made(family_name, target_tokenizer, rank, tied=tied)
    new = torch.zeros(SIZE, dtype=torch.uint8)
    new[30:] = 1
    model.set_phase(phase, new)
    parts = {"embeddings", "primitives"}
    groups = [group for group in parameter_groups(model, weight_decay=0.1) if group["name"] in parts]
    before = {key: value.clone() for key, value in model.state_dict().items()}
    optimizer = torch.optim.AdamW(groups, lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        model(**batch).loss_sum.backward()
        optimizer.step()
    changed = {key for key, value in model.state_dict().items() if not torch.equal(value, before[key])}
    factor = "coordinates" if rank else "weight"
    assert any(key.endswith(factor) for key in changed)
    assert not any(key.endswith("primitives") for key in changed)
    for key in changed:
        value = model.state_dict()[key]
        assert value.shape[0] == SIZE
        assert torch.equal(value[:30], before[key][:30])
        assert not torch.equal(value[30:], before[key][30:])

    model.set_phase("all")
    optimizer.zero_grad()
    model(**batch).loss_sum.backward()
    assert all(parameter.grad[:30].any() for group in groups for parameter in group["params"])


def test_a_phase_needs_the_right_rows(target_tokenizer):
    model = made("bert", target_tokenizer, 5)
    with pytest.raises(InputError, match="did you mean 'new_rows'"):
        model.set_phase("new_row")
    for phase in ("new_rows", "all_but_old_rows"):
        with pytest.raises(InputError, match=f"{phase} needs the provenance"):
            model.set_phase(phase)
    with pytest.raises(InputError, match="7 rows, the vocabulary 64"):
        model.set_phase("new_rows", torch.ones(7))
