"""The pictures of the manual are those that the recorded results give."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture
def pictures(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("pictures")


def test_every_picture_is_drawn_from_the_results_of_now(pictures: ModuleType) -> None:
    for name, drawn in pictures.pictures().items():
        stored = (ROOT / "docs" / name).read_text(encoding="utf-8")
        assert stored == drawn, f"docs/{name}: python benchmarks/pictures.py draws it anew"


def test_a_value_and_its_interval_are_read_from_a_table(pictures: ModuleType) -> None:
    mark = pictures.estimate(0, "8.9 (7.8–10.1)")
    assert (mark.value, mark.written, mark.interval) == (8.9, "8.9", (7.8, 10.1))
    assert pictures.estimate(0, "-1.4 (-2.6 to -0.2)").interval == (-2.6, -0.2)
