"""Words and tokens by language."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix

from hyperofa.init import provenance as origin
from hyperofa.init.quality.coverage import languages


def test_languages_count_words_tokens_and_what_is_known():
    keys = ["eng:a", "eng:b", "deu:a", "deu:c", "c"]  # the last is bare: English by default
    words = csr_matrix(
        np.array([[1, 0, 1, 0, 0], [0.5, 0, 0, 0, 0], [0, 0, 0, 1, 0], [0, 0, 0, 0.5, 0]], dtype=np.float32)
    )
    code = np.array([origin.COPIED, origin.DRAWN, origin.PREDICTED, origin.DRAWN, origin.PADDING], dtype=np.int8)
    found = origin.Provenance(code, np.zeros(5, dtype=np.int64), np.zeros(5, dtype=np.int32))
    table = languages(keys, words, found)
    assert list(table) == ["eng", "deu"]
    assert table["eng"] == {"words": 3, "matched": 1, "copied": 1, "predicted": 0, "drawn": 1, "known": 0.5}
    assert table["deu"] == {"words": 2, "matched": 2, "copied": 1, "predicted": 1, "drawn": 1, "known": 0.75}
