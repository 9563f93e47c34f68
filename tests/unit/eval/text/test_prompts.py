"""What a model's own settings put before its texts."""

from __future__ import annotations

import json

import pytest

from hyperofa_eval.base.errors import InputError
from hyperofa_eval.text.prompts import FILE, default_prompt


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (None, ""),
        ({"prompts": {"query": "query: "}}, ""),
        ({"prompts": {"query": "query: "}, "default_prompt_name": None}, ""),
        ({"prompts": {"query": "query: ", "passage": "p: "}, "default_prompt_name": "query"}, "query: "),
        ([], ""),
    ],
)
def test_the_default_prompt_is_the_named_one(tmp_path, settings, expected):
    if settings is not None:
        (tmp_path / FILE).write_text(json.dumps(settings))
    assert default_prompt(str(tmp_path)) == expected


def test_a_name_without_a_prompt_is_refused_in_one_line(tmp_path):
    (tmp_path / FILE).write_text(json.dumps({"prompts": {}, "default_prompt_name": "query"}))
    with pytest.raises(InputError, match="names the prompt 'query', which it does not have") as caught:
        default_prompt(str(tmp_path))
    assert "\n" not in str(caught.value)
