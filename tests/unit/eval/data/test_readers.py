"""Tagged files as they come: PAN-X's prefix, lines without a tag, and made-up files of every kind."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperofa_eval.base.errors import EvalError, InputError
from hyperofa_eval.cli import main
from hyperofa_eval.data.readers import Sentence, read_tagged


def write(path, tokens, tag="O"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{token}\t{tag}\n" if token else "\n" for token in tokens), "utf-8")
    return path


def read(path, scheme="iob2"):
    notes = []
    tokens = [token for sentence in read_tagged(path, scheme, notes) for token in sentence.tokens]
    return tokens, notes


WORDS = [f"söz{i}" for i in range(40)]


@pytest.mark.parametrize(
    "odd", ["tr:", "en:Hello", "Hello", "tr", ":", "http://x.org", "zh-yue:香港", "TR:söz", "12:30"]
)
@pytest.mark.parametrize("place", [0, 17, 40])
def test_one_odd_token_does_not_keep_the_prefix_in_the_file(tmp_path, odd, place):
    tokens = [f"tr:{word}" for word in WORDS]
    tokens.insert(place, odd)
    found, notes = read(write(tmp_path / "test", tokens))
    assert found == [*WORDS[:place], odd, *WORDS[place:]]
    assert [note.odd for note in notes] == [False, True]
    assert notes[0].text == "the prefix 'tr:' is removed from 40 of 41 tokens"
    assert notes[1].text.endswith(f"stay as they are: line {place + 1} {odd!r}")


def test_a_small_file_may_have_one_odd_token_too(tmp_path):
    assert read(write(tmp_path / "test", ["tr:Ali", "Hello", "tr:geldi"]))[0] == ["Ali", "Hello", "geldi"]
    assert read(write(tmp_path / "test", ["tr:Ali", "tr:", "tr:geldi"]))[0] == ["Ali", "tr:", "geldi"]


@pytest.mark.parametrize("share", [0.3, 0.5, 0.85])
def test_a_prefix_that_many_tokens_lack_stays_and_is_named(tmp_path, share):
    tokens = [f"tr:{word}" if i < share * 40 else word for i, word in enumerate(WORDS)]
    found, (note,) = read(write(tmp_path / "test", tokens))
    assert found == tokens
    assert note.odd
    assert "the prefix 'tr:' of" in note.text
    assert f"line {tokens.index(next(t for t in tokens if ':' not in t)) + 1} " in note.text


def test_colons_of_the_text_are_no_prefix_and_no_word_is_lost_about_them(tmp_path):
    tokens = [*WORDS, "EU:n", "EU:lle", "de:", "s:t", "12:30", "a:b"]
    found, notes = read(write(tmp_path / "test", tokens))
    assert found == tokens
    assert notes == []


def test_text_behind_the_prefix_may_look_like_one(tmp_path):
    assert read(write(tmp_path / "test", ["en:de:x", "en:12:30", "en:en:y"]))[0] == ["de:x", "12:30", "en:y"]


@pytest.mark.parametrize("wiki", ["zh-classical", "simple", "be-tarask", "zh-min-nan", "map-bms"])
def test_every_wikipedias_name_is_a_prefix(tmp_path, wiki):
    found, (note,) = read(write(tmp_path / "test", [f"{wiki}:{word}" for word in WORDS]))
    assert found == WORDS
    assert f"the prefix '{wiki}:' is removed from {len(WORDS)} of" in note.text


def panx(data, language, odd):
    """Give a file of the small NER data PAN-X's prefix, and one odd token."""
    path = data / f"ner/{language}/test.tsv"
    lines = path.read_text("utf-8").splitlines()
    path.write_text("".join(f"xx:{line}\n" if line else "\n" for line in lines) + odd, "utf-8")


