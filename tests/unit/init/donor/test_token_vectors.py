"""The rows of a donor, met by tokens; and donors that are refused in one line."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoTokenizer

from hyperofa import initialise
from hyperofa.errors import InputError
from hyperofa.init import provenance as origin
from hyperofa.init.registry import METHODS, Method
from tests.unit.init.conftest import unigram_tokenizer
from tests.unit.init.donor.conftest import save_donor


def test_a_method_of_ones_own_is_given_the_donors_rows(rooms, donor, monkeypatch):
    seen = {}

    def predict(problem):
        seen["problem"] = problem
        problem.evidence[-1] = origin.EVIDENCE["words"]
        return np.zeros((len(problem.predict_ids), problem.rows.shape[1]))

    own = Method("own", "", predict, uses_words=False, knows=("donor", "pieces"))
    monkeypatch.setitem(METHODS, "own", own)
    extended = initialise(rooms / "source", rooms / "target", method="own", donor=donor)
    vectors, found = seen["problem"].donor, extended.provenance
    theirs, mine = (AutoTokenizer.from_pretrained(rooms / side).get_vocab() for side in ("source", "target"))
    rows = AutoModel.from_pretrained(donor).get_input_embeddings().weight.detach().numpy()
    hund = np.array([mine["▁hund"]])
    np.testing.assert_array_equal(vectors.of_target(hund), rows[hund])
    np.testing.assert_array_equal(vectors.of_source(np.array([theirs["dog"]])), rows[[mine["▁dog"]]])
    unknown = np.array([theirs["moon"], theirs["[CLS]"]])
    assert not vectors.has_source[unknown].any()
    assert not vectors.of_source(unknown).any()
    assert found.evidence[mine["▁hund"]] & origin.EVIDENCE["donor"]
    assert found.evidence[seen["problem"].predict_ids[-1]] == origin.EVIDENCE["words"]
    assert extended.report["made_by"]["inputs"]["donor"]


class TestRefused:
    def test_without_what_it_needs_or_for_a_method_that_makes_nothing_of_it(self, refused, rooms, donor):
        assert "method omp needs one" in refused(method="omp", vectors=None)
        line = refused("--donor", donor, method="ofa")
        assert "--donor" in line
        assert "method ofa makes nothing of it; leave it out, or name omp or spelling-network" in line

    def test_that_is_not_there(self, refused, rooms, tmp_path):
        assert "nowhere" in refused("--donor", tmp_path / "nowhere", method="omp", vectors=None, code=3)

    def test_that_shares_too_little(self, refused, tmp_path):
        strange = save_donor(tmp_path / "strange", unigram_tokenizer(["▁qqq", "▁xx"]))
        line = refused("--donor", strange, method="omp", vectors=None)
        assert "too few to learn from; name a model with the target tokenizer" in line

    def test_whose_rows_do_not_fit_or_are_no_numbers(self, refused, tmp_path, donor):
        small = save_donor(tmp_path / "small", unigram_tokenizer(), rows=9)
        assert "but the model 9 embeddings" in refused("--donor", small, method="omp", vectors=None)
        weights = load_file(donor / "model.safetensors")
        weights["embeddings.word_embeddings.weight"][7] = torch.nan
        save_file(weights, donor / "model.safetensors", {"format": "pt"})
        assert "NaN" in refused("--donor", donor, method="omp", vectors=None)

    def test_from_python_as_in_the_command(self, rooms):
        with pytest.raises(InputError, match="donor"):
            initialise(rooms / "source", rooms / "target", method="omp", donor=5)
