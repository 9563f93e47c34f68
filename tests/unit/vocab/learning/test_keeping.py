"""Text of the source's own languages: how much of it is cut differently, and an extension that changes none of it."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hyperofa import cli
from hyperofa.vocab.change import changed_share
from hyperofa_eval.text.tokenizer import rows_needed
from tests.unit.vocab.conftest import MAKERS, extended

NEW = ["serikali na maji", "dogma ya governor na thesis", "mbwa na dogs"] * 20
OWN = ["the dogs and the government", "dogmas of governors", "theses", "a ☃ and maps"]


@pytest.fixture
def files(tmp_path):
    (tmp_path / "swh.txt").write_text("\n".join(NEW), encoding="utf-8")
    (tmp_path / "eng.txt").write_text("\n".join(OWN), encoding="utf-8")
    return {"swh": [tmp_path / "swh.txt"]}


def test_kept_text_is_cut_as_before(family_name, files):
    source = MAKERS[family_name]()
    size = rows_needed(source) + 40
    changed = changed_share(source, extended(source, files, size), OWN)
    assert changed["changed_lines"] > 0
    grown = extended(source, files, size, kept=OWN)
    for line in OWN:
        assert grown(line)["input_ids"] == source(line)["input_ids"]
    assert changed_share(source, grown, OWN)["changed_lines"] == 0
    assert changed_share(source, grown, NEW)["changed_lines"] > 0  # it grew all the same


@pytest.mark.parametrize("name", ["wordpiece-uncased", "byte-level", "unigram", "unigram-bytes", "sentencepiece-bpe"])
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=st.lists(st.text("abdogthe სზ1", min_size=1, max_size=20), min_size=1, max_size=6),
    own=st.lists(st.text("abdogthe სზ1", max_size=20), min_size=1, max_size=6),
)
def test_any_kept_text_is_cut_as_before(tmp_path_factory, name, text, own):
    path = tmp_path_factory.mktemp("text") / "swh.txt"
    path.write_text("\n".join([*text, "dog"] * 3), encoding="utf-8")
    source = MAKERS[name]()
    grown = extended(source, {"swh": [path]}, rows_needed(source) + 20, coverage=1.0, kept=own)
    assert [grown(line)["input_ids"] for line in own] == [source(line)["input_ids"] for line in own]


def test_whole_words_that_are_taken_without_merges_are_kept_too(files):
    """Llama 3 takes a word that is an entry as it is (``ignore_merges``), whatever its merges would make of it."""
    source = MAKERS["byte-level"]()
    source.backend_tokenizer.model.ignore_merges = True
    grown = extended(source, files, rows_needed(source) + 40, kept=OWN)
    assert changed_share(source, grown, OWN)["changed_lines"] == 0


def test_lines_and_words_are_counted(files):
    source = MAKERS["byte-level"]()
    grown = extended(source, files, rows_needed(source) + 40)
    lines = ["the dog", "serikali the dog serikali", "the dog na maji"]
    change = changed_share(source, grown, lines)
    assert (change["lines"], change["words"]) == (3, 10)
    assert (change["changed_lines"], change["changed_words"]) == (2, 4)
    assert change["changed_lines_share"] == pytest.approx(2 / 3)
    assert changed_share(source, source, lines)["changed_words"] == 0
    assert changed_share(source, grown, [])["changed_words_share"] == 0.0


class TestCommand:
    def run(self, tmp_path, files, *more):
        source = MAKERS["byte-level"]()
        source.save_pretrained(tmp_path / "source")
        size = str(rows_needed(source) + 40)
        words = ["tokenizer", "extend", "--source", str(tmp_path / "source"), "--text", f"swh={files['swh'][0]}"]
        return cli.main([*words, "--vocab-size", size, "--out", str(tmp_path / "out"), *more])

    def test_tells_how_much_of_the_sources_text_is_cut_differently(self, tmp_path, files, capsys):
        own = ["--source-text", f"eng={tmp_path / 'eng.txt'}"]
        assert self.run(tmp_path, files, *own, "--json") == 0
        told = json.loads(capsys.readouterr().out)["source_text"]["eng"]
        assert told["changed"]["lines"] == len(OWN)
        assert told["changed"]["changed_lines_share"] > 0
        record = json.loads((tmp_path / "out/training.json").read_text())
        assert record["source_text"]["eng"] == told
        assert self.run(tmp_path, files, *own) == 0
        assert "lines cut differently %" in " ".join(capsys.readouterr().out.split())

    def test_keeps_it(self, tmp_path, files, capsys):
        assert (
            self.run(tmp_path, files, "--source-text", f"eng={tmp_path / 'eng.txt'}", "--keep-source-text", "--json")
            == 0
        )
        assert json.loads(capsys.readouterr().out)["source_text"]["eng"]["changed"]["changed_lines"] == 0
        assert self.run(tmp_path, files, "--keep-source-text") == 2
        assert "no text to keep" in capsys.readouterr().err
