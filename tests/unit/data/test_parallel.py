"""Parallel text of several languages: ids that meet, codes with scripts, and what is passed over."""

from __future__ import annotations

import gzip
import logging

import pytest

from hyperofa.base.wordkeys import language_for
from hyperofa.cli import main
from hyperofa.data.parallel import read_parallel
from hyperofa.errors import DataMissingError, InputError

IDS = [f"MAT.1.{i}" for i in range(1, 41)]


def write(path, ids, word):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{name}\t{word} {i % 7}\n" for i, name in enumerate(ids)), encoding="utf-8")


@pytest.fixture
def bible(tmp_path, monkeypatch):
    monkeypatch.setattr(logging.getLogger("hyperofa"), "propagate", True)
    write(tmp_path / "bible/eng.tsv", IDS, "water")
    write(tmp_path / "bible/kab.tsv", [f"{name.lower()} " for name in IDS], "aman")
    return tmp_path / "bible"


def test_ids_meet_whatever_their_case_and_space(bible):
    text = read_parallel([bible])
    assert text.n_sentences == len(IDS)
    assert text.texts["kab"].keys() == text.texts["eng"].keys()
    assert text.translated("kab") == len(IDS)


@pytest.mark.parametrize(
    "command", [["vectors", "build", "--parallel"], ["data", "gather", "--parallel"], ["data", "split", "--parallel"]]
)
def test_every_command_refuses_ids_that_never_meet(bible, tmp_path, capsys, command):
    write(bible / "kab.tsv", [f"{40_001_000 + i}" for i in range(40)], "aman")
    assert main([*command, str(bible), "--out", str(tmp_path / "out")]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "kab.tsv: no id in common with eng.tsv: '40001000' here, 'MAT.1.1' there" in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "command", [["vectors", "build", "--parallel"], ["data", "gather", "--parallel"], ["data", "split", "--parallel"]]
)
def test_every_command_says_a_low_overlap(bible, tmp_path, capsys, command):
    write(bible / "kab.tsv", [*IDS[:10], *(f"x{i}" for i in range(30))], "aman")
    main([*command, str(bible), "--out", str(tmp_path / "out")])
    lines = [line for line in capsys.readouterr().err.splitlines() if "kab.tsv" in line]
    assert lines == [f"{bible / 'kab.tsv'}: 10 of 40 ids are also in eng.tsv"]


def test_text_that_rows_learn_from_is_read_by_the_same_rules(bible, caplog):
    from hyperofa.data.given_text import read_parallel as reader

    assert reader is read_parallel


def test_a_code_with_a_script_is_a_language_of_its_own(bible, caplog):
    for code in ("aze_Latn", "aze_Arab", "aze"):
        write(bible / f"{code}.tsv", IDS, code)
    assert set(read_parallel([bible], ["eng", "aze_Latn", "aze_Arab"]).texts) == {"eng", "aze_Latn", "aze_Arab"}
    assert set(read_parallel([bible], ["eng", "aze"]).texts) == {"eng", "aze"}
    (bible / "aze_Latn.tsv").unlink()
    assert set(read_parallel([bible], ["eng", "aze_Latn", "aze_Arab"]).texts) == {"eng", "aze", "aze_Arab"}
    assert "aze_Latn: there is no text of that code; reading aze" in caplog.text
    (bible / "aze.tsv").unlink()
    with pytest.raises(DataMissingError, match=r"no parallel text in aze, aze_Latn; there: aze_Arab, eng, kab"):
        read_parallel([bible], ["eng", "aze", "aze_Latn", "aze_Arab"])


def test_codes_are_asked_for_with_commas_or_spaces(bible, tmp_path, capsys):
    write(bible / "aze_Latn.tsv", IDS, "su")
    for words in (["eng,aze_Latn"], ["eng", "aze_Latn"], ["eng, aze_Latn "], ["eng,", "aze_Latn"]):
        assert main(["vectors", "build", "--parallel", str(bible), "--languages", *words, "--json", "--out",
                     str(tmp_path / "out")]) == 0  # fmt: skip
        assert '"aze_Latn": 40' in capsys.readouterr().out


def test_no_code_at_all_is_refused(bible, tmp_path, capsys):
    words = ["vectors", "build", "--parallel", str(bible), "--out", str(tmp_path / "out"), "--languages", " , "]
    assert main(words) == 2
    assert "--languages: no language named" in capsys.readouterr().err


def test_a_bare_code_is_never_served_by_a_script():
    assert language_for("aze_Latn", {"aze_Latn", "aze"}) == "aze_Latn"
    assert language_for("aze_Latn", {"aze", "aze_Arab"}) == "aze"
    assert language_for("aze_Latn", {"aze_Arab"}) is None
    assert language_for("aze", {"aze_Latn"}) is None


def test_gzip_is_read_and_names_of_no_language_are_said(bible, caplog):
    with gzip.open(bible / "swh.train.tsv.gz", "wt", encoding="utf-8") as handle:
        handle.write("MAT.1.1\tmaji\n")
    for name in ("English.tsv", "tur.tsv.bz2", "README.md"):
        (bible / name).write_text("x")
    (bible / "vie.tsv").mkdir()
    assert read_parallel([bible]).texts["swh"]
    assert [
        record.getMessage().split(":")[0].rpartition("/")[2] for record in caplog.records if "passed" in record.msg
    ] == [
        "English.tsv",
        "tur.tsv.bz2",
        "vie.tsv",
    ]


def test_sides_without_text(bible, caplog):
    (bible / "tur.tsv").write_text("MAT.1.1\t\n")
    with pytest.raises(InputError, match=r"tur\.tsv: there is no text in the file"):
        read_parallel([bible])
    for name, content in (("eng", "a\nb\n"), ("kab", "\n\n")):
        path = bible.parent / "lines" / f"{name}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
    read_parallel([bible.parent / "lines"])
    assert "kab.txt: all of its lines are empty" in caplog.text
