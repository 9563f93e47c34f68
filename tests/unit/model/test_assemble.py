"""Assembling, saving, loading and dense export, for every family, tied and untied."""

from __future__ import annotations

import pytest
import torch
from safetensors import safe_open
from transformers import AutoModel, AutoModelForCausalLM, AutoModelForMaskedLM, AutoModelForTokenClassification

from hyperofa.errors import InputError
from hyperofa.model import FAMILIES, assemble, export_dense
from hyperofa.model.source import source_of

from .conftest import RANK, SIZE, WIDTH, new_embeddings, small_source


def auto_class(name: str):
    return AutoModelForMaskedLM if FAMILIES[name].objective == "mlm" else AutoModelForCausalLM


@pytest.fixture(params=[True, False], ids=["tied", "untied"])
def source(request, family_name):
    return source_of(small_source(family_name, tied=request.param))


@pytest.fixture
def ids() -> torch.Tensor:
    return torch.randint(7, 60, (2, 12), generator=torch.Generator().manual_seed(1))


def test_save_load_and_dense_export_give_the_same_scores(source, target_tokenizer, ids, tmp_path):
    model = assemble(source, target_tokenizer, **new_embeddings(source))
    with torch.no_grad():
        expected = model(input_ids=ids).logits
    auto = auto_class(source.family.model_type)
    model.save_pretrained(tmp_path / "factorised")
    loaded, report = auto.from_pretrained(tmp_path / "factorised", output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    assert loaded.config.model_type == f"hyperofa_{source.family.model_type}"
    assert torch.equal(loaded.eval()(input_ids=ids).logits, expected)

    export_dense(model).save_pretrained(tmp_path / "dense")
    dense = auto.from_pretrained(tmp_path / "dense").eval()
    assert type(dense).__module__.startswith("transformers.models.")
    torch.testing.assert_close(dense(input_ids=ids).logits, expected, atol=1e-5, rtol=1e-5)


def test_tied_factors_are_saved_once(source, target_tokenizer, tmp_path):
    model = assemble(source, target_tokenizer, **new_embeddings(source))
    model.save_pretrained(tmp_path)
    with safe_open(tmp_path / "model.safetensors", "pt") as handle:
        names = list(handle.keys())
    copies = 1 if source.output_embeddings is None else 2
    assert sum(name.endswith(".coordinates") for name in names) == copies
    assert sum(name.endswith(".primitives") for name in names) == copies


def test_the_body_is_the_sources(source, target_tokenizer, ids):
    """With the source's own rows, hidden states are the source's, also where positions follow the padding id."""
    values = new_embeddings(source, rank=None)
    values["coordinates"][7:40] = source.input_embeddings[7:40]
    model = assemble(source, target_tokenizer, **values)
    known = 7 + ids % 33
    with torch.no_grad():
        expected = source.model.base_model(input_ids=known).last_hidden_state
        found = model.base_model(input_ids=known).last_hidden_state
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_special_ids_follow_the_tokenizer(source, target_tokenizer):
    model = assemble(source, target_tokenizer, **new_embeddings(source))
    tokenizer = target_tokenizer
    assert model.config.vocab_size == SIZE
    assert model.config.pad_token_id == tokenizer.pad_token_id == 4
    assert model.base_model.get_submodule(source.family.embedding).padding_idx == 4
    assert model.config.bos_token_id == tokenizer.bos_token_id
    assert model.config.eos_token_id == tokenizer.eos_token_id
    if source.family.objective == "causal":
        assert model.generation_config.eos_token_id == tokenizer.eos_token_id
        assert model.generation_config.pad_token_id == tokenizer.pad_token_id
    if hasattr(model.config, "cls_token_id"):
        assert model.config.cls_token_id == tokenizer.cls_token_id


@pytest.mark.parametrize(
    ("name", "lacks", "wanted"),
    [
        ("llama", ("bos", "eos"), {"bos": "[CLS]", "eos": "[SEP]"}),
        ("modernbert", ("cls", "sep"), {"cls": "<s>", "sep": "</s>"}),
    ],
)
def test_a_role_that_the_target_lacks_is_filled_by_its_twin(target_tokenizer, name, lacks, wanted):
    for role in lacks:
        setattr(target_tokenizer, f"{role}_token", None)
    source = source_of(small_source(name))
    model = assemble(source, target_tokenizer, **new_embeddings(source))
    for role, token in wanted.items():
        assert getattr(model.config, f"{role}_token_id") == target_tokenizer.convert_tokens_to_ids(token)


def test_the_source_is_left_alone(source, target_tokenizer):
    before = {key: value.clone() for key, value in source.model.state_dict().items()}
    model = assemble(source, target_tokenizer, **new_embeddings(source))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1.0)
    assert all(torch.equal(value, before[key]) for key, value in source.model.state_dict().items())


