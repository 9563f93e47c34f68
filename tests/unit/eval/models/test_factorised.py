"""Factorised checkpoints score through an entry point, and as their dense export does."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from hyperofa_eval.cli import main
from hyperofa_eval.models.encoding import EncodeSettings
from hyperofa_eval.models.loading import load_model

hyperofa_model = pytest.importorskip("hyperofa.model")


@pytest.fixture(scope="module")
def pair(model_dir, tokenizer, tmp_path_factory):
    """A factorised model of rank 5 and its dense export, each a directory."""
    source = hyperofa_model.load_source(str(model_dir), head="mlm")
    draw = torch.Generator().manual_seed(0)
    rows = torch.randn(len(tokenizer), 5, generator=draw) * 0.3
    model = hyperofa_model.assemble(
        source,
        tokenizer,
        coordinates=rows,
        primitives=torch.randn(5, 16, generator=draw),
        head_bias=None if source.head_bias is None else torch.randn(len(tokenizer), generator=draw),
    )
    folders = []
    for name, saved in (("factorised", model), ("dense", hyperofa_model.export_dense(model))):
        folder = tmp_path_factory.mktemp(name)
        saved.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        folders.append(folder)
    return folders


def test_vectors_equal_those_of_the_dense_export(pair):
    texts = ["Kedi masanın üstünde uyuyor.", "O et yemez."]
    factorised, dense = (load_model(str(folder)) for folder in pair)
    assert factorised.body.config.model_type.startswith("hyperofa_")
    assert not dense.body.config.model_type.startswith("hyperofa_")
    for block in (2, 4):
        left, right = (model.encode(texts, EncodeSettings(block)) for model in (factorised, dense))
        assert np.abs(left - right).max() < 1e-5


def test_the_command_scores_both_alike(pair, data, tmp_path):
    found = []
    for folder in pair:
        out = tmp_path / folder.name
        words = [
            "run",
            folder,
            "--tasks",
            "sr-t,lm",
            "--data",
            data,
            "--out",
            out,
            "--languages",
            "tur,swh",
            "--device",
            "cpu",
        ]
        assert main([str(word) for word in words]) == 0
        found.append(json.loads((out / "summary.json").read_text())["tasks"])
    assert found[0]["sr-t"]["mean"] == found[1]["sr-t"]["mean"]
    assert found[0]["lm"]["mean"] == pytest.approx(found[1]["lm"]["mean"], rel=1e-5)
