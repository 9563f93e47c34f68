"""``docs/settings.md`` is what ``python -m hyperofa.settings_page`` writes."""

from __future__ import annotations

from pathlib import Path

from hyperofa import settings_page

ROOT = Path(__file__).parents[2]


def test_the_page_of_settings_is_that_of_the_code() -> None:
    assert (ROOT / "docs" / "settings.md").read_text(encoding="utf-8") == settings_page.page()
