"""The file that says where each row came from: written, read, and refused where it is damaged."""

from __future__ import annotations

import numpy as np
import pytest
from safetensors.numpy import save_file

from hyperofa.errors import DataMissingError, InputError
from hyperofa.init import provenance


@pytest.fixture
def saved(tmp_path):
    codes = np.arange(5, dtype=np.int8)
    provenance.Provenance(codes, np.full(5, -1, dtype=np.int64), np.zeros(5, dtype=np.int32)).save(tmp_path)
    return tmp_path


def test_what_is_saved_is_loaded(saved):
    loaded = provenance.Provenance.load(saved)
    assert loaded.counts == dict.fromkeys(("special", "copied", "predicted", "drawn", "padding"), 1)


def test_what_predicted_rows_are_made_of_is_counted(tmp_path):
    codes = np.array([provenance.PREDICTED] * 4 + [provenance.COPIED], dtype=np.int8)
    evidence = np.array([0, 1, 3, 3, 4], dtype=np.int8)
    none = np.zeros(5, dtype=np.int32)
    provenance.Provenance(codes, none.astype(np.int64), none, evidence).save(tmp_path)
    loaded = provenance.Provenance.load(tmp_path)
    assert loaded.evidence.tolist() == evidence.tolist()
    assert loaded.evidence_counts == {"none": 1, "pieces": 1, "pieces+words": 2}


def test_one_of_an_earlier_version_says_nothing_of_evidence(tmp_path):
    codes, none = np.full(3, provenance.PREDICTED, dtype=np.int8), np.zeros(3, dtype=np.int64)
    save_file({"code": codes, "source_id": none, "n_words": none}, tmp_path / provenance.FILE)
    loaded = provenance.Provenance.load(tmp_path)
    assert loaded.evidence.tolist() == [0, 0, 0]
    assert loaded.evidence_counts == {"none": 3}


def test_rows_are_new_unless_special_or_copied(saved):
    assert provenance.new_rows(saved).tolist() == [False, False, True, True, True]


def test_without_provenance_or_with_a_damaged_one(saved, tmp_path):
    with pytest.raises(DataMissingError, match="no provenance"):
        provenance.new_rows(tmp_path / "elsewhere")
    (saved / provenance.FILE).write_bytes(b"\0" * 64)
    with pytest.raises(InputError, match=r"not a provenance of tokens .*header"):
        provenance.new_rows(saved)
