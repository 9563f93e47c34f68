"""Trimming: the text is cut as before, ids are dense, what spelling needs stays, and every row is found again."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tokenizers import AddedToken, processors

import hyperofa
from hyperofa import cli
from hyperofa.errors import HyperofaError, InputError
from hyperofa.init.provenance import NAMES
from hyperofa.vocab import trim
from hyperofa.vocab.change import token_ids
from hyperofa.vocab.overlap import overlap
from hyperofa.vocab.report import load_tokenizer
from hyperofa.vocab.roles import special_roles
from hyperofa.vocab.trim import trim_vocabulary
from tests.unit.init.conftest import rooms
from tests.unit.vocab.conftest import MAKERS, make_byte_level, make_unigram, make_wordpiece

__all__ = ["rooms"]

LINES = ["the dog, the government.", "Dog and dogs", "政府 the", "government dog 12", "cat☃ dog", "dog"]


@pytest.fixture
def files(tmp_path):
    path = tmp_path / "eng.txt"
    path.write_text("\n".join(LINES), encoding="utf-8")
    return {"eng": [path]}


def pieces(tokenizer, lines):
    return [tokenizer.convert_ids_to_tokens(list(ids)) for ids in token_ids(tokenizer, lines)]


def vocabulary(tokenizer):
    return set(tokenizer.get_vocab())


def test_the_text_is_cut_as_before_and_ids_are_dense(families, family_name, files):
    source = families[family_name]
    before = source.backend_tokenizer.to_str()
    trimmed = trim_vocabulary(source, files, 1).tokenizer
    assert pieces(trimmed, LINES) == pieces(source, LINES)
    assert sorted(trimmed.get_vocab().values()) == list(range(len(trimmed)))
    assert vocabulary(trimmed) < vocabulary(source)
    assert source.backend_tokenizer.to_str() == before
    assert {role: trimmed.convert_ids_to_tokens(i) for role, i in special_roles(trimmed).items()} == {
        role: source.convert_ids_to_tokens(i) for role, i in special_roles(source).items()
    }


def test_every_entry_finds_its_row(families, family_name, files):
    source = families[family_name]
    trimmed = trim_vocabulary(source, files, 1).tokenizer
    names = trimmed.convert_ids_to_tokens(list(range(len(trimmed))))
    assert overlap(source, trimmed).tolist() == source.convert_tokens_to_ids(names)


def test_other_text_of_the_scripts_is_spelled(families, family_name, files):
    source = families[family_name]
    trimmed = trim_vocabulary(source, files, 1).tokenizer
    other = "zebra quiz vexing 9038"
    assert trimmed.unk_token_id not in trimmed.encode(other, add_special_tokens=False) or not trimmed.unk_token
    assert trimmed.decode(trimmed.encode(other, add_special_tokens=False)) == source.decode(
        source.encode(other, add_special_tokens=False)
    )


def test_letters_of_other_scripts_go(files):
    trimmed = trim_vocabulary(make_unigram(), files, 1).tokenizer
    assert "б" in vocabulary(make_unigram())
    assert "б" not in vocabulary(trimmed)
    assert {"z", "é", "-", "7", "政"} <= vocabulary(trimmed)


def test_a_script_of_a_stray_letter_is_not_kept_whole(tmp_path):
    path = tmp_path / "eng.txt"
    path.write_text("the dog and the cat\n" * 100 + "б\n", encoding="utf-8")
    kept = vocabulary(trim_vocabulary(make_unigram(), {"eng": [path]}, 1).tokenizer)
    assert "б" in kept
    assert "к" not in kept


@pytest.mark.parametrize("name", ["byte-level", "sentencepiece-bpe"])
def test_bpe_keeps_bytes_and_what_its_pieces_are_merged_from(name, files):
    source = MAKERS[name]()
    trimmed = trim_vocabulary(source, files, 1).tokenizer
    kept = vocabulary(trimmed)
    model = json.loads(trimmed.backend_tokenizer.to_str())["model"]
    merges = [tuple(merge) for merge in model["merges"]]
    assert merges
    assert all({left, right, left + right} <= kept for left, right in merges)
    assert len([piece for piece in kept if piece.startswith("<0x") or len(piece) == 1]) >= 256
    assert pieces(trimmed, ["government"]) == pieces(source, ["government"])


def test_added_tokens_templates_and_numbers_of_the_post_processor_survive(family_name, files, tmp_path):
    source = MAKERS[family_name]()
    start = source.cls_token or source.bos_token
    end = source.sep_token or source.eos_token
    ids = [(token, source.convert_tokens_to_ids(token)) for token in (start, end)]
    source.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{start} $A {end}", special_tokens=ids
    )
    source.add_special_tokens({"extra_special_tokens": ["<|user|>"]})
    source.add_tokens([AddedToken("bundestag")])
    source.chat_template = "{{ messages[0]['content'] }}"
    hyperofa.trim_tokenizer(source, files, out=tmp_path / "out")
    trimmed = load_tokenizer(tmp_path / "out")
    for text in ("the dog", "dog<|user|>dog", "the bundestag"):
        assert trimmed.convert_ids_to_tokens(trimmed.encode(text)) == source.convert_ids_to_tokens(source.encode(text))
    assert trimmed.encode("dog")[0] == trimmed.convert_tokens_to_ids(start)
    assert trimmed.chat_template == source.chat_template
    assert trimmed.convert_tokens_to_ids("<|user|>") in trimmed.all_special_ids
    assert max(trimmed.get_vocab().values()) == len(trimmed) - 1


def test_the_other_post_processors_are_numbered_anew(files):
    source = make_byte_level()
    source.backend_tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    source.backend_tokenizer.enable_padding(pad_id=1, pad_token="<pad>")
    trimmed = trim_vocabulary(source, files, 1).tokenizer
    spec = json.loads(trimmed.backend_tokenizer.to_str())
    assert spec["post_processor"]["sep"] == ["</s>", trimmed.convert_tokens_to_ids("</s>")]
    assert trimmed.convert_ids_to_tokens(trimmed.encode("dog")) == source.convert_ids_to_tokens(source.encode("dog"))


def test_wordpiece_gives_up_on_the_same_words(tmp_path):
    """``foo☃`` is unknown since ``foo`` is tried first; without it, ``fo`` and ``##o☃`` would be found."""
    source = make_wordpiece(words=["foo", "fo", "o☃"])
    path = tmp_path / "eng.txt"
    path.write_text("foo☃ fo fo☃o\nfoa☃ bo☃\n", encoding="utf-8")
    lines = path.read_text().splitlines()
    trimmed = trim_vocabulary(source, {"eng": [path]}, 1).tokenizer
    assert pieces(source, lines)[0][0] == "[UNK]"
    assert pieces(trimmed, lines) == pieces(source, lines)


