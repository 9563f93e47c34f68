"""Loading source models: heads that are there, heads that are missing, and what cannot be loaded."""

from __future__ import annotations

import json
import logging

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import T5Config, T5ForConditionalGeneration

from hyperofa.errors import DataMissingError, InputError
from hyperofa.model import assemble, load_source
from hyperofa.model.families import FAMILIES
from hyperofa.model.pretrained import read_embeddings
from hyperofa.model.source import source_of

from .conftest import VOCABULARY, WIDTH, new_embeddings, small_source


def test_a_model_with_a_head_is_loaded_as_it_is(family_name, tmp_path):
    model = small_source(family_name)
    model.save_pretrained(tmp_path)
    source = load_source(tmp_path)
    assert not source.head_is_new
    assert source.family is FAMILIES[family_name]
    assert source.input_embeddings.shape == (VOCABULARY, WIDTH)
    assert source.input_embeddings.dtype == torch.float32
    assert torch.equal(source.input_embeddings, model.get_input_embeddings().weight)
    assert source.output_embeddings is None
    assert (source.head_bias is None) == (model.get_output_embeddings().bias is None)
    if source.head_bias is not None:
        assert torch.equal(source.head_bias, model.get_output_embeddings().bias)
    for key, value in model.state_dict().items():
        assert torch.equal(source.model.state_dict()[key], value), key


def test_an_untied_head_has_embeddings_of_its_own(family_name, tmp_path):
    model = small_source(family_name, tied=False)
    model.save_pretrained(tmp_path)
    source = load_source(tmp_path)
    assert torch.equal(source.output_embeddings, model.get_output_embeddings().weight)
    assert not torch.equal(source.output_embeddings, source.input_embeddings)


def test_embeddings_are_the_models_own_whatever_their_dtype(tmp_path):
    small_source("llama", tied=False).to(torch.bfloat16).save_pretrained(tmp_path)
    source = load_source(tmp_path)
    modules = (source.model.get_input_embeddings(), source.model.get_output_embeddings())
    for mine, module in zip((source.input_embeddings, source.output_embeddings), modules, strict=True):
        assert mine.dtype == torch.bfloat16
        assert mine.data_ptr() == module.weight.data_ptr()


@pytest.mark.parametrize("name", ["bert", "roberta", "xlm-roberta", "modernbert"])
def test_a_missing_head_is_made_with_the_seed_and_said(name, tmp_path, caplog):
    small_source(name).base_model.save_pretrained(tmp_path)
    state = torch.get_rng_state()
    with caplog.at_level(logging.WARNING, logger="hyperofa"):
        logging.getLogger("hyperofa").propagate = True
        sources = [load_source(tmp_path, head="mlm", seed=seed) for seed in (1, 1, 2)]
    assert all(source.head_is_new for source in sources)
    assert "made new with seed 1" in caplog.text
    assert torch.equal(torch.get_rng_state(), state)
    heads = [
        {
            key: value
            for key, value in source.model.state_dict().items()
            if not key.startswith(source.model.base_model_prefix + ".")
        }
        for source in sources
    ]
    dense = next(key for key in heads[0] if key.endswith("dense.weight"))
    assert torch.equal(heads[0][dense], heads[1][dense])
    assert not torch.equal(heads[0][dense], heads[2][dense])
    assert not sources[0].head_bias.any()


def test_a_factorised_model_can_be_a_source(target_tokenizer, tmp_path):
    first = source_of(small_source("roberta"))
    model = assemble(first, target_tokenizer, **new_embeddings(first))
    model.save_pretrained(tmp_path)
    source = load_source(tmp_path)
    assert source.input_embeddings.shape == (64, WIDTH)
    embedding = model.get_input_embeddings()
    torch.testing.assert_close(source.input_embeddings, embedding.coordinates @ embedding.primitives)
    assert source.model.config.model_type == "roberta"


def test_what_cannot_be_loaded_is_named(tmp_path):
    with pytest.raises(DataMissingError, match="no such directory"):
        load_source(tmp_path / "nothing")
    with pytest.raises(DataMissingError, match=r"no config\.json"):
        load_source(tmp_path)
    small_source("llama").save_pretrained(tmp_path / "llama")
    with pytest.raises(InputError, match="a llama model has a causal head, not mlm"):
        load_source(tmp_path / "llama", head="mlm")
    (tmp_path / "llama" / "model.safetensors").write_bytes(b"\0" * 64)
    with pytest.raises(DataMissingError, match="cannot load the model"):
        load_source(tmp_path / "llama")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text('{"model_type": "t5"}')
    with pytest.raises(InputError, match="unknown model family 't5'; known: bert, "):
        load_source(tmp_path / "other")


@pytest.mark.parametrize(
    ("key", "value", "error", "message"),
    [
        ("vocab_size", VOCABULARY + 5, InputError, "config.json does not fit the weights: .*word_embeddings"),
        ("vocab_size", 5, InputError, "config.json does not fit the weights"),
        ("hidden_size", WIDTH + 4, InputError, "config.json does not fit the weights"),
        ("num_hidden_layers", "two", DataMissingError, "cannot load the model .*num_hidden_layers"),
        ("num_hidden_layers", 5, InputError, "lacks weights"),
    ],
)
def test_a_config_that_does_not_fit_is_told_in_one_line(tmp_path, key, value, error, message):
    small_source("bert").save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {key: value}))
    with pytest.raises(error, match=message) as caught:
        load_source(tmp_path)
    assert "\n" not in str(caught.value)


def test_embeddings_of_every_family(family_name, tmp_path):
    model = small_source(family_name, tied=False)
    model.save_pretrained(tmp_path)
    found = read_embeddings(str(tmp_path))
    assert torch.equal(found.stored, model.get_input_embeddings().weight)


def test_embeddings_of_a_model_in_several_files_in_its_own_dtype(tmp_path):
    model = small_source("llama", tied=False).to(torch.bfloat16)
    model.save_pretrained(tmp_path, max_shard_size=2000)
    assert (tmp_path / "model.safetensors.index.json").is_file()
    found = read_embeddings(str(tmp_path))
    assert found.stored.dtype == torch.bfloat16
    assert torch.equal(found.stored, model.get_input_embeddings().weight)


def test_embeddings_of_a_family_that_cannot_be_extended(tmp_path):
    model = T5ForConditionalGeneration(T5Config(vocab_size=20, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2))
    model.save_pretrained(tmp_path)
    assert torch.equal(read_embeddings(str(tmp_path)).stored, model.get_input_embeddings().weight)


def test_embeddings_that_cannot_be_read_are_one_line(tmp_path):
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