def test_data_check_and_run_name_what_keeps_the_prefix(data, model_dir, tmp_path, capsys, said):
    panx(data, "tur", "\nxx:\tO\n")
    train = data / "ner/eng/train.tsv"
    train.write_text(
        "".join(f"en:{line}\n" if line else "\n" for line in train.read_text().splitlines()) + "\nen:\tO\n"
    )
    main(["data", "check", str(data), "--json"])
    report = json.loads(capsys.readouterr().out)
    for name, prefix in (("ner/tur/test.tsv", "xx:"), ("ner/eng/train.tsv", "en:")):
        assert any(line.startswith(f"{name}: the prefix {prefix!r} is removed from") for line in report["notes"])
        assert any(line.startswith(f"{name}: 1 tokens are not {prefix!r} and a word") for line in report["warnings"])
    out = tmp_path / "out"
    words = ["run", model_dir, "--tasks", "ner", "--languages", "tur", "--data", data, "--out", out, "--epochs", "1"]
    assert main([*map(str, words), "--device", "cpu"]) == 0
    err = capsys.readouterr().err
    assert err.count("ner/tur/test.tsv: 1 tokens are not 'xx:' and a word") == 1
    read = json.loads((out / "ner/tur.seed0.json").read_text())["details"]["read"]
    assert set(read) == {"ner/tur/test.tsv", "ner/eng/train.tsv"}
    assert len(read["ner/tur/test.tsv"]) == 2


def test_a_faulty_training_set_is_a_fault_of_data_check_and_stops_a_run_first(data, model_dir, tmp_path, capsys):
    path = data / "pos/eng/dev.tsv"
    path.write_text("dog\tNOUNS\n")
    assert main(["data", "check", str(data), "--json"]) == 1
    (fault,) = json.loads(capsys.readouterr().out)["faults"]
    assert "dev.tsv, line 1: the tag 'NOUNS'" in fault
    words = ["run", model_dir, "--tasks", "sr-t,pos", "--languages", "tur", "--data", data, "--out", tmp_path / "out"]
    assert main([*map(str, words), "--device", "cpu"]) == 2
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("scheme", "tag"), [("iob2", "B-PER"), ("upos", "NOUN")])
def test_lines_without_a_tag_are_left_out_and_counted(tmp_path, scheme, tag):
    path = tmp_path / "test.tsv"
    path.write_text(f"vámonos\t_\nvamos\t{tag}\nnos\t_\n\nx\t_\n")
    found, (note,) = read(path, scheme)
    assert found == ["vamos"]
    assert note.text == "3 lines without a tag (_) are left out, the first is line 1"


def test_a_file_without_any_tag_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"no sentences in the file; its 2 lines have no tag but '_'"):
        read_tagged(write(tmp_path / "test.tsv", ["a", "b"], "_"), "upos")


def test_a_scheme_of_ones_own_may_use_the_underscore(tmp_path):
    assert read(write(tmp_path / "test.tsv", ["a", "b"], "_"), None) == (["a", "b"], [])


def test_conllu_contractions_and_empty_nodes_are_counted(tmp_path):
    path = tmp_path / "test.conllu"
    rows = ["1-2\tvámonos\t_\t_", "1\tvamos\tir\tVERB", "2\tnos\tnosotros\tPRON", "2.1\tx\tx\tX", "3\ty\ty\t_"]
    path.write_text("# text = vámonos\n" + "".join(row + "\t_" * 6 + "\n" for row in rows))
    found, (note,) = read(path, "upos")
    assert found == ["vamos", "nos"]
    assert note.text.startswith("3 lines without a tag")
    path.write_text("1\tvamos\tir\tVERB\n")
    with pytest.raises(InputError, match=r"test\.conllu, line 1: not the ten columns of CoNLL-U"):
        read_tagged(path, "upos")


