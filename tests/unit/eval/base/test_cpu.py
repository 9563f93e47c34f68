"""Settings of torch on the CPU: they change who multiplies, never what comes out beyond float32's rounding."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from hyperofa_eval.base import cpu

AMD = "vendor_id\t: AuthenticAMD\nflags\t: fpu avx512f avx512_bf16\n"


@pytest.fixture(autouse=True)
def _setting() -> Iterator[None]:
    before = torch.backends.mkldnn.matmul.fp32_precision
    yield
    torch.backends.mkldnn.matmul.fp32_precision = before


@pytest.mark.parametrize(
    "text",
    [
        AMD.replace("AuthenticAMD", "GenuineIntel"),
        AMD.replace("avx512_bf16", "avx2"),
        AMD.replace("fpu", "amx_tile"),
        "",
    ],
    ids=["intel", "no bfloat16", "matrix tiles", "unknown"],
)
def test_products_stay_where_they_are_on_other_processors(text: str, tmp_path: Path) -> None:
    before = torch.backends.mkldnn.matmul.fp32_precision
    (tmp_path / "cpuinfo").write_text(text)
    assert not cpu.multiply_with_onednn(tmp_path / "cpuinfo")
    assert not cpu.multiply_with_onednn(tmp_path / "absent")
    assert torch.backends.mkldnn.matmul.fp32_precision == before


def test_a_library_that_rounds_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.backends.mkldnn.matmul.fp32_precision
    (tmp_path / "cpuinfo").write_text(AMD)
    exact = torch.Tensor.__matmul__
    monkeypatch.setattr(
        torch.Tensor,
        "__matmul__",
        lambda a, b: exact(a.bfloat16(), b.bfloat16()).float() if a.dtype == torch.float32 else exact(a, b),
    )
    assert not cpu.multiply_with_onednn(tmp_path / "cpuinfo")
    assert torch.backends.mkldnn.matmul.fp32_precision == before


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the setting is for x86-64 alone")
def test_products_are_float32s_whoever_takes_them(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text(AMD)
    cpu.multiply_with_onednn(tmp_path / "cpuinfo")
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(513, 384, generator=generator), torch.randn(384, 1000, generator=generator)
    exact = a.double() @ b.double()
    assert float(((a @ b).double() - exact).norm() / exact.norm()) < 1e-6


@pytest.mark.skipif(platform.machine() != "x86_64", reason="not every other processor can flush")
def test_numbers_below_float32s_normal_range_are_zero_while_the_block_lasts() -> None:
    tiny = torch.tensor([1e-39, 1e-30])
    with cpu.denormals_flushed():
        with cpu.denormals_flushed():
            pass
        flushed = (tiny * 1.5).tolist()
    assert flushed[0] == 0.0
    assert flushed[1] == pytest.approx(1.5e-30)
    assert (tiny * 1.5).tolist()[0] != 0.0
    assert sys.float_info.min * 0.5 != 0.0
