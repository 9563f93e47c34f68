"""Parameters, operations and activations of a model from its config, beside those of the model itself."""

from __future__ import annotations

import pytest
import torch

from hyperofa.model.training import TrainingModel
from hyperofa.train.planning.cost import shape_of, shape_of_directory
from tests.unit.train.planning.conftest import decoder, encoder


@pytest.mark.parametrize("make", [encoder, decoder])
def test_parameters_are_counted_from_the_config_alone(make, tmp_path):
    model = make()
    model.config.architectures = [type(model).__name__]
    model.config.save_pretrained(tmp_path)
    shape = shape_of_directory(tmp_path, 0.15)
    assert shape == shape_of(model, 0.15)
    assert shape.parameters == sum(p.numel() for p in model.parameters())
    head = 1000 if make is encoder else 128 * 1000
    assert shape.embedding_parameters == 1000 * 128 + head


@pytest.mark.parametrize("make", [encoder, decoder])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_activations_are_near_what_torch_stores(make, checkpointing):
    model = TrainingModel(make())
    if checkpointing:
        model.gradient_checkpointing_enable()
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    stored: dict[int, int] = {}
    tensors = []

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        tensors.append(tensor)  # keeps the address from being used again
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            stored[storage.data_ptr()] = storage.nbytes()
        return tensor

    ids = torch.randint(5, 1000, (8, 128))
    labels = torch.full_like(ids, -100)
    labels[:, 5] = 7
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        model(ids, labels)
    real = sum(stored.values())
    planned = shape_of(model.pretrained, 0.15).activation_bytes(ids.numel(), 4, checkpointing=False)
    if checkpointing:
        inputs = 4 * ids.numel() * 4 * 128
        assert 0.5 * inputs < real < planned / 2
    else:
        assert 0.6 < planned / real < 1.6


def test_operations_are_what_the_profiler_counts():
    from torch.utils.flop_counter import FlopCounterMode

    model = encoder().eval()
    model.set_attn_implementation("eager")  # torch does not count the fused kind on the CPU
    ids = torch.randint(5, 1000, (2, 64))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(ids)
    planned = shape_of(model, 1.0).flops_per_token(64) / 3 * ids.numel()
    assert planned == pytest.approx(counter.get_total_flops(), rel=0.05)