ODD = "\u00a0\u2003\u2028\u2029\u3000\u200b\ufeff\x85\x0b\x0c\x1c\t \r:_#-"
TOKEN = (
    st.text(min_size=0, max_size=6) | st.text(ODD + "ab", max_size=5) | st.sampled_from(["tr:a", "tr:", "x" * 70_000])
)
TAG = st.sampled_from(["O", "B-PER", "NOUN", "_", "", "B-", "O O", "X\tY", "\u00a0", "noun", "I" * 50_000])
LINE = (
    st.just("")
    | st.tuples(TOKEN, st.sampled_from(["\t", " ", "", "\t\t"]), TAG).map("".join)
    | st.tuples(st.sampled_from(["1", "1-2", "1.1", "", "a"]), TOKEN, TAG).map(
        lambda row: "\t".join([row[0], row[1], "_", row[2], *"______"])
    )
)
ENCODING = st.sampled_from(["utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "latin-1", "cp1251"])


@settings(max_examples=150, deadline=None)
@given(
    lines=st.lists(LINE, max_size=8),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    encoding=ENCODING,
    name=st.sampled_from(["test.tsv", "test.conllu", "test"]),
    scheme=st.sampled_from(["iob2", "upos", None]),
)
def test_a_made_up_file_is_read_or_refused_in_one_line_and_no_line_is_lost(lines, end, encoding, name, scheme):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(end.join(lines).encode(encoding, "replace"))
        notes = []
        refusal, sentences = "", []
        try:
            sentences = read_tagged(path, scheme, notes)
        except EvalError as error:
            refusal = str(error)
        assert bool(refusal) != bool(sentences)
        assert "\n" not in refusal
        assert len(refusal) < 1000
        if refusal:
            return
        text = path.read_bytes().decode("utf-8-sig")
    rows = [line.removesuffix("\r") for line in text.split("\n")]
    rows = [line for line in rows if line.strip(" \t") and not (name.endswith("conllu") and line.startswith("#"))]
    left_out = sum(int(note.text.split()[0]) for note in notes if "without a tag" in note.text)
    assert sum(len(sentence.tokens) for sentence in sentences) + left_out == len(rows)
    assert all(sentence.tokens and all(sentence.tokens) and all(sentence.tags) for sentence in sentences)


@pytest.mark.parametrize("line", ["dog", "dog\t", "\tNOUN", "dog NOUN extra words\t"])
def test_a_faulty_line_is_named(tmp_path, line):
    path = tmp_path / "test.tsv"
    path.write_text(f"the\tDET\n{line}\n")
    with pytest.raises(InputError, match=r"test\.tsv, line 2"):
        read_tagged(path, "upos")


def test_readers_of_foreign_formats(tmp_path):
    conllu = tmp_path / "test.conllu"
    rows = ["1-2\tvámonos\t_\t_", "1\tvamos\tir\tVERB", "2\tnos\tnosotros\tPRON", "2.1\tx\tx\tX"]
    conllu.write_text("# text = vámonos\n" + "".join(row + "\t_" * 6 + "\n" for row in rows) + "\n")
    assert read_tagged(conllu, "upos") == [Sentence(("vamos", "nos"), ("VERB", "PRON"))]
    panx = tmp_path / "test"
    panx.write_text("en:Anna\tB-PER\nen:12:30\tO\n\nen:Oslo\tB-LOC\n")
    assert read_tagged(panx, "iob2")[0] == Sentence(("Anna", "12:30"), ("B-PER", "O"))
    columns = tmp_path / "test.txt"
    columns.write_text("10\u00a0000 O\nOslo B-LOC\n")
    assert read_tagged(columns, "iob2")[0].tokens == ("10\u00a0000", "Oslo")
    columns.write_text("Oslo LOC\n")
    with pytest.raises(InputError, match=r"test.txt, line 1: the tag 'LOC' is not in the scheme iob2"):
        read_tagged(columns, "iob2")


@pytest.mark.parametrize("prefix", ["en", "zh-yue", "be-x-old"])
def test_the_prefix_of_every_wikipedia_is_removed(tmp_path, prefix):
    path = tmp_path / "test"
    path.write_text(f"{prefix}:香港\tB-LOC\n{prefix}:12:30\tO\n\n{prefix}:,\tO\n")
    first, second = read_tagged(path, "iob2")
    assert first.tokens == ("香港", "12:30")
    assert second.tokens == (",",)
    path.write_text(f"{prefix}:香港\tB-LOC\nother\tO\n")
    assert read_tagged(path, "iob2")[0].tokens == (f"{prefix}:香港", "other")


@pytest.mark.parametrize("line", ["EU NNP B-NP B-ORG", "EU\tNNP\tB-NP\tB-ORG", "EU NNP B-ORG", "EU\tNNP\tB-ORG"])
def test_more_than_two_columns_are_refused_with_their_place(tmp_path, line):
    path = tmp_path / "test.txt"
    path.write_text(f"the O\n{line}\n" if " " in line else f"the\tO\n{line}\n")
    for scheme in ("iob2", None):
        with pytest.raises(InputError, match=r"test\.txt, line 2: [34] columns"):
            read_tagged(path, scheme)


def test_spaces_inside_a_token_and_around_columns_are_read_as_before(tmp_path):
    path = tmp_path / "test.tsv"
    path.write_text("10\u00a0000\tO\n10 000\tO\nOslo\tB-LOC\t\n")
    assert read_tagged(path, "iob2")[0].tokens == ("10\u00a0000", "10 000", "Oslo")
    path.write_text("10\u00a0000  O \nOslo B-LOC\n")
    assert read_tagged(path, "iob2")[0] == Sentence(("10\u00a0000", "Oslo"), ("O", "B-LOC"))
