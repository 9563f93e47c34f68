"""The process's allocator: what torch frees on the CPU is kept for its next tensors instead of going back to the kernel."""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
"""Parameters of glibc's ``mallopt`` (malloc.h)."""


def keep_freed_memory() -> bool:
    """Let freed memory stay with the process; whether the C library could be told so (glibc can).

    By default glibc takes every large block from the kernel and gives it back when it is freed. A training loop frees and takes
    the same tensors in every step, and the kernel hands out each page anew, zeroed, at the first touch: on virtual machines
    that has cost as much as the arithmetic (``benchmarks/allocator_speed.py``). The process stays as large as it once was, so
    this is for processes that loop over tensors on the CPU; memory of a GPU has its own allocator.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(_MMAP_MAX, 0)) and bool(mallopt(_TRIM_THRESHOLD, -1))
