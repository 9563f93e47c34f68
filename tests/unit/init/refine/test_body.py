"""The frozen body: where it is left, in which numbers, and that it is given back as it was."""

from __future__ import annotations

import pytest
import torch

from hyperofa.errors import InputError
from hyperofa.init.factorize import factorize
from hyperofa.init.refine.body import Body

from .conftest import CPU, decoder

IDS = torch.tensor([[2, 5, 6, 3], [2, 7, 3, 0]])
MASK = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]])


def test_the_block_is_left_where_it_ends(parts):
    """Leaving the forward pass early gives what transformers calls ``hidden_states[1]``."""
    parts.source.model.eval()
    with torch.no_grad():
        whole = parts.source.model.base_model(
            input_ids=IDS, attention_mask=MASK, output_hidden_states=True
        ).hidden_states
    for layer in (1, 2):
        body = Body(parts.source, layer, CPU, bf16=False)
        with body.frozen():
            torch.testing.assert_close(body.source_states(IDS, MASK), whole[layer])
    with pytest.raises(InputError, match="has 2 blocks, so none is number 3"):
        Body(parts.source, 3, CPU)


def test_its_digest_is_of_all_that_makes_a_loss(parts):
    seen = {parts.body().digest()}
    predictions = parts.source.model.cls.predictions
    for parameter in (predictions.transform.dense.weight, predictions.bias):
        with torch.no_grad():
            parameter.add_(1)
        seen.add(parts.body().digest())
    assert len(seen) == 3


@pytest.mark.parametrize("scale_split", [0.0, 0.5, 1.0])
def test_a_reduced_source_has_the_rows_that_the_factors_keep(parts, scale_split):
    """The states are those of a model whose embeddings are F P; without primitives they are the whole source's again."""
    parts.source.model.eval()
    body = parts.body()
    with body.frozen():
        before = body.source_states(IDS, MASK)
        factors = factorize(parts.source.input_embeddings, rank=3, scale_split=scale_split)
        body.reduce(factors.primitives)
        found = body.source_states(IDS, MASK)
        kept = torch.from_numpy(factors.embed(factors.coordinates[IDS.flatten().numpy()])).view(*IDS.shape, -1)
        torch.testing.assert_close(found, body.states(kept, MASK), atol=1e-5, rtol=1e-4)
        assert float((found - before).abs().max()) > 1e-3
        body.reduce(None)
        assert torch.equal(body.source_states(IDS, MASK), before)


@pytest.mark.parametrize("causal", [False, True])
def test_a_body_in_bfloat16_is_a_copy(parts, causal):
    source = decoder(24) if causal else parts.source
    before = {name: value.clone() for name, value in source.model.state_dict().items()}
    found = []
    for bf16 in (False, True):
        body = Body(source, None, CPU, bf16=bf16)
        with body.frozen():
            assert not any(parameter.requires_grad for parameter in source.model.parameters())
            embeddings = source.input_embeddings[IDS]
            found.append(body.scored_states(embeddings, MASK, MASK.bool()).float())
    assert found[1].shape == (7, 16)
    assert 0 < float((found[0] - found[1]).abs().max()) < 0.1 * float(found[0].abs().max())
    assert all(torch.equal(value, before[name]) for name, value in source.model.state_dict().items())
    assert all(parameter.requires_grad for parameter in source.model.parameters())
    with torch.no_grad():
        whole = source.model.eval()(input_ids=IDS, attention_mask=MASK).logits[MASK.bool()]
        head = source.input_embeddings.T
        bias = 0 if source.head_bias is None else source.head_bias
        torch.testing.assert_close(found[0] @ head + bias, whole, atol=1e-4, rtol=1e-4)
