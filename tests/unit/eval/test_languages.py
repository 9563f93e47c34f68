"""Codes with a script: a language of its own where the data is so named, else the bare code's data, and never lost."""

from __future__ import annotations

import gzip
import json
import lzma

import pytest

from hyperofa_eval.cli import main
from hyperofa_eval.data.layout import DataFolder
from hyperofa_eval.languages import is_pivot, language, languages, paper_languages


def put(root, name, text="a\tO\n"):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


def pairs(root, code, source="tur"):
    for suffix, side in ((code, source), ("eng", "eng")):
        put(root, f"tatoeba/{code}-eng.{suffix}", (root / f"tatoeba/{source}-eng.{side}").read_text("utf-8"))


def run(model, data, out, codes, *more, code=0):
    words = ["run", model, "--tasks", "sr-t", "--data", data, "--out", out, "--languages", codes, "--device", "cpu"]
    assert main([*map(str, words), *map(str, more)]) == code
    return json.loads((out / "summary.json").read_text()) if code == 0 else None


def test_the_row_of_a_code_with_a_script():
    assert language("tur_Cyrl").script == "Cyrl"
    assert language("tur_Cyrl").family == "Turkic"
    assert (language("aze_Latn").code, language("aze_Latn").script) == ("aze_Latn", "Latn")
    assert language("cmn_pud").script == "Hani"  # no script, so it says nothing of one
    assert is_pivot("eng_Latn")
    assert not is_pivot("eng_Shaw")


NAMED = [
    ("tatoeba", "aze_Latn", ["tatoeba/aze_Latn-eng.aze_Latn", "tatoeba/aze_Latn-eng.eng"]),
    ("tatoeba", "aze_Latn", ["tatoeba.aze_Latn-eng.aze_Latn", "tatoeba.aze_Latn-eng.eng"]),
    ("bible", "aze_Latn", ["bible/aze_Latn.test.tsv"]),
    ("ner", "aze_Latn", ["ner/aze_Latn/test.tsv"]),
    ("ner", "az_Latn", ["panx/az_Latn/test"]),
    ("ner", "az", ["panx/az/test"]),
    ("ner", "tur_Latn", ["panx/tr_Latn/test"]),
    ("pos", "cmn_pud", ["udpos/cmn_pud/test.tsv"]),
    ("pos", "aze_Latn", ["udpos/test-aze_Latn.tsv"]),
    ("text", "aze_Latn", ["text/aze_Latn.txt"]),
    ("mine", "aze_Latn", ["mine/aze_Latn/test.tsv"]),
]


@pytest.mark.parametrize(("corpus", "code", "names"), NAMED)
def test_data_named_by_the_whole_code_is_its_own(tmp_path, corpus, code, names):
    for name in names:
        put(tmp_path, name)
    data = DataFolder(tmp_path)
    assert data.source(corpus, code) == code
    assert len(data.others(corpus)) == 1
    if "_" in code:
        assert not data.has(corpus, code.partition("_")[0])
        assert not data.has(corpus, code.partition("_")[0] + "_Arab")


BARE = [
    ("tatoeba", "aze_Latn", ["tatoeba/aze-eng.aze", "tatoeba/aze-eng.eng"]),
    ("bible", "aze_Latn", ["bible/aze.tsv"]),
    ("ner", "tur_Latn", ["panx/tr/test"]),
    ("ner", "az_Latn", ["panx/az/test"]),
    ("pos", "tur_imst", ["udpos/test-tr.tsv"]),
    ("text", "aze_Latn", ["aze.txt"]),
]


@pytest.mark.parametrize(("corpus", "code", "names"), BARE)
def test_the_bare_codes_data_answers_where_there_is_no_other(tmp_path, corpus, code, names):
    for name in names:
        put(tmp_path, name)
    assert DataFolder(tmp_path).source(corpus, code) == code.partition("_")[0]


def test_the_exact_code_comes_first_and_a_macro_language_only_where_asked_for(tmp_path):
    put(tmp_path, "ner/cmn/test.tsv")
    put(tmp_path, "ner/zho_Hans/test.tsv")
    put(tmp_path, "pos/zho_Hans/test.tsv")
    exact, macro = DataFolder(tmp_path), DataFolder(tmp_path, aliases=True)
    assert (exact.source("ner", "cmn_Hans"), macro.source("ner", "cmn_Hans")) == ("cmn", "cmn")
    assert (exact.source("pos", "cmn_Hans"), macro.source("pos", "cmn_Hans")) == (None, "zho_Hans")
    put(tmp_path, "ner/cmn_Hans/test.tsv")
    assert exact.source("ner", "cmn_Hans") == "cmn_Hans"


