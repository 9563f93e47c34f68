"""A donor beside the rooms of an initialisation: a model with the target's tokenizer, and others that do not fit."""

from __future__ import annotations

import shutil

import pytest
import torch
from transformers import BertConfig, BertModel

from hyperofa_eval.base.quiet import quiet_transformers
from tests.unit.init.conftest import unigram_tokenizer


def save_donor(folder, tokenizer, *, rows=None):
    """A bare BERT over ``tokenizer`` of another width than the source's."""
    torch.manual_seed(3)
    size = rows or len(tokenizer)
    config = BertConfig(
        vocab_size=size, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, pad_token_id=0
    )
    with quiet_transformers():
        BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def donor(rooms):
    """A folder with a donor that has the target's tokenizer."""
    shutil.rmtree(rooms / "donor", ignore_errors=True)
    return save_donor(rooms / "donor", unigram_tokenizer())
