"""Scripts that put no spaces between words."""

from __future__ import annotations

UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
"""Their characters, as ranges of a regular expression: Thai, Lao, Burmese, Khmer, kana and Chinese characters."""
