"""What the tests of recipes share."""

from __future__ import annotations

import pytest
from support import warm


@pytest.fixture
def warm_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands that a plan or a dry run starts are forks of one interpreter."""
    warm.stages_start_warm(monkeypatch)
