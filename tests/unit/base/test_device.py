"""The attention that rows learn with: the plain kernel on a CPU, torch's choice elsewhere."""

from __future__ import annotations

import torch
from torch.backends import cuda

from hyperofa.base.device import attention_to_learn_with


def kernels():
    return cuda.flash_sdp_enabled(), cuda.math_sdp_enabled()


def test_on_a_cpu_attention_that_learns_is_the_plain_kernel_and_torch_s_choice_returns():
    before = kernels()
    with attention_to_learn_with(torch.device("cpu")):
        assert kernels() == (False, True)
    assert kernels() == before == (True, True)


def test_on_other_devices_torch_chooses():
    with attention_to_learn_with(torch.device("meta")):
        assert kernels() == (True, True)
