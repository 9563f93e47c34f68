"""Tokenizers from Python: objects in and out, nothing printed, and nothing of the process or of the source changed."""

from __future__ import annotations

import inspect
import json
import logging
import os

import pytest
from transformers import PreTrainedTokenizerFast

import hyperofa
from hyperofa import cli
from hyperofa.errors import DataMissingError, InputError
from hyperofa_eval.text.tokenizer import rows_needed
from tests.unit.vocab.conftest import MAKERS, make_wordpiece

LINES = ["serikali na maji ya mto", "maji ya serikali", "mto na maji mengi"] * 40


@pytest.fixture
def text(tmp_path):
    (tmp_path / "swh.txt").write_text("\n".join(LINES), encoding="utf-8")
    return tmp_path / "swh.txt"


@pytest.fixture
def unchanged(capsys):
    """Fails a test that prints on standard output, or changes the environment or the set-up of logging."""

    def state():
        environment = {key: value for key, value in os.environ.items() if key != "PYTEST_CURRENT_TEST"}
        return environment, [
            list(logging.getLogger(name).handlers) for name in ("hyperofa", "datasets", "transformers")
        ]

    before = state()
    yield
    assert state() == before
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", list(MAKERS))
def test_a_loaded_tokenizer_is_extended_and_not_changed(name, text, unchanged):
    source = MAKERS[name]()
    before, size = source.backend_tokenizer.to_str(), rows_needed(source)
    grown = hyperofa.extend_tokenizer(source, {"swh": str(text)}, vocab_size=size + 20)
    assert source.backend_tokenizer.to_str() == before
    assert type(grown) is PreTrainedTokenizerFast
    assert rows_needed(grown) > size
    assert source.get_vocab().items() <= grown.get_vocab().items()
    fertility = grown.hyperofa_report["fertility"]
    assert fertility["after"]["swh"]["tokens_per_word"] < fertility["before"]["swh"]["tokens_per_word"]


def test_the_command_writes_what_the_function_gives(text, tmp_path, capsys):
    make_wordpiece().save_pretrained(tmp_path / "source")
    chosen = {"vocab_size": 200, "held_out": 0.1, "alpha": 0.3, "min_count": 4}
    made = hyperofa.extend_tokenizer(tmp_path / "source", [text], out=tmp_path / "python", **chosen)
    words = ["--source", str(tmp_path / "source"), "--text", str(text), "--vocab-size", "200"]
    words += ["--held-out", "0.1", "--alpha", "0.3", "--min-count", "4", "--out", str(tmp_path / "command"), "--json"]
    assert cli.main(["tokenizer", "extend", *words]) == 0
    for name in ("tokenizer.json", "tokenizer_config.json", "training.json"):
        assert (tmp_path / "python" / name).read_bytes() == (tmp_path / "command" / name).read_bytes()
    assert json.loads(capsys.readouterr().out) == {"out": str(tmp_path / "command"), **made.hyperofa_report}


def test_a_trained_tokenizer_needs_no_folder(text, unchanged, tmp_path):
    made = hyperofa.train_tokenizer({"swh": [text]}, vocab_size=60, byte_fallback=False, max_length=99)
    assert made.model_max_length == 99
    assert made.hyperofa_report["entries"] == len(made) <= 60
    assert [path.name for path in tmp_path.iterdir()] == ["swh.txt"]
    made.save_pretrained(tmp_path / "saved")
    assert "hyperofa_report" not in (tmp_path / "saved/tokenizer_config.json").read_text()


def test_wrong_calls_are_one_line(text, unchanged):
    source = make_wordpiece()
    for wrong, kind, said in (
        ({"cap": 0}, InputError, "cap: 0 is not a number of 1 or more"),
        ({"keep_source_text": True}, InputError, "no text to keep"),
        ({"lengest": 9}, InputError, "unknown config key 'lengest'; did you mean 'longest'"),
        ({"source_text": {"eng": "nowhere.txt"}}, DataMissingError, r"nowhere\.txt: no such file"),
        ({"vocab_size": 3}, InputError, "3 is not above the source's"),
        ({"vocab_size": "bend"}, InputError, "vocab_size: 'bend' is not a whole number or 'auto'"),
        ({"min_count": 0}, InputError, "min_count: 0 is not a number of 1 or more"),
    ):
        with pytest.raises(kind, match=said):
            hyperofa.extend_tokenizer(source, {"swh": text}, **{"vocab_size": 400, **wrong})
    with pytest.raises(InputError, match="not a fast tokenizer"):
        hyperofa.extend_tokenizer(object(), {"swh": text}, vocab_size=400)
    with pytest.raises(InputError, match="no language code in 'Swahili="):
        hyperofa.train_tokenizer({"Swahili": text}, vocab_size=60)


def test_the_signatures_show_the_settings():
    shown = inspect.signature(hyperofa.extend_tokenizer).parameters
    assert shown["cap"].default == 200_000
    assert shown["vocab_size"].default is inspect.Parameter.empty
    assert "byte_fallback" in inspect.signature(hyperofa.train_tokenizer).parameters
    assert "held_out: share of" in hyperofa.train_tokenizer.__doc__
