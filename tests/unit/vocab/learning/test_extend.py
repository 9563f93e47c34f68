"""Extending: every family keeps its ids, gains pieces that are used, and loses its unknowns."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from hyperofa import cli
from hyperofa.errors import InputError
from hyperofa.vocab.learning.extend import _Cutter
from hyperofa.vocab.learning.merges import learn_merges
from hyperofa.vocab.learning.sampling import survey
from hyperofa.vocab.report import fertility
from hyperofa.vocab.settings import SamplingSettings
from hyperofa.vocab.surfaces import backend_spec, byte_alphabet, family, token_surfaces
from tests.unit.vocab.conftest import MAKERS, extended, make_wordpiece

LINES = {
    "kat": ["მთავრობა წყალი ძაღლი", "მთავრობა და ძაღლი", "წყალი და მთავრობა"] * 10,
    "swh": ["serikali na maji", "mbwa na serikali", "maji na mbwa"] * 10,
}


@pytest.fixture
def files(tmp_path):
    for language, lines in LINES.items():
        (tmp_path / f"{language}.txt").write_text("\n".join(lines), encoding="utf-8")
    return {language: [tmp_path / f"{language}.txt"] for language in LINES}


def size_of(tokenizer):
    return max(tokenizer.get_vocab().values()) + 1


def test_old_ids_stay_and_new_pieces_are_used(families, family_name, files):
    source = families[family_name]
    grown = extended(source, files, size_of(source) + 40)
    assert size_of(source) + 15 <= size_of(grown) <= size_of(source) + 40
    for token, token_id in source.get_vocab().items():
        assert grown.convert_tokens_to_ids(token) == token_id
    before, after = token_surfaces(source), token_surfaces(grown)
    assert after[: len(before)] == before
    for language, lines in LINES.items():
        was, now = fertility(source, lines), fertility(grown, lines)
        if was["unknown"] == 0:  # an unknown word is one token
            assert now["tokens_per_word"] < was["tokens_per_word"], language
        assert now["unknown"] == 0
    used = {i for lines in LINES.values() for line in lines for i in grown.encode(line)}
    assert max(used) >= len(before)


def test_specials_and_templates_survive(families, family_name, files):
    source = families[family_name]
    grown = extended(source, files, size_of(source) + 20)
    assert grown.all_special_ids == source.all_special_ids
    text = "the dog"
    assert grown.decode(grown.encode(text), skip_special_tokens=True) == source.decode(
        source.encode(text), skip_special_tokens=True
    )


def test_added_tokens_beyond_the_model_keep_their_ids(family_name, files):
    """Loading a tokenizer numbers added tokens anew after the model's pieces: they would move when it grows."""
    source = MAKERS[family_name]()
    source.add_special_tokens({"additional_special_tokens": ["<|user|>"]})
    source.add_tokens(["bundestag"])
    grown = extended(source, files, size_of(source) + 20)
    for token in ("<|user|>", "bundestag"):
        assert grown.convert_tokens_to_ids(token) == source.convert_tokens_to_ids(token)
    ids = grown.encode("dog<|user|>dog", add_special_tokens=False)
    assert source.convert_tokens_to_ids("<|user|>") in ids


@pytest.mark.parametrize("name", ["wordpiece-uncased", "byte-level", "unigram", "sentencepiece-bpe"])
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=st.lists(st.text("abcdogზია ґ", min_size=1, max_size=20), min_size=1, max_size=8), more=st.integers(1, 30))
def test_any_text_keeps_the_ids(tmp_path_factory, name, lines, more):
    """Property over families: whatever the text, old ids stay and the text is spelled out again."""
    path = tmp_path_factory.mktemp("text") / "eng.txt"
    path.write_text("\n".join(lines), encoding="utf-8")
    source = MAKERS[name]()
    size = size_of(source) + more
    if not "".join(lines).split():
        with pytest.raises(InputError, match="no words in the text"):
            extended(source, {"eng": [path]}, size, coverage=1.0)
        return
    grown = extended(source, {"eng": [path]}, size, coverage=1.0)
    old = source.get_vocab()
    assert {token: token_id for token, token_id in grown.get_vocab().items() if token in old} == old


def test_merges_are_those_of_the_plain_algorithm():
    words = [(list("abab"), 3.0), (list("abc"), 2.0), (list("bc"), 4.0), (list("cab"), 1.0)]
    got = [(m.left, m.right) for m in learn_merges(words, set("abc"), 4, lambda a, b: a + b)]
    state, expected = [(list(w), n) for w, n in words], []
    for _ in range(4):
        counts = {}
        for pieces, weight in state:
            for pair in pairwise(pieces):
                counts[pair] = counts.get(pair, 0) + weight
        best = min(counts, key=lambda pair: (-counts[pair], pair))
        if counts[best] < 2:
            break
        expected.append(best)
        for pieces, _ in state:
            i = 0
            while i + 1 < len(pieces):
                if (pieces[i], pieces[i + 1]) == best:
                    pieces[i : i + 2] = ["".join(best)]
                i += 1
    assert got == expected


