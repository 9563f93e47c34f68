"""Looking at a data folder, and copying a data set into one."""

from __future__ import annotations

import json

import pytest

from hyperofa_eval.cli import main
from hyperofa_eval.languages import languages, paper_languages


def check(data, *words, code=0, capsys):
    assert main(["data", "check", str(data), "--json", *map(str, words)]) == code
    return json.loads(capsys.readouterr().out)


def test_says_what_is_there_and_what_is_missing(data, capsys):
    report = check(data, capsys=capsys)
    assert report["present"]["tatoeba"] == {"tur": 12, "ces": 12, "swh": 12, "cmn": 12}
    assert report["present"]["bible"] == {"ces": 4, "swh": 5}
    assert report["present"]["ner"] == {"eng": 2, "tur": 3, "ces": 2}
    assert "eng" not in report["missing"]["tatoeba"]
    assert "dtp" in report["missing"]["pos"]
    assert report["faults"] == []
    assert report["warnings"] == []


def test_finds_wrong_scripts_duplicates_leaks_and_misaligned_sides(data, capsys, tmp_path):
    path = data / "tatoeba/cmn-eng.cmn"
    path.write_text((data / "tatoeba/ces-eng.ces").read_text())
    lines = (data / "tatoeba/tur-eng.tur").read_text().splitlines()
    (data / "tatoeba/tur-eng.tur").write_text("\n".join([*lines[:-1], lines[0]]))
    (data / "bible/swh.train.tsv").write_text("LUK.1.1\tYESU  akalia machozi.\n")
    training = tmp_path / "training.txt"
    training.write_text("Děti si hrají na zahradě.\n")
    (data / "ner/ces/test.tsv").write_text("v\tO\nPraze\tI-LOC\n")
    for i, suffix in enumerate(("eng", "kor")):
        words = [("한국어 " if i else "word ") * (1 + (7 * k if i == 0 else 99 - k) % 23) + str(k) for k in range(60)]
        (data / f"tatoeba/kor-eng.{suffix}").write_text("\n".join(words))
    report = check(data, "--training", training, capsys=capsys)
    found = "\n".join(report["warnings"])
    assert "tatoeba/cmn: 0 % of the letters are Hani" in found
    assert "tatoeba/tur: 1 of 12 tur lines are duplicates" in found
    assert "bible/swh: 1 of 5 test lines are in the training text" in found
    assert "tatoeba/ces: 1 of 12 test lines are in the training text" in found
    assert "ner/ces: 1 gold I- tags continue nothing" in found
    assert "tatoeba/kor: the sides' lengths correlate by" in found


def test_faults_that_would_stop_a_run_are_all_named_and_exit_1(data, capsys):
    (data / "tatoeba/tur-eng.tur").write_text("bir\n")
    (data / "ner/tur/test.tsv").write_text("Ali PER\n")
    (data / "bible/swh.test.tsv").write_text("JHN.1.1 no tab\n")
    (data / "pos/eng/dev.tsv").unlink()
    faults = "\n".join(check(data, code=1, capsys=capsys)["faults"])
    assert "tur-eng.tur, line 2: unaligned" in faults
    assert "test.tsv, line 1: the tag 'PER'" in faults
    assert "swh.test.tsv, line 1: not id<TAB>text" in faults
    assert "pos: no English dev set" in faults


def test_a_manifest_notices_changed_files(data, capsys):
    check(data, "--manifest", capsys=capsys)
    manifest = json.loads((data / "manifest.json").read_text())
    assert len(manifest["files"]["tatoeba/tur-eng.tur"]) == 64
    assert check(data, capsys=capsys)["faults"] == []
    path = data / "tatoeba/tur-eng.tur"
    path.write_text(path.read_text().replace("Bugün", "Dün"))
    assert "tatoeba/tur-eng.tur: not the file" in check(data, code=1, capsys=capsys)["faults"][0]


def test_the_table_of_languages_holds_the_22_and_the_papers_subsets():
    assert len(languages()) == 22
    assert len(paper_languages("sr-t")) == 21  # English, the query, and 20; Japanese was lost by a misspelt code
    assert "jpn" not in paper_languages("sr-t")
    exact = [code for code in languages() if code in paper_languages("ner")]
    assert len(exact) == 14  # 15 by exact code, less Japanese
    assert len(paper_languages("pos")) == 9  # 10 by exact code, less Japanese
    assert {row.resource_class for row in languages().values()} == {"high", "mid", "low"}


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
