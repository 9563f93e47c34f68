"""OMP through the whole of an initialisation: a donor that holds the source's rows gives them back."""

from __future__ import annotations

import numpy as np
import torch
from transformers import AutoModel, AutoTokenizer

from hyperofa import initialise
from hyperofa.cli import main
from hyperofa.init import provenance as origin
from tests.unit.init.conftest import unigram_tokenizer
from tests.unit.init.donor.conftest import save_donor


def test_a_row_is_made_of_the_rows_of_shared_tokens_as_it_is_in_the_donor(rooms, tmp_path):
    donor = save_donor(tmp_path / "donor", unigram_tokenizer())
    model = AutoModel.from_pretrained(donor)
    ids = unigram_tokenizer().get_vocab()
    with torch.no_grad():
        table = model.get_input_embeddings().weight
        table[ids["▁hund"]] = 0.75 * table[ids["▁dog"]] - 2 * table[ids["▁cat"]]
        table[ids["▁katze"]] = 0  # nothing is known of it
    model.save_pretrained(donor)
    extended = initialise(rooms / "source", rooms / "target", method="omp", donor=donor, options={"growth": 0})
    rows = extended.model.get_input_embeddings().weight.detach()
    torch.testing.assert_close(
        rows[ids["▁hund"]], 0.75 * rows[ids["▁dog"]] - 2 * rows[ids["▁cat"]], rtol=1e-3, atol=1e-4
    )
    found = extended.provenance
    assert found.evidence[ids["▁hund"]] == origin.EVIDENCE["donor"]
    assert found.code[ids["▁katze"]] == origin.DRAWN
    assert extended.report["evidence"] == {"donor": int((found.code == origin.PREDICTED).sum())}
    assert extended.report["method_notes"] == {"shared_tokens": 5}


def test_with_vectors_it_is_tried_on_source_tokens_and_leaves_them_out(rooms, tmp_path, capsys):
    donor = save_donor(tmp_path / "donor", unigram_tokenizer())
    words = ["init", "--source", rooms / "source", "--tokenizer", rooms / "target", "--vectors", rooms / "vectors"]
    words += ["--method", "omp", "--donor", donor, "--option", "k=3", "--out", tmp_path / "out", "--json"]
    assert main([str(word) for word in words]) == 0
    assert origin.Provenance.load(tmp_path / "out").evidence.any()
    assert AutoTokenizer.from_pretrained(tmp_path / "out")
    assert np.isfinite(AutoModel.from_pretrained(tmp_path / "out").get_input_embeddings().weight.detach()).all()