def test_two_scripts_are_two_languages_and_one_without_data_is_missing(model_dir, data, tmp_path, capsys):
    pairs(data, "aze_Latn")
    pairs(data, "aze_Cyrl", "ces")
    summary = run(model_dir, data, tmp_path / "out", "aze_Latn,aze_Cyrl,tur,cmn_pud,kat_Geor")
    task = summary["tasks"]["sr-t"]
    assert task["languages"] == ["aze_Latn", "aze_Cyrl", "tur", "cmn_pud"]
    assert task["without_data"] == ["kat_Geor"]
    assert [row["data_language"] for row in task["rows"]] == ["aze_Latn", "aze_Cyrl", "tur", "cmn"]
    captured = capsys.readouterr()
    assert "no data for kat_Geor" in captured.err
    assert "sr-t: cmn_pud is scored on the data of cmn" in captured.err
    assert "data: cmn_pud from cmn" in captured.out


def test_two_codes_on_one_test_set_are_both_reported_and_that_is_said(model_dir, data, tmp_path, capsys):
    pairs(data, "aze")
    summary = run(model_dir, data, tmp_path / "out", "aze_Latn,aze_Arab")
    rows = {row["language"]: row for row in summary["tasks"]["sr-t"]["rows"]}
    assert list(rows) == ["aze_Latn", "aze_Arab"]
    assert rows["aze_Latn"]["value"] == rows["aze_Arab"]["value"]
    assert "aze_Latn and aze_Arab are scored on the same data, that of aze" in capsys.readouterr().err
    result = json.loads((tmp_path / "out/sr-t/aze_Arab.seed0.json").read_text())
    assert result["data_language"] == "aze"


def test_a_result_of_the_bare_codes_data_does_not_hold_once_there_is_exact_data(model_dir, data, tmp_path):
    out = tmp_path / "out"
    run(model_dir, data, out, "tur_Latn")
    pairs(data, "tur_Latn", "ces")
    run(model_dir, data, out, "tur_Latn")
    result = json.loads((out / "sr-t/tur_Latn.seed0.json").read_text())
    assert result["data_language"] == "tur_Latn"
    assert set(result["data"]) == {"tatoeba/tur_Latn-eng.tur_Latn", "tatoeba/tur_Latn-eng.eng"}


def test_an_unknown_code_is_named_whole(model_dir, data, tmp_path, capsys):
    run(model_dir, data, tmp_path / "out", "tur,xyz_Latn", code=2)
    assert "unknown language 'xyz_Latn'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("typed", "meant"), [("AZE_LATN", "aze_Latn"), ("aze-Latn", "aze_Latn"), ("aze_latn", "aze_Latn"), ("TUR", "tur"),
                         ("tur_latn", "tur_Latn")]
)  # fmt: skip
def test_a_code_spelled_in_another_way_is_refused_with_the_one_that_is_meant(
    model_dir, data, tmp_path, capsys, typed, meant
):
    pairs(data, "aze_Latn")
    run(model_dir, data, tmp_path / "out", f"tur,{typed}", code=2)
    assert f"unknown language {typed!r}; did you mean {meant!r}?" in capsys.readouterr().err
    assert main(["data", "check", str(data), "--languages", typed]) == 2
    assert f"did you mean {meant!r}?" in capsys.readouterr().err


