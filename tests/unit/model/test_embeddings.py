"""The input embeddings of a model, read without the rest of it."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import T5Config, T5ForConditionalGeneration

from hyperofa.errors import DataMissingError, InputError
from hyperofa.model.embeddings import read_embeddings

from .conftest import small_source


def test_of_every_family(family_name, tmp_path):
    model = small_source(family_name, tied=False)
    model.save_pretrained(tmp_path)
    found = read_embeddings(str(tmp_path))
    assert torch.equal(found.stored, model.get_input_embeddings().weight)


def test_of_a_model_in_several_files_in_its_own_dtype(tmp_path):
    model = small_source("llama", tied=False).to(torch.bfloat16)
    model.save_pretrained(tmp_path, max_shard_size=2000)
    assert (tmp_path / "model.safetensors.index.json").is_file()
    found = read_embeddings(str(tmp_path))
    assert found.stored.dtype == torch.bfloat16
    assert torch.equal(found.stored, model.get_input_embeddings().weight)


def test_of_a_family_that_cannot_be_extended(tmp_path):
    model = T5ForConditionalGeneration(T5Config(vocab_size=20, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2))
    model.save_pretrained(tmp_path)
    assert torch.equal(read_embeddings(str(tmp_path)).stored, model.get_input_embeddings().weight)


def test_what_cannot_be_read_is_one_line(tmp_path):
    with pytest.raises(DataMissingError):
        read_embeddings(str(tmp_path / "nowhere"))
    small_source("bert").save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    weights = {key: value.clone() for key, value in load_file(file).items() if "word_embeddings" not in key}
    save_file({key: value for key, value in weights.items() if "decoder" not in key}, file, {"format": "pt"})
    with pytest.raises(DataMissingError, match=r"no tensor embeddings\.word_embeddings\.weight"):
        read_embeddings(str(tmp_path))
    file.write_bytes(b"\0" * 64)
    with pytest.raises(DataMissingError, match="cannot load the embeddings"):
        read_embeddings(str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "vit"}))
    with pytest.raises((DataMissingError, InputError)):
        read_embeddings(str(tmp_path))
