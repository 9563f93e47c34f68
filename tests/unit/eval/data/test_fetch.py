"""Copying a data set into a folder: what ``data fetch`` writes, ``run`` reads; the rest is counted and said."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hyperofa_eval.base.errors import InputError
from hyperofa_eval.cli import main
from hyperofa_eval.data.fetch import fetch
from hyperofa_eval.data.readers import SCHEME_OF, read_pairs, read_tagged


class Rows(list):
    """As much of a ``datasets.Dataset`` as the command asks for."""

    def __init__(self, rows, columns, names=None):
        super().__init__(rows)
        self.column_names = list(columns)
        feature = SimpleNamespace() if names is None else SimpleNamespace(names=names)
        self.features = {name: SimpleNamespace(feature=feature) for name in columns}

    def __getitem__(self, key):
        return [row[key] for row in self] if isinstance(key, str) else super().__getitem__(key)


@pytest.fixture
def hub(monkeypatch):
    """Stands in for the hub: ``hub["test"]`` is what any name gives."""
    import datasets

    splits = {}
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: splits)
    return splits


def tagged(sentences, column="ner_tags", names=None):
    return Rows([{"tokens": t, column: g} for t, g in sentences], ["tokens", column], names)


NAMES = ["O", "B-PER", "I-PER"]


@pytest.mark.parametrize(
    ("tokens", "tags", "reason"),
    [
        (["Anna", ""], [1, 0], "a token without text (1)"),
        (["Anna", " "], [1, 0], "a token without text (1)"),
        (["Anna", None], [1, 0], "a token without text (1)"),
        (["An\tna"], [1], "a tab in a token (1)"),
        (["An\nna"], [1], "a line end in a token (1)"),
        (["An\rna"], [1], "a line end in a token (1)"),
        (["An\0na"], [1], "a NUL in a token (1)"),
        (["\ufeffAnna"], [1], "a byte-order mark in a token (1)"),
        (["\ud800"], [1], "half of a surrogate pair in a token (1)"),
        ([], [], "no token with a tag (1)"),
        (None, None, "not a tag for every token (1)"),
        (["Anna", "sleeps"], [1], "not a tag for every token (1)"),
        (["Anna"], [-1], "a tag outside iob2, such as '-1' (1)"),
        (["Anna"], [None], "a tag outside iob2, such as 'None' (1)"),
        (["Anna"], [9], "a tag outside iob2, such as '9' (1)"),
    ],
)
def test_a_sentence_that_no_run_could_read_is_left_out_and_said(hub, tmp_path, said, tokens, tags, reason):
    hub["test"] = tagged([(["Oslo"], [1]), (tokens, tags), (["it", "rains"], [0, 0])], names=NAMES)
    fetch("ner", "a/b", ["ces"], tmp_path)
    assert f"ner/ces/test.tsv: 1 of 3 sentences left out: {reason}" in said
    assert [s.tokens for s in read_tagged(tmp_path / "ner/ces/test.tsv", "iob2")] == [("Oslo",), ("it", "rains")]


def test_tokens_without_a_tag_are_left_out_alone_and_counted(hub, tmp_path, said):
    hub["test"] = tagged([(["vámonos", "vamos", "nos"], ["_", "VERB", "PRON"]), (["x"], ["_"])], "upos")
    fetch("pos", "a/b", ["spa"], tmp_path)
    assert "pos/spa/test.tsv: 2 tokens without a tag (_) left out" in said
    assert [s.tokens for s in read_tagged(tmp_path / "pos/spa/test.tsv", "upos")] == [("vamos", "nos")]


def test_a_data_set_of_which_nothing_can_be_read_is_refused_and_nothing_is_written(hub, tmp_path):
    hub["test"] = tagged([(["Anna"], [3]), (["Oslo"], [4]), (["Oslo"], [4])])
    with pytest.raises(
        InputError, match=r"none of the 3 sentences can be written: a tag outside iob2, such as '4' \(3\)"
    ):
        fetch("ner", "a/b", ["ces"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_pair_without_one_side_is_left_out_on_both(hub, tmp_path, said):
    pairs = [
        ("Ahoj.", "Hello."),
        (None, "None"),
        ("", "empty"),
        ("Dnes\nprší.", "It\train s."),
        ("x", " \u3000"),
        ("\0", "y"),
    ]
    hub["test"] = Rows([{"sentence1": a, "sentence2": b} for a, b in pairs], ["sentence1", "sentence2"])
    fetch("tatoeba", "a/b", ["ces_Latn"], tmp_path)
    files = tmp_path / "tatoeba/ces_Latn-eng.ces_Latn", tmp_path / "tatoeba/ces_Latn-eng.eng"
    assert read_pairs(*files) == (["Ahoj.", "Dnes prší."], ["Hello.", "It rain s."])
    assert any("4 of 6 pairs left out: a side without text (3)" in message for message in said)


@pytest.mark.parametrize("code", ["../tur", "tur/..", "", "t", "tur latn", "/etc"])
def test_a_code_that_is_a_path_is_refused(hub, tmp_path, code):
    hub["test"] = tagged([(["Anna"], [1])], names=NAMES)
    with pytest.raises(InputError, match="is no language code"):
        fetch("ner", "a/b", [code], tmp_path / "out")
    assert not (tmp_path / "out").exists()


TEXT = (
    st.text(max_size=6)
    | st.text(st.sampled_from("a _\t\n\r\0\x0b\x85\u00a0\u2028\u3000\ufeff:#-"), max_size=4)
    | st.none()
)
TAGS = (
    st.sampled_from(["O", "B-PER", "I-PER", "_", "NOUN", "VERB", "X", "", " ", "B-", "B-a b", "B-\0", "noun"])
    | st.none()
)
SENTENCES = st.lists(st.lists(st.tuples(TEXT, TAGS), max_size=4), min_size=1, max_size=5)


def refused(corpus, out):
    """The words in which the data set is refused; none where it is written."""
    try:
        fetch(corpus, "a/b", ["ces"], out)
    except InputError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("corpus", ["ner", "pos"])
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sentences=SENTENCES)
def test_whatever_the_data_set_holds_run_reads_what_was_written(hub, said, corpus, sentences):
    column = {"ner": "ner_tags", "pos": "upos"}[corpus]
    hub["test"] = tagged([([t for t, _ in s], [g for _, g in s]) for s in sentences], column)
    said.clear()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "out", corpus, "ces", "test.tsv")
        refusal = refused(corpus, Path(folder, "out"))
        found = read_tagged(path, SCHEME_OF[corpus]) if not refusal else []
        assert path.exists() == bool(found)
    if refusal:
        assert f"none of the {len(sentences)} sentences" in refusal
        return
    left_out = next((int(m.split(": ")[1].split()[0]) for m in said if "sentences left out" in m), 0)
    assert len(found) + left_out == len(sentences)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pairs=st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=5))
def test_whatever_the_pairs_hold_run_reads_what_was_written(hub, pairs):
    hub["test"] = Rows([{"sentence1": a, "sentence2": b} for a, b in pairs], ["sentence1", "sentence2"])
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "out")
        refusal = refused("tatoeba", out)
        if refusal:
            assert f"none of the {len(pairs)} pairs can be written" in refusal
            return
        other, english = read_pairs(out / "tatoeba/ces-eng.ces", out / "tatoeba/ces-eng.eng")
    assert 0 < len(other) == len(english) <= len(pairs)


def line_of(capsys, code, *words):
    capsys.readouterr()
    assert main([str(word) for word in words]) == code
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("hyperofa-eval: error: ")]
    return line


def test_fetch_copies_a_local_data_set_into_the_layout(tmp_path, capsys):
    datasets = pytest.importorskip("datasets")
    names = datasets.ClassLabel(names=["O", "B-PER", "I-PER"])
    features = datasets.Features({"tokens": datasets.List(datasets.Value("string")), "ner_tags": datasets.List(names)})
    rows = {"tokens": [["Anna", "Novák", "spí"], ["prší"]], "ner_tags": [[1, 2, 0], [0]]}
    source = tmp_path / "source"
    source.mkdir()
    datasets.Dataset.from_dict(rows, features=features).to_parquet(source / "test.parquet")
    out = tmp_path / "out"
    assert main(["data", "fetch", "ner", str(source), "--languages", "ces", "--out", str(out)]) == 0
    assert (out / "ner/ces/test.tsv").read_text() == "Anna\tB-PER\nNovák\tI-PER\nspí\tO\n\nprší\tO\n"
    assert "ner/ces/test.tsv" in json.loads((out / "manifest.json").read_text())["files"]
    assert main(["data", "check", str(out), "--languages", "ces", "--json"]) == 1  # no English to train on
    capsys.readouterr()
    assert main(["data", "fetch", "ner", str(tmp_path / "none"), "--languages", "ces", "--out", str(out)]) == 3
    assert "cannot load" in capsys.readouterr().err


@pytest.mark.parametrize("config", ["{x}", "{", "{0}", "{L.x}"])
def test_a_configuration_with_other_braces(tmp_path, capsys, config):
    out = tmp_path / "out"
    line = line_of(capsys, 2, "data", "fetch", "ner", "a/b", "--config", config, "--languages", "tur", "--out", out)
    assert "--config" in line
    assert "{s}" in line
    assert not out.exists()


def write_set(folder, split, rows, column="upos"):
    import datasets

    folder.mkdir(parents=True, exist_ok=True)
    names = datasets.ClassLabel(names=["_", "NOUN", "VERB", "PRON"])
    features = datasets.Features({"tokens": datasets.List(datasets.Value("string")), column: datasets.List(names)})
    tokens, tags = [[t for t, _ in row] for row in rows], [[n for _, n in row] for row in rows]
    datasets.Dataset.from_dict({"tokens": tokens, column: tags}, features=features).to_parquet(
        folder / f"{split}.parquet"
    )


def test_fetch_skips_contractions_and_takes_a_lone_validation_set(tmp_path, capsys):
    source, out = tmp_path / "source", tmp_path / "out"
    rows = [[("vámonos", 0), ("vamos", 2), ("nos", 3)], [("x", 0)], [("casa", 1)]]
    write_set(source, "validation", rows)
    fetch = ["data", "fetch", "pos", str(source), "--languages", "ces", "--out", str(out)]
    assert main(fetch) == 0
    assert "no test split" in capsys.readouterr().err
    assert (out / "pos/ces/test.tsv").read_text() == "vamos\tVERB\nnos\tPRON\n\ncasa\tNOUN\n"
    write_set(source, "test", [[("pes", 1)]])
    assert main(fetch) == 0
    assert (out / "pos/ces/test.tsv").read_text() == "pes\tNOUN\n"
    assert not (out / "pos/ces/dev.tsv").exists()


def test_fetch_writes_a_macro_languages_data_under_its_own_code(tmp_path, monkeypatch):
    import datasets

    source, asked = tmp_path / "source", []
    write_set(source, "test", [[("猫", 1)]])
    real = datasets.load_dataset

    def load(name, config, revision):
        asked.append(config)
        return real(name)

    monkeypatch.setattr(datasets, "load_dataset", load)
    out = tmp_path / "out"
    words = ["data", "fetch", "pos", str(source), "--config", "ud_{s}", "--languages", "cmn,tur", "--out", str(out)]
    assert main(words) == 0
    assert asked == ["ud_zh", "ud_tr"]
    assert sorted(path.parent.name for path in out.glob("pos/*/test.tsv")) == ["tur", "zho"]
