"""Corpora from Python: from a directory or a loaded tokenizer, and nothing of the process changed."""

from __future__ import annotations

import json

import pytest

import hyperofa
from hyperofa.corpus.reading import documents
from hyperofa.errors import InputError
from tests.unit.corpus.conftest import encoder_tokenizer


@pytest.fixture
def text(tmp_path):
    (tmp_path / "eng.txt").write_text("the dog sees\nthe cat sees\n" * 20)
    (tmp_path / "kab.jsonl").write_text('{"body": "aqjun yettwali"}\n' * 9)
    return tmp_path


def test_a_loaded_tokenizer_makes_the_corpus_of_its_folder(text, capsys):
    tokenizer = encoder_tokenizer()
    tokenizer.save_pretrained(text / "tokenizer")
    made = [
        hyperofa.prepare_corpus(given, {"eng": text / "eng.txt"}, out=text / name, length=16, cap=30)
        for given, name in ((tokenizer, "a"), (text / "tokenizer", "b"))
    ]
    assert made[0].fingerprint == made[1].fingerprint
    assert made[0].languages[0].documents == 30
    assert capsys.readouterr().out == ""


def test_settings_are_the_commands(text):
    files = {"eng": text / "eng.txt", "wiki": str(text / "eng.txt"), "kab": [text / "kab.jsonl"]}
    settings = {"length": 16, "field": "body", "cap": {"": 5, "wiki": 7}, "weight": {"kab": 2.0}}
    corpus = hyperofa.prepare_corpus(encoder_tokenizer(), files, out=text / "c", **settings)
    assert [(language.name, language.documents) for language in corpus.languages] == [
        ("eng", 5),
        ("wiki", 7),
        ("kab", 5),
    ]
    assert corpus.meta["sampling"]["weights"] == [1.0, 1.0, 2.0]
    record = json.loads((text / "c/corpus.json").read_text())["made_by"]["settings"]
    assert record["cap"] == {"": 5, "wiki": 7}
    assert "processes" not in record
    with pytest.raises(InputError, match="prepare_corpus: length: 4 is not in"):
        hyperofa.prepare_corpus(encoder_tokenizer(), files, out=text / "d", length=4)
    with pytest.raises(InputError, match="no language code"):
        hyperofa.prepare_corpus(encoder_tokenizer(), {"../x": text / "eng.txt"}, out=text / "d")
    assert not (text / "d").exists()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"prompt": "query: "}, "prompt: is for sentences with vectors, and no source is given"),
        ({"parallel": ["p"]}, "parallel: is for sentences with vectors"),
        ({"source": "m", "keep_whole": True}, "keep_whole: is for packed documents, and with a source every line"),
        ({"source": "m", "document": "paragraph"}, "document: is for packed documents"),
        ({"source": "m", "document_end": "none"}, "document_end: is for packed documents"),
    ],
)
def test_settings_of_the_other_kind_of_corpus_are_refused(text, given, said):
    with pytest.raises(InputError, match=said) as caught:
        hyperofa.prepare_corpus(encoder_tokenizer(), {"eng": text / "eng.txt"}, out=text / "d", **given)
    assert "\n" not in str(caught.value)


def test_reading_a_table_leaves_the_logs_of_datasets_as_they_were(tmp_path):
    from datasets import Dataset
    from datasets import logging as datasets_logging

    Dataset.from_dict({"text": ["a", "b"]}).to_parquet(tmp_path / "eng.parquet")
    before = datasets_logging.get_verbosity()
    assert list(documents(str(tmp_path / "eng.parquet"))) == ["a", "b"]
    assert datasets_logging.get_verbosity() == before
    next(documents(str(tmp_path / "eng.parquet")))
    assert datasets_logging.get_verbosity() == before
