"""Adapters in the body: what learns, that nothing changes at the start, and that merging gives the plain model."""

from __future__ import annotations

import builtins
import copy

import pytest
import torch
from torch.func import functional_call

from hyperofa.errors import HyperofaError, InputError
from hyperofa.model import parameter_groups
from hyperofa.model.adapter import add_adapter
from hyperofa.model.families import input_embedding
from hyperofa.model.phases import part_of

from .conftest import adapted, made, sentence_model

pytest.importorskip("peft")


def losses(model, batch):
    return model(**batch).row_loss_sums


def test_nothing_changes_at_the_start(family_name, target_tokenizer, batch):
    model = made(family_name, target_tokenizer, 5)
    before = losses(model, batch)
    state = {name: tensor.clone() for name, tensor in model.pretrained.state_dict().items()}
    model.adapter = add_adapter(model, rank=3, alpha=6.0)
    assert losses(model, batch).equal(before)
    merged = model.plain_state(model.state_dict())
    assert merged.keys() == state.keys()
    assert all(merged[name].equal(state[name]) for name in state)


def test_rows_head_and_adapters_learn_and_the_body_stands_still(family_name, rank, target_tokenizer, batch):
    model = made(family_name, target_tokenizer, rank)
    whole = {part_of(group["name"]): 0 for group in parameter_groups(model, weight_decay=0.1)}
    model.adapter = add_adapter(model, rank=3, alpha=6.0)
    groups = {group["name"]: group for group in parameter_groups(model, weight_decay=0.1)}
    assert {part_of(name) for name in groups} == set(whole)
    assert "body_no_decay" not in groups
    body = set(map(id, groups["body"]["params"]))
    assert {("lora_" in name) for name, p in model.named_parameters() if id(p) in body} == {True}
    model(**batch).loss_sum.backward()
    learned = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert learned == {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert all(parameter.grad is not None for parameter in input_embedding(model.pretrained).parameters(recurse=False))
    assert not any("base_layer" in name for name in learned)


def test_merged_weights_give_the_same_losses_under_the_plain_names(family_name, rank, target_tokenizer, batch):
    model = adapted(family_name, target_tokenizer, rank)
    wanted, plain = losses(model, batch), made(family_name, target_tokenizer, rank)
    merged = model.plain_state(model.state_dict())
    assert merged.keys() == plain.pretrained.state_dict().keys()
    assert not losses(plain, batch).allclose(wanted, rtol=1e-3)
    plain.pretrained.load_state_dict(merged)
    torch.testing.assert_close(losses(plain, batch), wanted, rtol=1e-5, atol=1e-5)
    model.adapter.remove(model.pretrained)
    state = model.pretrained.state_dict()
    assert state.keys() == merged.keys()
    assert all(state[name].equal(merged[name]) for name in state)
    torch.testing.assert_close(losses(model, batch), wanted, rtol=1e-5, atol=1e-5)


def test_sentences_are_learned_through_adapters_as_in_plain_torch(target_tokenizer, rank, pairs):
    model = sentence_model(target_tokenizer, rank)
    plain = copy.deepcopy(model)
    model.adapter = add_adapter(model, rank=3, alpha=6.0)
    learning = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    factors = {name: p.detach().clone().requires_grad_() for name, p in learning.items() if "lora_" in name}
    theirs = dict(plain.named_parameters())
    rows = [parameter for name, parameter in theirs.items() if name in learning]
    assert len(rows) == len(learning) - len(factors) == (1 if rank is None else 2)

    def matrices():
        layers = (name.removesuffix(".lora_A.default.weight") for name in factors if "lora_A" in name)
        pairs = {layer: (f"{layer}.lora_B.default.weight", f"{layer}.lora_A.default.weight") for layer in layers}
        return {
            f"{layer}.weight": theirs[f"{layer}.weight"].detach() + 2.0 * factors[up] @ factors[down]
            for layer, (up, down) in pairs.items()
        }

    ours, reference = (
        torch.optim.AdamW(parameters, lr=1e-2, eps=1e-6, weight_decay=0.0)
        for parameters in (learning.values(), [*factors.values(), *rows])
    )
    found = []
    for _ in range(5):
        losses = model(**pairs).loss_sum, functional_call(plain, matrices(), kwargs=pairs).loss_sum
        torch.testing.assert_close(*losses, rtol=1e-5, atol=1e-5)
        found.append(float(losses[0].detach()))
        for loss, optimizer in zip(losses, (ours, reference), strict=True):
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    assert found[-1] < found[0] - 0.1
    merged = model.plain_state(model.state_dict())
    for name, matrix in matrices().items():
        torch.testing.assert_close(merged[name.removeprefix("pretrained.")], matrix, rtol=1e-4, atol=1e-4)
        assert not matrix.allclose(theirs[name], rtol=1e-3)


def test_a_sixteen_bit_matrix_is_rounded_once(target_tokenizer):
    model = adapted("llama", target_tokenizer)
    exact = model.plain_state(model.state_dict())
    rounded = model.plain_state({name: tensor.bfloat16() for name, tensor in model.state_dict().items()})
    name = "model.layers.0.self_attn.q_proj.weight"
    assert rounded[name].dtype == torch.bfloat16
    torch.testing.assert_close(rounded[name].float(), exact[name], rtol=1e-2, atol=2e-3)


def test_the_seed_alone_draws_the_adapters(target_tokenizer):
    torch.manual_seed(1)
    first = adapted("bert", target_tokenizer, seed=4)
    torch.manual_seed(2)
    again, other = adapted("bert", target_tokenizer, seed=4), adapted("bert", target_tokenizer, seed=5)
    name = next(name for name, _ in first.named_parameters() if "lora_A" in name)
    one, two, three = (dict(model.named_parameters())[name] for model in (first, again, other))
    assert one.equal(two)
    assert not one.equal(three)
    model = made("bert", target_tokenizer, 5)
    before = torch.get_rng_state()
    add_adapter(model, rank=2, alpha=1.0)
    assert torch.get_rng_state().equal(before)


def test_only_the_layers_that_are_named_get_one(target_tokenizer):
    model = made("llama", target_tokenizer, 5)
    add_adapter(model, rank=2, alpha=1.0, targets=["q_proj", "down_proj"])
    found = {name.split(".lora_")[0].rpartition(".")[2] for name, _ in model.named_parameters() if "lora_" in name}
    assert found == {"q_proj", "down_proj"}
    with pytest.raises(InputError, match=r"adapter\.targets.*q_prj.*did you mean 'q_proj'"):
        add_adapter(made("llama", target_tokenizer, 5), rank=2, alpha=1.0, targets=["q_prj"])


def test_without_peft_one_line_says_what_to_install(target_tokenizer, monkeypatch):
    whole = builtins.__import__

    def refuse(name, *arguments, **options):
        if name == "peft":
            raise ImportError("No module named 'peft'")
        return whole(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(HyperofaError, match=r"adapters need peft .*pip install 'hyperofa\[train\]'"):
        add_adapter(made("llama", target_tokenizer, 5), rank=2, alpha=1.0)
