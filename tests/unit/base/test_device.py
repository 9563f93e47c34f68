"""The attention that rows learn with: the plain kernel for short lines on a CPU, torch's choice elsewhere."""

from __future__ import annotations

import pytest
import torch
from torch.backends import cuda

from hyperofa.base.device import attention_to_learn_with


def kernels():
    return cuda.flash_sdp_enabled(), cuda.math_sdp_enabled()


def test_on_a_cpu_attention_over_short_lines_is_the_plain_kernel_and_torch_s_choice_returns():
    before = kernels()
    with attention_to_learn_with(torch.device("cpu"), 128):
        assert kernels() == (False, True)
    assert kernels() == before == (True, True)


@pytest.mark.parametrize(("device", "length"), [("cpu", 129), ("meta", 16)])
def test_elsewhere_torch_chooses(device, length):
    with attention_to_learn_with(torch.device(device), length):
        assert kernels() == (True, True)