def test_what_an_unknown_character_costs_stays(tmp_path):
    """The worst score of a unigram sets it; the piece that has it is not in the text."""
    source = make_unigram()
    spec = json.loads(source.backend_tokenizer.to_str())
    assert min(score for _, score in spec["model"]["vocab"]) == -9
    path = tmp_path / "eng.txt"
    path.write_text("the ☃dog\n")
    model = json.loads(trim_vocabulary(source, {"eng": [path]}, 1).tokenizer.backend_tokenizer.to_str())["model"]
    assert min(score for _, score in model["vocab"]) == -9


@pytest.mark.parametrize("name", ["byte-level", "unigram", "wordpiece-cased", "sentencepiece-bpe"])
def test_rare_pieces_are_left_out_where_asked(name, tmp_path):
    path = tmp_path / "eng.txt"
    path.write_text("the dog\n" * 5 + "the government\n", encoding="utf-8")
    source = MAKERS[name]()
    all_kept = trim_vocabulary(source, {"eng": [path]}, 1)
    fewer = trim_vocabulary(source, {"eng": [path]}, 3)
    gone = vocabulary(all_kept.tokenizer) - vocabulary(fewer.tokenizer)
    assert any("government" in piece for piece in gone)
    assert not any("dog" in piece for piece in gone)
    assert "".join(pieces(fewer.tokenizer, ["government"])[0]).replace("##", "").strip("▁Ġ") == "government"