@pytest.mark.parametrize("name", MAKERS)
def test_special_tokens_in_the_text_are_no_words(name, tmp_path):
    source = MAKERS[name]()
    source.add_special_tokens({"extra_special_tokens": ["<|im_end|>"]})
    source.add_tokens(["habari"])
    (tmp_path / "chat.txt").write_text("\n".join(["<|im_end|> Habari habari ya dunia <|im_end|>"] * 50))
    size = size_of(source)
    grown = extended(source, {"swh": [tmp_path / "chat.txt"]}, size + 30)
    new = [token for token, token_id in grown.get_vocab().items() if token_id >= size]
    assert new
    assert not any("im_" in token or "|" in token for token in new)


class TestCommand:
    def run(self, source, files, out, *more):
        text = [f"{language}={paths[0]}" for language, paths in files.items()]
        return cli.main(["tokenizer", "extend", "--source", str(source), "--text", *text, "--out", str(out), *more])

    def test_reports_before_and_after(self, tmp_path, files, capsys):
        source = make_wordpiece()
        source.save_pretrained(tmp_path / "source")
        size = str(size_of(source) + 40)
        assert self.run(tmp_path / "source", files, tmp_path / "out", "--vocab-size", size, "--json") == 0
        printed = json.loads(capsys.readouterr().out)
        assert size_of(source) + 15 < printed["entries"] <= int(size)
        assert [point["taken"] for point in printed["saved"]] == [False] * (len(printed["saved"]) - 1) + [True]
        assert size_of(source) + printed["saved"][-1]["new"] == printed["entries"]
        assert printed["fertility"]["before"]["kat"]["unknown"] == 1.0
        assert printed["fertility"]["after"]["kat"]["unknown"] == 0.0
        from transformers import AutoTokenizer

        grown = AutoTokenizer.from_pretrained(str(tmp_path / "out"), local_files_only=True)
        assert len(grown) == printed["entries"]
        assert grown.cls_token == "[CLS]"
        assert self.run(tmp_path / "source", files, tmp_path / "again", "--vocab-size", size) == 0
        for name in ("tokenizer.json", "training.json"):
            assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()

    def test_a_model_is_not_replaced_by_a_tokenizer(self, tmp_path, files, capsys):
        source = make_wordpiece()
        source.save_pretrained(tmp_path / "model")
        (tmp_path / "model/model.safetensors").write_bytes(b"weights")
        size = str(size_of(source) + 40)
        assert self.run(tmp_path / "model", files, tmp_path / "model", "--vocab-size", size) == 2
        assert "holds something else" in capsys.readouterr().err
        assert (tmp_path / "model/model.safetensors").read_bytes() == b"weights"

    def test_wrong_input(self, tmp_path, files, capsys):
        make_wordpiece().save_pretrained(tmp_path / "source")
        assert self.run(tmp_path / "source", files, tmp_path / "out", "--vocab-size", "50") == 2
        assert "50 is not above the source's" in capsys.readouterr().err
        for option, told in (
            (("--vocab-size", "most"), "--vocab-size: 'most' is not a whole number or 'auto'"),
            (("--vocab-size", "900", "--min-count", "0"), "--min-count: 0 is not a number of 1 or more"),
        ):
            assert self.run(tmp_path / "source", files, tmp_path / "out", *option) == 2
            (line,) = [line for line in capsys.readouterr().err.splitlines() if line.strip()]
            assert told in line
        assert self.run(tmp_path / "nowhere", files, tmp_path / "out", "--vocab-size", "50") == 3
        assert "no such directory" in capsys.readouterr().err
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["byte-level", "sentencepiece-bpe", "unigram", "wordpiece-cased"])
def test_a_paragraph_without_spaces_is_counted_in_parts_of_whole_characters(name, tmp_path):
    source = MAKERS[name]()
    paragraph = "ភាសាខ្មែរជាភាសាផ្លូវការរបស់ប្រទេស" * 40
    (tmp_path / "khm.txt").write_text(f"{paragraph}\n" * 3, encoding="utf-8")
    text = survey({"khm": [tmp_path / "khm.txt"]}, SamplingSettings(held_out=0.0))["khm"]
    kind = family(backend_spec(source))
    counts = _Cutter(source, kind, "##" if kind == "wordpiece" else "").count(text)[0]
    assert max(map(len, counts)) <= 100
    if kind == "byte-level":
        alphabet = byte_alphabet()
        assert "".join(bytes(map(alphabet.__getitem__, word)).decode("utf-8") for word in counts)
    if kind != "wordpiece":  # which gives up beyond 100 characters, so no more of a word is of use to it
        assert sum(len(word) * times for word, times in counts.items()) >= 3 * len(paragraph)
    grown = extended(source, {"khm": [tmp_path / "khm.txt"]}, size_of(source) + 80)
    sample = [paragraph[:60]]
    assert fertility(grown, sample)["characters_per_token"] > 1.2


def test_ids_left_out_are_no_missing_entries(files, caplog):
    """Fewer entries than asked for is said of the text, not of a source whose ids have holes."""
    spec = json.loads(MAKERS["byte-level"]().backend_tokenizer.to_str())
    last = max(spec["model"]["vocab"].values())
    spec["model"]["vocab"]["<far>"] = last + 20
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    spec["added_tokens"].append({"id": last + 20, "content": "<far>", "special": True, **flags})
    source = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(json.dumps(spec)))
    grown = extended(source, files, size_of(source) + 10)
    assert size_of(grown) == size_of(source) + 10
    assert "the text holds only" not in caplog.text
