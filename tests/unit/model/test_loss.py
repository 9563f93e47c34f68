"""The chunked loss against the plain one: values and every gradient."""

from __future__ import annotations

import pytest
import torch

from hyperofa.errors import InputError
from hyperofa.model.loss import linear_cross_entropy


def inputs(n: int, vocabulary: int, width: int, rank: int | None, *, bias: bool = True, dtype=torch.float32):
    draw = torch.Generator().manual_seed(n + vocabulary)

    def tensor(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=draw).to(dtype).requires_grad_()

    return {
        "hidden": tensor(n, width),
        "weight": tensor(vocabulary, width if rank is None else rank),
        "targets": torch.randint(0, vocabulary, (n,), generator=draw),
        "primitives": None if rank is None else tensor(rank, width),
        "bias": tensor(vocabulary) if bias else None,
    }


def loss_and_gradients(values, scale: float = 0.37, **options):
    leaves = {k: v.detach().clone().requires_grad_() for k, v in values.items() if v is not None and k != "targets"}
    sums = linear_cross_entropy(**{**values, **leaves}, **options)
    (sums.total * scale).backward()
    return sums, {key: leaf.grad for key, leaf in leaves.items()}


@pytest.mark.parametrize("rank", [None, 4])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("softcap", [None, 2.0])
@pytest.mark.parametrize("chunk_bytes", [1, 4 * 101 * 3, 1 << 20])
def test_chunked_equals_the_reference(rank, bias, softcap, chunk_bytes):
    values = inputs(17, 101, 12, rank, bias=bias)
    expected, expected_gradients = loss_and_gradients(values, impl="reference", softcap=softcap)
    found, gradients = loss_and_gradients(values, impl="chunked", softcap=softcap, chunk_bytes=chunk_bytes)
    torch.testing.assert_close(found.total, expected.total)
    torch.testing.assert_close(found.per_position, expected.per_position)
    assert gradients.keys() == expected_gradients.keys()
    for key, gradient in gradients.items():
        torch.testing.assert_close(gradient, expected_gradients[key], msg=lambda text, key=key: f"{key}: {text}")


def test_gradients_against_finite_differences():
    values = inputs(5, 11, 6, 3, dtype=torch.float32)
    _, gradients = loss_and_gradients(values, scale=1.0, impl="chunked", chunk_bytes=100)
    for key, gradient in gradients.items():
        step = torch.zeros_like(gradient)
        step.view(-1)[1] = 1e-2
        with torch.no_grad():
            up = linear_cross_entropy(**{**values, key: values[key] + step}).total
            down = linear_cross_entropy(**{**values, key: values[key] - step}).total
        assert gradient.view(-1)[1].item() == pytest.approx(((up - down) / 2e-2).item(), rel=2e-2, abs=2e-3)


@pytest.mark.parametrize("impl", ["reference", "chunked"])
def test_no_wanted_position_gives_zero_with_a_graph(impl):
    values = inputs(0, 13, 6, 3)
    sums, gradients = loss_and_gradients(values, impl=impl)
    assert sums.total.item() == 0.0
    assert sums.per_position.shape == (0,)
    assert all(gradient is not None and not gradient.any() for gradient in gradients.values())


def test_sixteen_bit_inputs_are_summed_in_float32():
    values = inputs(300, 50, 8, 4, dtype=torch.bfloat16)
    exact = {k: v if v is None or k == "targets" else v.detach().float() for k, v in values.items()}
    # The one 16-bit rounding before the scores is the projection to the coordinates' space.
    z = torch.nn.functional.linear(values["hidden"], values["primitives"]).detach().float()
    expected = torch.nn.functional.cross_entropy(
        z @ exact["weight"].T + exact["bias"], values["targets"], reduction="sum"
    )
    sums, gradients = loss_and_gradients(values, impl="chunked", chunk_bytes=4 * 50 * 7)
    assert sums.total.dtype == torch.float32
    torch.testing.assert_close(sums.total, expected, rtol=1e-5, atol=1e-3)
    assert gradients["weight"].dtype == torch.bfloat16
    in_float32 = exact | {"hidden": z, "primitives": None}
    _, exactly = loss_and_gradients(in_float32, impl="reference")
    torch.testing.assert_close(gradients["weight"].float(), exactly["weight"], rtol=2e-2, atol=2e-2)
    assert torch.get_float32_matmul_precision() == "highest"


def test_without_gradients_only_the_loss_is_computed():
    values = inputs(9, 21, 6, 3)
    with torch.no_grad():
        sums = linear_cross_entropy(**values, impl="chunked", chunk_bytes=200)
    assert not sums.total.requires_grad
    torch.testing.assert_close(sums.total, linear_cross_entropy(**values, impl="reference").total.detach())


def test_frozen_inputs_get_no_gradient():
    values = inputs(9, 21, 6, 3)
    frozen = {**values, "weight": values["weight"].detach(), "bias": values["bias"].detach()}
    linear_cross_entropy(**frozen, impl="chunked", chunk_bytes=200).total.backward()
    reference = {**inputs(9, 21, 6, 3)}
    linear_cross_entropy(**reference, impl="reference").total.backward()
    torch.testing.assert_close(values["hidden"].grad, reference["hidden"].grad)
    assert frozen["weight"].grad is None


def test_an_unknown_implementation_is_named():
    with pytest.raises(InputError, match="did you mean 'chunked'"):
        linear_cross_entropy(**inputs(1, 5, 4, None), impl="chunkd")


@pytest.mark.slow
def test_chunked_equals_the_reference_at_the_papers_vocabulary():
    values = inputs(96, 401_145, 768, 100)
    with torch.no_grad():
        values["weight"].mul_(0.01)  # scores with a standard deviation of 3, as a trained model's
    expected, expected_gradients = loss_and_gradients(values, impl="reference")
    found, gradients = loss_and_gradients(values, impl="chunked")
    torch.testing.assert_close(found.total, expected.total, rtol=1e-5, atol=0)
    for key, gradient in gradients.items():
        worst = (gradient - expected_gradients[key]).abs().max() / expected_gradients[key].abs().max()
        assert worst < 1e-5, key
