"""Language-modelling losses against a plain reference, and the choice of words that no tokenizer can sway."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from hyperofa_eval.base.errors import InputError
from hyperofa_eval.data.layout import DataFolder
from hyperofa_eval.models import losses
from hyperofa_eval.models.loading import wrap
from hyperofa_eval.models.losses import chosen_words, text_losses
from hyperofa_eval.models.transformers_model import TransformersModel
from hyperofa_eval.tasks.language_modelling import LanguageModelling, cut, spaced

TEXTS = ["Tren istasyonu nerede?", "O et yemez.", "Kedi masanın üstünde uyuyor.", "猫在桌子上睡觉。"]


def reference(model, tokenizer, text, seed):
    """One passage, all logits, no batches."""
    words = chosen_words(text, 0.15, seed)
    encoded = tokenizer(text, return_offsets_mapping=True)
    ids = torch.tensor(encoded["input_ids"])
    wanted = [i for i, (a, b) in enumerate(encoded["offset_mapping"]) if any(a < y and x < b for x, y in words)]
    masked = ids.clone()
    masked[wanted] = tokenizer.mask_token_id
    with torch.no_grad():
        logits = model(input_ids=masked[None]).logits[0]
    nats = cross_entropy(logits[wanted], ids[wanted], reduction="sum").item()
    return nats, len(wanted), sum(b - a for a, b in words)


@pytest.mark.parametrize("size", [1, 64])
def test_masked_losses_equal_the_reference(bert, tokenizer, size):
    rows = text_losses(TransformersModel(bert, tokenizer, "small", "masked", size), TEXTS, 0.15, 3)
    for text, (nats, tokens, characters, _) in zip(TEXTS, rows, strict=True):
        expected = reference(bert, tokenizer, text, 3)
        assert nats == pytest.approx(expected[0], abs=1e-4)
        assert (tokens, characters) == expected[1:]


def test_a_head_that_needs_every_position_gives_the_same(bert, tokenizer, monkeypatch):
    model = TransformersModel(bert, tokenizer, "small", "masked")
    quick = text_losses(model, TEXTS, 0.15, 0)
    from contextlib import nullcontext

    monkeypatch.setattr(losses, "_at", lambda *_: nullcontext([]))
    assert np.allclose(quick, text_losses(model, TEXTS, 0.15, 0), atol=1e-4)


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_causal_losses_equal_the_models_own(tokenizer, name):
    import copy

    import transformers as t

    torch.manual_seed(0)
    if name == "llama":
        small = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
        lm = t.LlamaForCausalLM(t.LlamaConfig(vocab_size=len(tokenizer), num_key_value_heads=2, **small)).eval()
    else:
        lm = t.GPT2LMHeadModel(t.GPT2Config(vocab_size=len(tokenizer), n_embd=16, n_layer=2, n_head=2)).eval()
    plain = copy.deepcopy(tokenizer)
    plain.bos_token = "[CLS]"
    model = wrap(lm, plain, "causal")
    assert model.head == "causal"
    rows = text_losses(model, TEXTS, 0.15, 0)
    for text, (nats, tokens, characters, _) in zip(TEXTS, rows, strict=True):
        ids = torch.tensor(tokenizer(text)["input_ids"][:-1])  # [CLS] is where it starts; [SEP] is not text
        with torch.no_grad():
            logits = lm(input_ids=ids[None]).logits[0]
        assert nats == pytest.approx(cross_entropy(logits[:-1], ids[1:], reduction="sum").item(), abs=1e-3)
        assert (tokens, characters) == (len(ids) - 1, len(text))


def test_the_words_to_mask_depend_on_text_and_seed_alone():
    text = "one two three four five six seven eight nine ten " * 20
    words = chosen_words(text, 0.15, 0)
    assert words == chosen_words(text, 0.15, 0)
    assert words != chosen_words(text, 0.15, 1)
    assert 0.08 < len(words) / 200 < 0.22
    assert all(text[a:b].isalpha() for a, b in words)
    assert len(chosen_words("word", 0.15, 0)) == 1
    assert all(b - a <= 2 for a, b in chosen_words("猫在桌子上睡觉。" * 9, 0.5, 0))


def test_passages_too_long_for_the_model_are_halved(bert, tokenizer):
    text = "kedi " * 40  # 160 tokens, the model reads 64
    ((nats, tokens, _, _),) = text_losses(TransformersModel(bert, tokenizer, "small", "masked"), [text], 0.15, 0)
    assert np.isfinite(nats)
    assert tokens > 0


def test_lines_are_cut_at_spaces_and_spread_over_the_file():
    assert cut("aa bb cc dd", 5) == ["aa bb", "cc dd"]
    assert cut("aaaaaaa", 3) == ["aaa", "aaa", "a"]
    assert "".join(cut("x" * 1000, 256)) == "x" * 1000
    assert spaced(10, 3) == [0, 3, 6]
    assert spaced(2, 3) == [0, 1]


def test_bits_per_character_of_a_uniform_model(bert, tokenizer, data):
    """With all logits equal each token costs log2 V bits, and every masked character is one token here."""
    with torch.no_grad():
        bert.cls.predictions.decoder.weight.zero_()
        bert.cls.predictions.decoder.bias.zero_()
    model = TransformersModel(bert, tokenizer, "small", "masked")
    outcome = LanguageModelling().score(model, DataFolder(data), "swh", 0, None)
    assert outcome.items["bits_per_character"].value() == pytest.approx(np.log2(len(tokenizer)), rel=1e-5)
    assert outcome.items["loss"].value() == pytest.approx(np.log(len(tokenizer)), rel=1e-5)
    assert outcome.details["unknown_percent"] == 0.0


@pytest.mark.parametrize("scored", [0, 2])
def test_text_of_which_nothing_can_be_scored_has_no_score(data, scored):
    class Model:
        head, identity = "causal", {"name": "odd"}

        def text_losses(self, texts, share, seed):
            return [(1.0, 1, 5, 0)] * scored + [(0.0, 0, 0, 0)] * (len(texts) - scored)

    task = LanguageModelling()
    if scored:
        assert task.score(Model(), DataFolder(data), "swh", 0, 4).items["loss"].value() == 1.0
        return
    with pytest.raises(InputError, match="nothing of the swh text can be scored"):
        task.score(Model(), DataFolder(data), "swh", 0, 4)


def test_a_causal_model_whose_tokenizer_keeps_nothing_scores_nothing():
    from tokenizers import Tokenizer, models
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    letters = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE({"a": 0, "b": 1}, [])))
    shape = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    small = LlamaForCausalLM(LlamaConfig(vocab_size=2, **shape))
    rows = text_losses(TransformersModel(small, letters, "small", "causal"), ["猫", "a", "ab"], 0.15, 0)
    assert rows[:2] == [(0.0, 0, 0, 0)] * 2
    assert rows[2][1:] == (1, 1, 0)


def test_without_a_head_it_says_so(bert, tokenizer):
    with pytest.raises(InputError, match="without a language-model head"):
        text_losses(TransformersModel(bert.bert, tokenizer, "small"), TEXTS, 0.15, 0)
