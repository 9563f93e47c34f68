"""Paired text: ids that meet whatever their case, and schemes that never meet."""

from __future__ import annotations

import json

import pytest

from hyperofa_eval.base.errors import InputError
from hyperofa_eval.cli import main
from hyperofa_eval.text.paired import overlaps, read_aligned, read_verses

VERSES = [f"MAT.{chapter}.{verse}" for chapter in range(1, 6) for verse in range(1, 21)]


def write(path, ids, word="azul"):
    path.write_text("".join(f"{name}\t{word} {number}\n" for number, name in enumerate(ids)), encoding="utf-8")
    return read_verses(path)


@pytest.mark.parametrize(
    "spelled",
    [
        str.lower,
        str.title,
        lambda name: f"{name} ",
        lambda name: f" \u00a0{name}\u3000",
        lambda name: f"\u200e{name}\ufeff",
        lambda name: f"\x0b{name}\x0c",
        lambda name: name.replace(".", ".\u200b"),
        lambda name: f"\u200d{name}\u00ad",
        lambda name: name.replace("MAT", "\uff2d\uff21\uff34"),
    ],
)
def test_what_looks_alike_in_ids_is_no_difference(tmp_path, spelled):
    sides = {"eng": write(tmp_path / "eng.tsv", VERSES), "kab": write(tmp_path / "kab.tsv", map(spelled, VERSES))}
    (overlap,) = overlaps(sides)
    assert overlap.shared == len(VERSES)
    assert not overlap.low
    assert list(sides["kab"].texts) == list(sides["eng"].texts)


def test_ids_of_several_words_and_with_accents_are_compared_as_they_look(tmp_path):
    eng = write(tmp_path / "eng.tsv", ["MAT 1:1", "Gen\u00e8se 1"])
    kab = write(tmp_path / "kab.tsv", ["mat\u00a0 1:1", "Gene\u0300se\u20091"])
    assert list(eng.texts) == list(kab.texts) == ["mat 1:1", "gen\u00e8se 1"]


@pytest.mark.parametrize("scheme", ["{:08d}", "matthew {}", "b.MAT.{}"])
def test_schemes_without_an_id_in_common_are_refused_with_an_example_of_each(tmp_path, scheme):
    other = [scheme.format(40_001_001 + i) for i in range(100)]
    sides = {"eng": write(tmp_path / "eng.tsv", VERSES), "kab": write(tmp_path / "kab.tsv", other)}
    with pytest.raises(InputError) as caught:
        overlaps(sides)
    line = str(caught.value)
    assert line.startswith(f"{tmp_path / 'kab.tsv'}: no id in common with eng.tsv: {other[0]!r} here, 'MAT.1.1' there")


def test_two_groups_that_never_meet_are_refused_and_chains_are_not(tmp_path):
    def numbers(first, last):
        return [str(i) for i in range(first, last)]

    ids = {"eng": VERSES, "deu": VERSES, "kab": numbers(0, 100), "swh": numbers(0, 100)}
    sides = {code: write(tmp_path / f"{code}.tsv", own) for code, own in ids.items()}
    with pytest.raises(InputError, match=r"kab\.tsv: no id in common with eng\.tsv"):
        overlaps(sides)
    chain = {"eng": numbers(0, 60), "kab": numbers(50, 150), "swh": numbers(140, 200)}
    sides = {code: write(tmp_path / f"{code}.tsv", own) for code, own in chain.items()}
    assert [overlap.shared for overlap in overlaps(sides)] == [10, 0]


def test_a_low_overlap_is_one_line_with_its_figure(tmp_path):
    english = write(tmp_path / "eng.tsv", [str(i) for i in range(7000)])
    kabyle = write(tmp_path / "kab.tsv", [str(i) for i in range(6880, 14_780)])
    (overlap,) = overlaps({"eng": english, "kab": kabyle})
    assert overlap.low
    assert str(overlap) == f"{tmp_path / 'kab.tsv'}: 120 of 7,900 ids are also in eng.tsv"
    part = write(tmp_path / "kab.tsv", [str(i) for i in range(120)])  # a small part of the pivot is all right
    assert not overlaps({"eng": english, "kab": part})[0].low


def test_without_english_the_largest_side_is_the_measure(tmp_path):
    sides = {"deu": write(tmp_path / "deu.tsv", VERSES[:30]), "kab": write(tmp_path / "kab.tsv", VERSES)}
    (overlap,) = overlaps(sides)
    assert (overlap.path.name, overlap.shared, overlap.other.name) == ("deu.tsv", 30, "kab.tsv")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a\tx\nb y\n", "line 2: not id<TAB>text; there is no tab"),
        ("a\tx\n \ty\n", "line 2: not id<TAB>text"),
        ("a\tx\nb\tz\nA \ty\n", "line 3: the id 'A' comes twice, first in line 1"),
        ("a\tx\nb\t\u00a0\n", "line 2: not id<TAB>text"),
        ("", "there is no text in the file"),
    ],
)
def test_faults_name_their_line(tmp_path, content, message):
    path = tmp_path / "kab.tsv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read_verses(path)
    assert message in str(caught.value)


def test_gaps_are_counted(tmp_path):
    path = tmp_path / "kab.tsv"
    path.write_text("a\tx\n\nb\t\nc\t \n", encoding="utf-8")
    found = read_verses(path, gaps=True)
    assert (found.texts, found.without_text) == ({"a": "x"}, 3)


def test_the_file_with_an_unusual_number_of_lines_is_named(tmp_path):
    paths = [tmp_path / f"{code}.txt" for code in ("eng", "deu", "kab")]
    for path, lines in zip(paths, (3, 3, 5), strict=True):
        path.write_text("a\n" * lines)
    with pytest.raises(InputError, match=r"kab\.txt: unaligned: 5 lines, but eng\.txt has 3"):
        read_aligned(paths)


def test_data_check_says_how_many_verses_meet(data, capsys):
    english = (data / "bible/eng.test.tsv").read_text("utf-8").splitlines()
    lower = [line.replace(line.partition("\t")[0], line.partition("\t")[0].lower()) for line in english]
    (data / "bible/swh.test.tsv").write_text("".join(f"{line}\n" for line in lower), "utf-8")
    (data / "bible/ces.test.tsv").write_text("".join(f"4000{i}\ttext {i}\n" for i in range(5)), "utf-8")
    (data / "bible/tur.test.tsv").write_text(f"{english[0]}\n" + "".join(f"x{i}\ty\n" for i in range(9)), "utf-8")
    assert main(["data", "check", str(data), "--json", "--languages", "swh,ces,tur"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["present"]["bible"]["swh"] == len(english)
    assert "no id in common with eng.test.tsv: '40000' here" in "".join(report["faults"])
    assert "1 of 10 ids are also in eng.test.tsv" in "".join(report["warnings"])