def test_a_sixteen_bit_source_stays_one_and_its_rotary_frequencies_do_not(target_tokenizer, ids, tmp_path):
    source = source_of(small_source("llama", tied=False).to(torch.bfloat16))
    model = assemble(source, target_tokenizer, **new_embeddings(source))
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    assert {buffer.dtype for buffer in model.buffers()} == {torch.float32}
    model.save_pretrained(tmp_path)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    assert loaded.dtype == torch.bfloat16
    assert torch.equal(loaded(input_ids=ids).logits, model(input_ids=ids).logits)
    dense = export_dense(model)
    assert {buffer.dtype for buffer in dense.buffers()} == {torch.float32}
    # Two more roundings to 8 bits lie between the factors' scores and those of their product.
    torch.testing.assert_close(dense(input_ids=ids).logits, model(input_ids=ids).logits, atol=0.02, rtol=0.05)


def test_assembling_moves_no_ones_generator(source, target_tokenizer):
    values = new_embeddings(source)
    state = torch.get_rng_state()
    export_dense(assemble(source, target_tokenizer, **values))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("name", [name for name in FAMILIES if FAMILIES[name].plain_class("ForTokenClassification")])
def test_a_tagger_takes_the_body_and_embeddings(name, target_tokenizer, ids, tmp_path):
    source = source_of(small_source(name))
    model = assemble(source, target_tokenizer, **new_embeddings(source))
    model.save_pretrained(tmp_path)
    tagger = AutoModelForTokenClassification.from_pretrained(tmp_path, num_labels=3).eval()
    assert tagger(input_ids=ids).logits.shape == (2, 12, 3)
    bare = AutoModel.from_pretrained(tmp_path).eval()
    with torch.no_grad():
        expected = model.base_model(input_ids=ids).last_hidden_state
        assert torch.equal(bare(input_ids=ids).last_hidden_state, expected)
        assert torch.equal(tagger.base_model(input_ids=ids).last_hidden_state, expected)
    dense = export_dense(tagger)
    torch.testing.assert_close(dense(input_ids=ids).logits, tagger(input_ids=ids).logits, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"coordinates": torch.zeros(59, RANK)}, "the tokenizer's ids need 60 rows, the embeddings have 59"),
        ({"primitives": torch.zeros(RANK, WIDTH + 1)}, "width 16"),
        ({"coordinates": torch.zeros(SIZE, RANK + 1)}, "input embeddings have shapes"),
        ({"head_bias": torch.zeros(SIZE - 1)}, "bias has shape (63,)"),
        ({"head_bias": None}, "has a bias per token"),
        ({"output_coordinates": torch.zeros(SIZE, RANK)}, "give no output embeddings"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(change, message, target_tokenizer):
    source = source_of(small_source("bert"))
    with pytest.raises(InputError) as caught:
        assemble(source, target_tokenizer, **{**new_embeddings(source), **change})
    assert message in str(caught.value)


def test_an_encoder_needs_a_mask_token(target_tokenizer):
    source = source_of(small_source("bert"))
    target_tokenizer.mask_token = None
    with pytest.raises(InputError, match="no mask token"):
        assemble(source, target_tokenizer, **new_embeddings(source))


@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt2"])
def test_generation_is_the_dense_models(name, target_tokenizer, ids):
    source = source_of(small_source(name, tied=False))
    model = assemble(source, target_tokenizer, **new_embeddings(source))
    options = {"attention_mask": torch.ones_like(ids), "max_new_tokens": 8, "do_sample": False}
    found = model.generate(ids, **options)
    assert found.shape[1] > ids.shape[1]
    assert torch.equal(found, export_dense(model).generate(ids, **options))


def test_a_large_decoder_is_built_on_the_meta_device():
    family = FAMILIES["llama"]
    size, width, rank = 401_145, 4096, 400
    config = family.factorized_config(
        vocab_size=size, hidden_size=width, num_hidden_layers=2, embedding_rank=rank, tie_word_embeddings=True
    )
    with torch.device("meta"):
        model = family.factorized_class("ForCausalLM")(config)
    assert model.lm_head.coordinates is model.model.embed_tokens.coordinates
    assert model.model.embed_tokens.coordinates.shape == (size, rank)
    assert all(parameter.is_meta for parameter in model.parameters())


def test_building_never_makes_the_dense_matrix(monkeypatch):
    sizes = []
    plain_init = torch.nn.Embedding.__init__

    def recorded(self, num_embeddings, *arguments, **options):
        sizes.append(num_embeddings)
        plain_init(self, num_embeddings, *arguments, **options)

    monkeypatch.setattr(torch.nn.Embedding, "__init__", recorded)
    family = FAMILIES["llama"]
    values = small_source("llama").config.to_dict() | {"vocab_size": 10_000, "embedding_rank": 4}
    values.pop("model_type")
    sizes.clear()
    family.factorized_class("ForCausalLM")(family.factorized_config.from_dict(values))
    assert sizes
    assert max(sizes) == values["pad_token_id"] + 1


def test_resizing_is_refused(target_tokenizer):
    source = source_of(small_source("llama"))
    model = assemble(source, target_tokenizer, **new_embeddings(source))
    with pytest.raises(InputError, match="hyperofa init"):
        model.resize_token_embeddings(10)
