"""Sentence vectors: the right block and pooling, the same whatever the batches, and a cache that cannot go stale."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from hyperofa_eval.base.errors import InputError
from hyperofa_eval.models.encoder import Encoder, layer_list, positions
from hyperofa_eval.models.encoding import EncodeSettings, auto_block
from hyperofa_eval.models.hashing import hash_model, hash_tokenizer
from hyperofa_eval.models.loading import wrap
from hyperofa_eval.models.transformers_model import TransformersModel

BLOCK_2 = EncodeSettings(2)
TEXTS = ["Tren istasyonu nerede?", "O et yemez.", "猫在桌子上睡觉。", "a", "Kedi masanın üstünde uyuyor, köpek değil."]


def one_by_one(body, tokenizer, text, block, pooling):
    """The obvious reference: one text, no padding, ``hidden_states[block]``."""
    encoded = tokenizer(text, return_tensors="pt", return_special_tokens_mask=True)
    special = encoded.pop("special_tokens_mask")[0].bool()
    with torch.no_grad():
        states = body(**encoded, output_hidden_states=True).hidden_states[block][0]
    if pooling == "cls":
        return states[0].numpy()
    if pooling == "last":
        return states[-1].numpy()
    return states[~special].mean(0).numpy() if pooling == "mean" else states.mean(0).numpy()


@pytest.mark.parametrize("pooling", ["mean", "mean-all", "cls", "last"])
@pytest.mark.parametrize("block", [1, 3, 4])
def test_vectors_equal_the_reference_for_any_batch_size(bert, tokenizer, block, pooling):
    expected = np.stack([one_by_one(bert.bert, tokenizer, text, block, pooling) for text in TEXTS])
    for size in (1, 2, 64):
        model = TransformersModel(bert, tokenizer, "small", batch_size=size)
        found = model.encode(TEXTS, EncodeSettings(block, pooling))
        assert np.abs(found - expected).max() < 1e-5


def test_the_prompt_of_the_task_or_else_of_the_model_stands_before_every_text(bert, tokenizer):
    plain, own = (TransformersModel(bert, tokenizer, "small", prompt=prompt) for prompt in ("", "kedi "))
    expected = plain.encode([f"kedi {text}" for text in TEXTS], BLOCK_2)
    assert np.array_equal(own.encode(TEXTS, BLOCK_2), expected)
    assert np.array_equal(plain.encode(TEXTS, EncodeSettings(2, prompt="kedi ")), expected)
    assert np.array_equal(own.encode(TEXTS, EncodeSettings(2, prompt="")), plain.encode(TEXTS, BLOCK_2))
    assert (own.identity["prompt"], "prompt" in plain.identity) == ("kedi ", False)


def families():
    import transformers as t

    small = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32}
    yield t.RobertaConfig(vocab_size=700, max_position_embeddings=66, pad_token_id=1, **small)
    yield t.ModernBertConfig(vocab_size=700, max_position_embeddings=64, pad_token_id=0, cls_token_id=2, **small)
    yield t.LlamaConfig(vocab_size=700, max_position_embeddings=64, num_key_value_heads=2, **small)
    yield t.GPT2Config(vocab_size=700, n_embd=16, n_layer=3, n_head=2, n_positions=64)


@pytest.mark.parametrize("config", families(), ids=lambda config: config.model_type)
def test_every_family_leaves_early_with_the_same_states(config, tokenizer):
    from transformers import AutoModel

    torch.manual_seed(0)
    body = AutoModel.from_config(config).eval()
    assert layer_list(body, 3) is not None
    assert positions(body) == 64
    model = TransformersModel(body, tokenizer, "small", batch_size=3)
    for block in (1, 2, 3):
        found = model.encode(TEXTS, EncodeSettings(block, "mean"))
        tokens = tokenizer(TEXTS, return_special_tokens_mask=True)
        for row, ids, special in zip(found, tokens["input_ids"], tokens["special_tokens_mask"], strict=True):
            with torch.no_grad():
                states = body(input_ids=torch.tensor([ids]), output_hidden_states=True).hidden_states[block][0]
            assert np.abs(row - states[~torch.tensor(special).bool()].mean(0).numpy()).max() < 1e-5
    assert model.encoder._early == {1: True, 2: True}


def test_leaving_early_is_not_used_where_it_would_be_wrong(bert, tokenizer, monkeypatch):
    model = TransformersModel(bert, tokenizer, "small")
    expected = model.encode(TEXTS, EncodeSettings(2))
    fresh = TransformersModel(bert, tokenizer, "small")
    monkeypatch.setattr(Encoder, "_until", lambda self, tokens, mask, block: torch.zeros(len(tokens), 1, 16))
    assert np.abs(fresh.encode(TEXTS, EncodeSettings(2)) - expected).max() < 1e-6
    assert fresh.encoder._early == {2: False}


def test_all_blocks_in_one_pass(bert, tokenizer):
    model = TransformersModel(bert, tokenizer, "small")
    every = model.encode_blocks(TEXTS, EncodeSettings("all"))
    assert every.shape == (5, 4, 16)
    for block in (1, 2, 3, 4):
        assert np.abs(every[:, block - 1] - model.encode(TEXTS, EncodeSettings(block))).max() < 1e-5


def test_a_text_without_tokens_of_its_own_has_a_finite_vector(bert, tokenizer):
    found = TransformersModel(bert, tokenizer, "small").encode(["\u00a0"], EncodeSettings(2))
    assert np.isfinite(found).all()


def test_auto_block_is_two_thirds_of_the_depth():
    assert [auto_block(depth) for depth in (1, 2, 6, 12, 24, 32)] == [1, 1, 4, 8, 16, 21]


def test_a_block_the_model_lacks_is_refused(bert, tokenizer):
    with pytest.raises(InputError, match="has 4 blocks, so none is number 8"):
        TransformersModel(bert, tokenizer, "small").encode(TEXTS, EncodeSettings(8))


class TestCache:
    """On disk, by content."""

    def encode(self, model, tokenizer, folder, settings=BLOCK_2, texts=TEXTS):
        wrapped = wrap(model, tokenizer, "same name", cache=folder)
        vectors = wrapped.encode(texts, settings)
        cache = wrapped.encoder.cache_for(settings)
        return vectors, cache.hits, cache.misses

    def test_a_second_run_computes_nothing_and_gives_the_same(self, bert, tokenizer, tmp_path):
        first, hits, misses = self.encode(bert, tokenizer, tmp_path)
        assert (hits, misses) == (0, 5)
        second, hits, misses = self.encode(bert, tokenizer, tmp_path)
        assert (hits, misses) == (5, 0)
        assert np.array_equal(first, second)

    def test_only_new_texts_are_computed(self, bert, tokenizer, tmp_path):
        self.encode(bert, tokenizer, tmp_path)
        _, hits, misses = self.encode(bert, tokenizer, tmp_path, texts=[*TEXTS, "yeni", "yeni"])
        assert (hits, misses) == (5, 1)

    def test_english_is_encoded_once_for_all_languages(self, bert, tokenizer, data):
        from hyperofa_eval.data.layout import DataFolder
        from hyperofa_eval.runner import run_tasks
        from hyperofa_eval.tasks.protocols import default

        model = wrap(bert, tokenizer, "small")
        task = default()["sr-t"]
        run_tasks(model, [task], DataFolder(data), codes=["tur", "ces", "swh"])
        cache = model.encoder.cache_for(task.encoding())
        assert (cache.hits, cache.misses) == (24, 48)

    def test_a_changed_weight_misses(self, bert, tokenizer, tmp_path):
        self.encode(bert, tokenizer, tmp_path)
        with torch.no_grad():
            bert.bert.encoder.layer[0].output.dense.weight[0, 0] += 1e-6
        assert self.encode(bert, tokenizer, tmp_path)[1:] == (0, 5)

    def test_a_changed_config_misses(self, bert, tokenizer, tmp_path):
        self.encode(bert, tokenizer, tmp_path)
        bert.config.layer_norm_eps = 1e-3
        assert self.encode(bert, tokenizer, tmp_path)[1:] == (0, 5)

    def test_a_changed_tokenizer_misses(self, bert, tokenizer, tmp_path):
        self.encode(bert, tokenizer, tmp_path)
        from tokenizers import normalizers

        other = copy.deepcopy(tokenizer)
        other.backend_tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
        assert self.encode(bert, other, tmp_path)[1:] == (0, 5)

    @pytest.mark.parametrize("settings", [EncodeSettings(3), EncodeSettings(2, "cls"), EncodeSettings(2, "mean", 8)])
    def test_other_settings_miss(self, bert, tokenizer, tmp_path, settings):
        self.encode(bert, tokenizer, tmp_path)
        assert self.encode(bert, tokenizer, tmp_path, settings)[1:] == (0, 5)

    def test_a_torn_file_is_computed_again(self, bert, tokenizer, tmp_path):
        first, *_ = self.encode(bert, tokenizer, tmp_path)
        (shard,) = tmp_path.rglob("*.safetensors")
        shard.write_bytes(shard.read_bytes()[:-10])
        second, hits, misses = self.encode(bert, tokenizer, tmp_path)
        assert (hits, misses) == (0, 5)
        assert np.array_equal(first, second)


def test_a_call_does_not_change_the_tokenizers_hash(tokenizer):
    before = hash_tokenizer(tokenizer)
    tokenizer(TEXTS, truncation=True, max_length=7, padding=True)
    assert hash_tokenizer(tokenizer) == before


def test_a_poolers_random_weights_do_not_count(bert, tmp_path, tokenizer):
    from hyperofa_eval.models.loading import load_model

    bert.save_pretrained(tmp_path)  # a masked-LM checkpoint holds no pooler
    tokenizer.save_pretrained(tmp_path)
    first, second = load_model(str(tmp_path)), load_model(str(tmp_path))
    assert first.unread
    assert first.identity["sha256"] == second.identity["sha256"]
    assert hash_model(first.body) != hash_model(second.body)
    with_head = load_model(str(tmp_path), head=True)
    assert with_head.head == "masked"
    assert with_head.identity["sha256"] == first.identity["sha256"]
