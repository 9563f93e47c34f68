"""Unknown names: a near one is proposed only where it is near, and a short list of the known ones is always given."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperofa_eval.base.errors import unknown
from hyperofa_eval.base.names import advice, nearest, slips

FAMILIES = ["bert", "gemma", "gpt2", "llama", "modernbert", "qwen2", "roberta", "xlm-roberta"]


@pytest.mark.parametrize(
    ("name", "near"),
    [("albert", None), ("distilbert", None), ("deberta", None), ("electra", None), ("bart", "bert"), ("lama", "llama"),
     ("BERT", "bert"), ("xlm_robreta", "xlm-roberta"), ("modern-bert", "modernbert"), ("", None)],
)  # fmt: skip
def test_only_a_near_name_is_proposed(name, near):
    assert nearest(name, FAMILIES) == near


def test_the_known_names_are_listed():
    listed = "known: bert, gemma, gpt2, llama, modernbert, qwen2, roberta, xlm-roberta"
    assert str(unknown("family", "albert", FAMILIES)) == f"unknown family 'albert'; {listed}"
    assert str(unknown("family", "bret", FAMILIES)) == f"unknown family 'bret'; did you mean 'bert'? {listed}"


def test_a_long_list_is_cut():
    many = [f"language-{i:03}" for i in range(200)]
    assert advice("language-1111", many) == "did you mean 'language-111'?"
    assert advice("other", many).endswith("language-007 and 192 more")


def test_the_last_part_of_a_key_decides():
    assert nearest("train.settings.foo", ["train.settings.run"]) is None
    assert nearest("train.settings.learning_rte", ["train.settings.learning_rate"]) == "train.settings.learning_rate"


@given(st.text("abc", max_size=6), st.text("abc", max_size=6))
def test_slips_are_a_symmetric_count(a, b):
    assert slips(a, b) == slips(b, a) <= max(len(a), len(b))
    assert (slips(a, b) == 0) == (a == b)


def test_a_swap_is_one_slip():
    assert slips("trian", "train") == 1