@pytest.mark.parametrize(("ending", "opener"), [(".gz", gzip.open), (".xz", lzma.open)])
def test_packed_data_is_found_and_named_as_plain_data_is(tmp_path, ending, opener):
    names = [
        "bible/aze_Latn.tsv",
        "bible/eng.tsv",
        "ner/aze_Latn/test.tsv",
        "pos/aze_Latn/test.conllu",
        "text/aze_Latn.txt",
    ]
    texts = ["1\tsu\n", "1\twater\n", "su\tO\n", "1\tsu\t_\tNOUN\t_\t_\t0\t_\t_\t_\n", "su\n"]
    for name, text in zip(names, texts, strict=True):
        put(tmp_path, name + ending, "")
        with opener(tmp_path / (name + ending), "wt", encoding="utf-8") as handle:
            handle.write(text)
    data = DataFolder(tmp_path)
    assert data.pairs("bible", "aze_Latn").other == ["su"]
    for corpus in ("ner", "pos"):
        assert data.tagged(corpus, "aze_Latn", "test", None)[0][0].tokens == ("su",)
    assert data.text("text", "aze_Latn")[0] == ["su"]
    assert all(data.others(corpus) == ["aze_Latn"] for corpus in ("bible", "ner", "pos", "text"))


def test_english_with_its_script_is_english(model_dir, data, tmp_path):
    run(model_dir, data, tmp_path / "out", "eng_Latn,tur")
    for corpus in ("ner", "pos"):
        (data / corpus / "eng").rename(data / corpus / "eng_Latn")
    words = ["--tasks", "pos", "--epochs", "1", "--limit", "3"]
    task = run(model_dir, data, tmp_path / "pos", "eng_Latn,tur_Latn", *words)["tasks"]["pos"]
    assert [row["language"] for row in task["rows"]] == ["eng_Latn", "tur_Latn"]
    assert task["languages"] == ["tur_Latn"]


def test_data_check_reads_and_names_what_is_so_named(data, capsys):
    pairs(data, "aze_Latn")
    pairs(data, "aze")
    main(["data", "check", str(data), "--json"])
    notes = json.loads(capsys.readouterr().out)["notes"]
    assert any(note.startswith("tatoeba: data of aze, aze_Latn, read only if") for note in notes)
    main(["data", "check", str(data), "--json", "--languages", "aze_Latn,aze_Arab,cmn_pud"])
    report = json.loads(capsys.readouterr().out)
    assert report["present"]["tatoeba"] == {"aze_Latn": 12, "aze_Arab": 12, "cmn_pud": 12}
    assert report["missing"]["ner"] == ["aze_Latn", "aze_Arab", "cmn_pud"]
    assert "tatoeba: aze_Arab is scored on the data of aze, it has none of its own" in report["notes"]
    assert any("tatoeba/aze_Arab: 0 % of the letters are Arab" in line for line in report["warnings"])


def test_the_table_of_languages_holds_the_22_and_the_papers_subsets():
    assert len(languages()) == 22
    assert len(paper_languages("sr-t")) == 21  # English, the query, and 20; Japanese was lost by a misspelt code
    assert "jpn" not in paper_languages("sr-t")
    exact = [code for code in languages() if code in paper_languages("ner")]
    assert len(exact) == 14  # 15 by exact code, less Japanese
    assert len(paper_languages("pos")) == 9  # 10 by exact code, less Japanese
    assert {row.resource_class for row in languages().values()} == {"high", "mid", "low"}


def test_macro_language_data_stands_in_only_with_aliases(tmp_path):
    from hyperofa_eval.data.layout import DataFolder

    for code, short, macro in (("cmn", "zh", "zho"), ("pes", "fa", "fas"), ("zsm", "ms", "msa"), ("swh", "sw", "swa")):
        for name in (f"panx/{short}/test", f"udpos/test-{short}.tsv", f"tatoeba/{macro}-eng.{macro}"):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text("a\tO\n")
        (tmp_path / f"tatoeba/{macro}-eng.eng").write_text("a\n")
        exact, macro_too = DataFolder(tmp_path), DataFolder(tmp_path, aliases=True)
        for corpus in ("ner", "pos", "tatoeba"):
            assert not exact.has(corpus, code), (corpus, code)
            assert macro_too.has(corpus, code), (corpus, code)
    for name in ("panx/tr/test", "panx/test-zh-yue.tsv", "udpos/test-tr.tsv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("a\tO\n")
    assert DataFolder(tmp_path).has("ner", "tur")
    assert DataFolder(tmp_path).has("ner", "yue")
    assert DataFolder(tmp_path).has("pos", "tur")


def test_the_papers_lists_are_those_of_exact_codes():
    for task in ("ner", "pos"):
        assert not {"cmn", "pes", "zsm", "swh"} & set(paper_languages(task))
        assert {"tur", "yue", "gla"} <= set(paper_languages(task))
