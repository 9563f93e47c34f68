"""The attention that models learn with on a CPU: it equals torch's, and only bfloat16 that learns gets it."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional
from transformers import LlamaConfig, LlamaForCausalLM

from hyperofa.base import attention
from hyperofa.base.attention import LONGEST, attention_to_learn_with, plain_attention

CPU = torch.device("cpu")


def parts(heads=4, shared=1, dtype=torch.float32, length=7):
    torch.manual_seed(0)
    sizes = [(2, heads, length, 8), (2, heads // shared, length, 8), (2, heads // shared, length, 8)]
    return [torch.randn(size, dtype=dtype).requires_grad_() for size in sizes]


def masks():
    seen = torch.rand(2, 1, 7, 7, generator=torch.Generator().manual_seed(1)) < 0.6
    seen |= torch.eye(7, dtype=torch.bool)
    added = torch.zeros(2, 1, 7, 7).masked_fill(~seen, float("-inf"))
    return {"none": {}, "bool": {"attn_mask": seen}, "added": {"attn_mask": added}, "causal": {"is_causal": True}}


@pytest.mark.parametrize("name", ["none", "bool", "added", "causal"])
@pytest.mark.parametrize(("shared", "scale"), [(1, None), (2, 0.3)])
def test_outputs_and_gradients_equal_torch_s(name, shared, scale):
    found = []
    for attend in (plain_attention, functional.scaled_dot_product_attention):
        q, k, v = parts(shared=shared)
        out = attend(q, k, v, scale=scale, enable_gqa=shared > 1, **masks()[name])
        out.square().sum().backward()
        found.append((out, q.grad, k.grad, v.grad))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_a_row_that_sees_nothing_is_the_mean_of_all_values():
    q, k, v = parts()
    out = plain_attention(q, k, v, torch.full((7, 7), float("-inf")))
    torch.testing.assert_close(out, v.mean(2, keepdim=True).expand_as(out))


def test_a_decoder_that_learns_in_bfloat16_gets_it_and_its_gradients_are_near_float32_s(monkeypatch):
    calls = []
    monkeypatch.setattr(attention, "plain_attention", lambda *a, **k: calls.append(1) or plain_attention(*a, **k))
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=50, num_key_value_heads=2, **shape))
    ids = torch.randint(0, 50, (2, 9))
    gradients = []
    for dtype in (torch.float32, torch.bfloat16):
        model.to(dtype).zero_grad()
        with attention_to_learn_with(CPU, dtype):
            model(input_ids=ids, labels=ids).loss.backward()
        gradients.append(torch.cat([p.grad.flatten().float() for p in model.parameters()]))
        assert len(calls) == (0 if dtype == torch.float32 else 2)
    assert float((gradients[0] - gradients[1]).norm() / gradients[0].norm()) < 0.05


@pytest.mark.parametrize("why", ["no gradient", "float32", "dropout", "long", "outside", "other device"])
def test_elsewhere_torch_chooses(monkeypatch, why):
    monkeypatch.setattr(attention, "plain_attention", lambda *_, **__: pytest.fail("not torch's attention"))
    dtype = torch.float32 if why == "float32" else torch.bfloat16
    q, k, v = parts(dtype=dtype, length=LONGEST + 1 if why == "long" else 7)
    device = torch.device("meta") if why == "other device" else CPU
    with attention_to_learn_with(device, dtype), torch.set_grad_enabled(why != "no gradient"):
        if why != "outside":
            functional.scaled_dot_product_attention(q, k, v, dropout_p=0.5 if why == "dropout" else 0.0)
    functional.scaled_dot_product_attention(q, k, v)
