"""How torch works on the CPU in processes that loop over tensors: memory, the tiniest numbers, and which library multiplies."""

from __future__ import annotations

import ctypes
import logging
import platform
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

log = logging.getLogger(__name__)

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
"""Parameters of glibc's ``mallopt`` (malloc.h)."""

_EXACT = 1e-6
"""Relative error up to which a product counts as float32's: rounding gives some 4e-7, bfloat16 3e-3, TF32 3e-4."""


def speed_up_cpu() -> None:
    """:func:`keep_freed_memory` and :func:`multiply_with_onednn`, for processes that train, fit or encode on the CPU."""
    keep_freed_memory()
    multiply_with_onednn()


@contextmanager
def denormals_flushed() -> Iterator[None]:
    """While the block lasts, numbers too small for a normal float32 (below 1.2e-38) are 0, where the processor can do that.

    Intel processors work some hundred times slower in that range, which gradients through long sequences reach: an LSTM's fit
    took five times as long (``benchmarks/init/init_speed.py``). It holds for this thread and those that it starts, so the block
    is entered before torch starts its own. Python's own numbers are flushed too, so the processor is given back as it was.
    """
    import torch

    before = sys.float_info.min * 0.5 == 0.0
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


def keep_freed_memory() -> bool:
    """Let freed memory stay with the process; whether the C library could be told so (glibc can).

    By default glibc gives every large block back to the kernel, which zeroes its pages when the next step takes them: on virtual
    machines that has cost as much as the arithmetic (``benchmarks/cpu_speed.py``). The process stays as large as it once was,
    so this is for processes that loop over tensors on the CPU.
    """
    mallopt = _of_glibc("mallopt")
    return bool(mallopt(_MMAP_MAX, 0) and mallopt(_TRIM_THRESHOLD, -1))


def return_freed_memory() -> bool:
    """Give the kernel what :func:`keep_freed_memory` has kept, once; whether there was any.

    Kept blocks of very unequal sizes are of no use to each other, so where a loop takes some gigabytes now and then the process
    would grow to several times what it needs at once.
    """
    return bool(_of_glibc("malloc_trim")(ctypes.c_size_t(0)))


def _of_glibc(name: str) -> Callable[..., int]:
    """A function of the C library; where that is another one, a function that does nothing and gives 0."""
    with suppress(OSError, AttributeError):
        if sys.platform.startswith("linux"):
            return getattr(ctypes.CDLL("libc.so.6"), name)
    return lambda *_: 0


def multiply_with_onednn(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Let oneDNN take float32 matrix products where MKL is slow, if its products are still float32's; whether it does.

    On AMD processors MKL leaves half of AVX-512 unused; oneDNN is twice as fast (``benchmarks/cpu_speed.py``), but torch asks it
    only where the user allows bfloat16 inside of products. oneDNN uses that permission on processors with matrix tiles (AMX)
    alone. So it is given on AMD processors without AMX, and taken back where products differ from float64's by more than
    float32's rounding.
    """
    import torch

    settings = getattr(torch.backends.mkldnn, "matmul", None)
    if settings is None or not torch.backends.mkldnn.is_available() or not _amd_without_tiles(cpuinfo):
        return False
    before = settings.fp32_precision
    settings.fp32_precision = "bf16"
    if _products_are_exact():
        return True
    settings.fp32_precision = before
    log.debug("oneDNN's float32 products are not exact here; MKL keeps them")
    return False


@contextmanager
def onednn_products() -> Iterator[None]:
    """While the block lasts, :func:`multiply_with_onednn`; the setting is the whole process's, and goes back."""
    import torch

    settings = getattr(torch.backends.mkldnn, "matmul", None)
    before = getattr(settings, "fp32_precision", None)
    changed = multiply_with_onednn()
    try:
        yield
    finally:
        if changed and settings is not None:
            settings.fp32_precision = before


def _amd_without_tiles(cpuinfo: Path) -> bool:
    text = ""
    with suppress(OSError):
        text = cpuinfo.read_text() if platform.machine() in ("x86_64", "AMD64") else ""
    return "AuthenticAMD" in text and "avx512_bf16" in text and "amx_" not in text


def _products_are_exact() -> bool:
    """Whether products of a few shapes, as torch now makes them, are within float32's rounding of float64's."""
    import torch

    for rows, inner, columns in ((7, 100, 33), (64, 768, 256), (300, 64, 1024)):
        generator = torch.Generator().manual_seed(rows)
        a, b = torch.randn(rows, inner, generator=generator), torch.randn(columns, inner, generator=generator)
        exact = a.double() @ b.double().T
        if float(((a @ b.T).double() - exact).norm() / exact.norm()) > _EXACT:
            return False
    return True
