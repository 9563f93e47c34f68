"""What a source's tokenizer has beside its pieces survives extension, saving and loading."""

from __future__ import annotations

import json

import pytest
from tokenizers import AddedToken, processors
from transformers import AutoTokenizer

from hyperofa.vocab.report import save_tokenizer
from hyperofa.vocab.surfaces import token_surfaces
from hyperofa_eval.text.tokenizer import rows_needed
from tests.unit.vocab.conftest import MAKERS, extended

TEMPLATES = {"default": "{{ messages[0]['content'] }}<|eot_id|>", "tool_use": "{{ messages }}"}
TEXT = "the dog <|eot_id|> government . <|other|> dog <image> kept"


def make_source(name):
    """A tokenizer as a chat model has it, loaded as transformers loads it."""
    source = MAKERS[name]()
    source.add_special_tokens({"extra_special_tokens": [AddedToken("<|eot_id|>", rstrip=True), "<|python_tag|>"]})
    source.add_tokens([AddedToken("<|other|>", special=True, normalized=False), AddedToken("kept", single_word=True)])
    source.model_max_length = 77
    source.chat_template = dict(TEMPLATES)
    return source


@pytest.fixture
def source(family_name, tmp_path):
    make_source(family_name).save_pretrained(tmp_path / "source")
    path = tmp_path / "source/tokenizer_config.json"
    settings = {"clean_up_tokenization_spaces": True, "image_token": "<image>", "src_lang": "eng"}
    settings |= {"padding_side": "left", "truncation_side": "left"}
    path.write_text(json.dumps({**json.loads(path.read_text()), **settings}))
    return AutoTokenizer.from_pretrained(str(tmp_path / "source"))


def grow(source, tmp_path):
    text = tmp_path / "swh.txt"
    text.write_text("serikali na maji\n" * 30, encoding="utf-8")
    size = max(rows_needed(source), len(source))
    return extended(source, {"swh": [text]}, size + 10)


def reloaded(tokenizer, folder):
    """Saved and loaded twice, as ``tokenizer extend`` and then ``init`` do."""
    save_tokenizer(folder / "once", tokenizer, "tokenizer extend", {}, {}, {})
    AutoTokenizer.from_pretrained(str(folder / "once")).save_pretrained(folder / "twice")
    return AutoTokenizer.from_pretrained(str(folder / "twice"))


@pytest.mark.parametrize("saved", [False, True])
def test_special_tokens_of_no_role_survive(source, tmp_path, saved):
    grown = grow(source, tmp_path)
    grown = reloaded(grown, tmp_path) if saved else grown
    assert grown.all_special_ids == source.all_special_ids
    assert grown.extra_special_tokens == source.extra_special_tokens
    assert grown.image_token == source.image_token == "<image>"
    assert grown.special_tokens_map == source.special_tokens_map
    for name in ("<|eot_id|>", "<|python_tag|>"):
        assert source.convert_tokens_to_ids(name) in grown.all_special_ids
    old, new = (tokenizer.backend_tokenizer.get_added_tokens_decoder() for tokenizer in (source, grown))
    state = {token_id: token.__getstate__() for token_id, token in old.items()}
    assert {token_id: new[token_id].__getstate__() for token_id in old} == state
    ids = source(TEXT)["input_ids"]
    assert grown(TEXT)["input_ids"] == ids
    for skip in (True, False):
        assert grown.decode(ids, skip_special_tokens=skip) == source.decode(ids, skip_special_tokens=skip)
    mask = [tokenizer(TEXT, return_special_tokens_mask=True)["special_tokens_mask"] for tokenizer in (source, grown)]
    assert mask[0] == mask[1]
    assert grown.get_special_tokens_mask(ids, already_has_special_tokens=True) == source.get_special_tokens_mask(
        ids, already_has_special_tokens=True
    )
    assert token_surfaces(grown)[: rows_needed(source)] == token_surfaces(source)


@pytest.mark.parametrize("saved", [False, True])
def test_settings_and_templates_survive(source, tmp_path, saved):
    grown = grow(source, tmp_path)
    grown = reloaded(grown, tmp_path) if saved else grown
    names = ("model_max_length", "padding_side", "truncation_side", "clean_up_tokenization_spaces", "model_input_names")
    for name in names:
        assert getattr(grown, name) == getattr(source, name), name
    assert grown.padding_side == "left"
    assert grown.clean_up_tokenization_spaces is True
    assert grown.init_kwargs["src_lang"] == "eng"
    assert grown.chat_template == TEMPLATES
    messages = [{"role": "user", "content": "the dog"}]
    assert grown.apply_chat_template(messages, tokenize=False) == "the dog<|eot_id|>"


def test_what_frames_and_cuts_a_text_survives(tmp_path):
    source = MAKERS["byte-level"]()
    start = (source.bos_token, source.bos_token_id)
    source.backend_tokenizer.post_processor = processors.TemplateProcessing(f"{start[0]} $A", special_tokens=[start])
    source.backend_tokenizer.enable_truncation(5)
    source.backend_tokenizer.enable_padding(pad_id=1, pad_token="<pad>", direction="left")
    grown = reloaded(grow(source, tmp_path), tmp_path)
    assert grown.backend_tokenizer.truncation == source.backend_tokenizer.truncation
    assert grown.backend_tokenizer.padding == source.backend_tokenizer.padding
    for text in ("dog", "the dog the dog the dog"):
        assert grown(text)["input_ids"] == source(text)["input_ids"]
    assert grown("dog")["input_ids"][0] == source.bos_token_id


def test_nothing_of_where_the_source_lay_is_written(source, tmp_path):
    save_tokenizer(tmp_path / "out", grow(source, tmp_path), "tokenizer extend", {}, {}, {})
    assert str(tmp_path) not in (tmp_path / "out/tokenizer_config.json").read_text()
