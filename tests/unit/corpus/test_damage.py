"""A prepared corpus that was damaged or changed: it is found, and said in one line."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest

from hyperofa.cli import main
from hyperofa.corpus.packed import PackedCorpus, _record_batches
from hyperofa.corpus.prepare import prepare
from hyperofa.corpus.settings import CorpusSettings
from hyperofa.errors import DataMissingError, HyperofaError, InputError


@pytest.fixture
def damaged(tokenizer_directory, tmp_path) -> Path:
    (tmp_path / "a.txt").write_text("one dog\n")
    prepare(tokenizer_directory, {"eng_Latn": [str(tmp_path / "a.txt")]}, tmp_path / "c", CorpusSettings(length=16))
    return tmp_path / "c"


def test_damage_is_found(damaged):
    data = damaged / "data" / "eng_Latn.arrow"
    whole = data.read_bytes()
    data.write_bytes(whole[:-40])
    with pytest.raises(InputError, match="eng_Latn"):
        PackedCorpus.open(damaged)
    flipped = bytearray(whole)
    flipped[whole.index(b"\2\0\0\0", 400)] ^= 1
    data.write_bytes(flipped)
    with pytest.raises(InputError, match="checksum"):
        PackedCorpus.open(damaged).verify()
    data.unlink()
    with pytest.raises(DataMissingError, match="no such data file"):
        PackedCorpus.open(damaged)
    (damaged / "corpus.json").write_text('{"format": 99}')
    with pytest.raises(InputError, match="corpus format 99 is not 2; prepare the corpus again"):
        PackedCorpus.open(damaged)
    with pytest.raises(DataMissingError, match="no such file"):
        PackedCorpus.open(damaged / "data")


def test_any_byte_of_a_files_head_may_be_damaged(damaged):
    data = damaged / "data" / "eng_Latn.arrow"
    whole = data.read_bytes()
    for at in range(700):
        data.write_bytes(whole[:at] + bytes([(whole[at] + 1) % 256]) + whole[at + 1 :])
        with contextlib.suppress(HyperofaError):
            _record_batches(data, 32)


def test_the_table_of_tokens_is_part_of_the_corpus(damaged, capsys):
    table = damaged / "tokens.safetensors"
    whole = table.read_bytes()
    flipped = bytearray(whole)
    flipped[-1] ^= 1
    table.write_bytes(flipped)
    assert main(["corpus", "show", str(damaged), "--verify"]) == 2
    assert "tokens.safetensors: the checksum does not match" in capsys.readouterr().err
    table.write_bytes(whole[:-7])
    with pytest.raises(InputError, match="not a table of the tokens"):
        _ = PackedCorpus.open(damaged).tokens
    table.unlink()
    assert main(["corpus", "show", str(damaged), "--verify"]) == 3
    assert "tokens.safetensors: no such file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"length": "long"}, "length: "),
        ({"length": 0}, "a length of 0"),
        ({"languages": []}, "0 languages"),
        ({"languages": [{}]}, "languages.0.name"),
        ({"tokenizer": None}, "tokenizer: "),
        ({"sampling": {"weights": [1.0, 2.0], "temperature": 1.0}}, "2 sampling weights"),
        ({"sampling": {"weights": [float("nan")], "temperature": 1.0}}, "weights must be finite"),
        ({"sampling": {"weights": [3.0], "temperature": 1.0}}, "changed after it was written"),
        ({"surprise": 1}, "unknown config key 'surprise'"),
    ],
)
def test_a_malformed_description_is_one_line(damaged, capsys, changes, said):
    path = damaged / "corpus.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    assert main(["corpus", "show", str(damaged)]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "corpus.json" in error
    assert "prepare the corpus again" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("text", ["[]", "{}", "", "null"])
def test_what_is_no_description_is_one_line(damaged, capsys, text):
    (damaged / "corpus.json").write_text(text)
    assert main(["corpus", "show", str(damaged)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_path_that_leaves_the_corpus_is_refused(damaged):
    meta = json.loads((damaged / "corpus.json").read_text())
    meta["languages"][0]["file"] = "../a.txt"
    (damaged / "corpus.json").write_text(json.dumps(meta))
    with pytest.raises(InputError, match="leaves its folder"):
        PackedCorpus.open(damaged)