def test_a_line_that_would_be_cut_otherwise_is_an_error(files, monkeypatch):
    monkeypatch.setattr(trim._Trimmer, "closed", lambda self, used, left_out: self.fixed)
    with pytest.raises(HyperofaError, match="would cut 'the dog"):
        trim_vocabulary(make_unigram(), files, 1)


class TestCommand:
    def run(self, tmp_path, *words):
        return cli.main(["tokenizer", "trim", "--out", str(tmp_path / "out"), *map(str, words)])

    def test_writes_and_tells(self, tmp_path, files, capsys):
        source = make_wordpiece()
        source.save_pretrained(tmp_path / "source")
        words = ("--source", tmp_path / "source", "--text", *files["eng"])
        assert self.run(tmp_path, *words, "--json") == 0
        record = json.loads(capsys.readouterr().out)
        assert record["source_entries"] == len(source) > record["entries"] > record["used"] > 5
        assert record["fertility"]["before"] == record["fertility"]["after"]
        assert record["text"] == {"eng": {"lines": 6}}
        written = json.loads((tmp_path / "out/training.json").read_text())
        assert written["made_by"]["settings"] == {"source": "source", "min_count": 1}
        made = hyperofa.trim_tokenizer(tmp_path / "source", files)
        assert made.get_vocab() == load_tokenizer(tmp_path / "out").get_vocab()
        assert self.run(tmp_path, *words) == 0
        assert f"{record['entries']:,} of {len(source):,} entries" in capsys.readouterr().out

    def test_wrong_input_is_one_line(self, tmp_path, files, capsys):
        make_wordpiece().save_pretrained(tmp_path / "source")
        (tmp_path / "kat.txt").write_text(" \n")
        (text,) = files["eng"]
        source = ("--source", tmp_path / "source")
        for code, words, told in (
            (2, (*source, "--text", text, "--min-count", "0"), "--min-count: 0 is not a number of 1 or more"),
            (2, (*source, "--text", text, tmp_path / "kat.txt"), "kat.txt: no words in the text"),
            (3, (*source, "--text", tmp_path / "tur.txt"), "tur.txt: no such file"),
            (3, ("--source", tmp_path / "nowhere", "--text", text), "no such directory"),
            (2, ("--text", text), "the following arguments are required: --source"),
        ):
            assert self.run(tmp_path, *words) == code
            (line,) = capsys.readouterr().err.strip().splitlines()
            assert told in line
        assert not (tmp_path / "out").exists()
        (tmp_path / "out").mkdir()
        (tmp_path / "out/model.safetensors").write_bytes(b"weights")
        assert self.run(tmp_path, *source, "--text", text) == 2
        assert "holds something else" in capsys.readouterr().err
        with pytest.raises(InputError, match="min_count: 0 is not"):
            hyperofa.trim_tokenizer(tmp_path / "source", files, min_count=0)


def test_initialise_copies_every_row(rooms, tmp_path):
    path = tmp_path / "eng.txt"
    path.write_text("dog cat dogs walking\nred sun 1\n")
    trimmed = hyperofa.trim_tokenizer(rooms / "source", {"eng": path}, out=tmp_path / "trimmed")
    source = load_tokenizer(rooms / "source")
    assert len(trimmed) < len(source)
    made = hyperofa.initialise(rooms / "source", tmp_path / "trimmed", method="random")
    ids = source.convert_tokens_to_ids(trimmed.convert_ids_to_tokens(list(range(len(trimmed)))))
    assert made.provenance.source_id[: len(trimmed)].tolist() == ids
    assert {NAMES[code] for code in made.provenance.code[: len(trimmed)]} == {"special", "copied"}
    from transformers import AutoModelForMaskedLM

    old = AutoModelForMaskedLM.from_pretrained(rooms / "source").get_input_embeddings().weight.detach().numpy()
    new = made.model.get_input_embeddings().weight.detach().numpy()
    assert np.array_equal(new[: len(trimmed)], old[ids])
