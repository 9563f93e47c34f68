"""YAML texts: the value, or one line that says what is wrong."""

from __future__ import annotations

import pytest

from hyperofa.errors import InputError
from hyperofa_eval.settings.config import read_yaml
from hyperofa_eval.settings.yamltext import parse_yaml


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("steps: 1\nrun: r\nsteps: 3", "the key 'steps' stands twice"),
        ("a: {b: 1, b: 2}", "the key 'b' stands twice"),
        ("a: &a [*a]", "stands inside of what it names"),
        ("a: &a {b: [*a]}", "stands inside of what it names"),
        ("[" * 5000, "nested too deeply"),
        ("steps: " + "9" * 5000, "limit"),
        ("day: 2020-13-45", "month must be in"),
        ("x: !!int ''", "index out of range"),
        ("x: !!timestamp x", "NoneType"),
        ("a:\t1\n\tb: 2", "cannot start any token"),
        ("!!python/object/apply:os.getcwd []", "could not determine a constructor"),
        ("x: '\x01'", "special characters are not allowed"),
    ],
)
def test_what_cannot_be_read_is_told_in_one_line(tmp_path, text, said):
    (tmp_path / "own.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match="not valid YAML") as caught:
        read_yaml(tmp_path / "own.yaml")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_anchors_merges_and_a_byte_order_mark_are_read(tmp_path):
    text = "\ufeffbase: &b {x: 1, y: 2}\none: {<<: *b, x: 3}\ntwo: [*b, *b]"
    (tmp_path / "own.yaml").write_text(text, encoding="utf-8")
    value = read_yaml(tmp_path / "own.yaml")
    assert value["one"] == {"x": 3, "y": 2}
    assert value["two"] == [value["base"]] * 2


def test_an_empty_text_has_no_value():
    assert parse_yaml("") is None
