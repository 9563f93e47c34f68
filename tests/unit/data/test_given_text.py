"""Parting the text that an initialisation is given."""

from __future__ import annotations

from pathlib import Path

import pytest

from hyperofa.data.given_text import MOST, GivenText, PartedText, part_text, read_given
from hyperofa.data.parallel import ParallelText
from hyperofa.errors import DataMissingError


def parts_of(parted: PartedText) -> list[GivenText]:
    return [parted.learn, parted.choose, parted.verdict]


def given(seed_words: str = "line") -> GivenText:
    swh = {i: f"{seed_words} {i} kwa Kiswahili" for i in range(500)}
    tur = {i: f"{seed_words} {i} olarak" for i in range(250)}
    eng = {i: f"{seed_words} {i} in English" for i in range(500)}
    lines = [*(swh[i] for i in range(0, 500, 2)), *(f"alone {i}" for i in range(1000))]
    return GivenText({"swh": lines}, ParallelText({"eng": eng, "swh": swh, "tur": tur}, 500))


def test_no_line_and_no_translation_is_in_two_parts() -> None:
    parts = parts_of(part_text(given(), 0))
    for language in ("eng", "swh", "tur"):
        sides = [set(part.parallel.texts.get(language, {}).values()) for part in parts]
        assert sum(map(len, sides)) == len(set().union(*sides)) == len(given().parallel.texts[language])
    numbers = [{n for rows in part.parallel.texts.values() for n in rows} for part in parts]
    assert not numbers[0] & numbers[1]
    assert not numbers[0] & numbers[2]
    assert not numbers[1] & numbers[2]
    everything = [set(part.all_lines()["swh"]) for part in parts]
    assert not everything[0] & everything[1]
    assert not everything[0] & everything[2]
    assert not everything[1] & everything[2]
    assert set().union(*everything) == {*given().lines["swh"], *given().parallel.texts["swh"].values()}


def test_held_out_parts_are_a_tenth_of_each_language_at_most_and_alike_in_size() -> None:
    parted = part_text(given(), 0)
    held = [len(part.parallel.texts["tur"]) for part in (parted.choose, parted.verdict)]
    assert held[0] in range(20, 51)
    assert held[1] in range(20, 51)
    many = GivenText({"kab": [f"awal {i}" for i in range(50 * MOST)]})
    assert [len(part.lines["kab"]) for part in parts_of(part_text(many, 0))] == [48 * MOST, MOST, MOST]


def test_the_order_of_lines_does_not_matter_and_the_seed_does() -> None:
    forward = GivenText({"kab": [f"awal {i}" for i in range(300)]})
    backward = GivenText({"kab": forward.lines["kab"][::-1]})
    assert part_text(forward, 3) == part_text(backward, 3)
    assert part_text(forward, 3).verdict != part_text(forward, 4).verdict


def test_a_sentence_that_would_join_two_parts_is_left_out() -> None:
    eng = {i: f"sentence {i}" for i in range(100)} | dict.fromkeys(range(100, 110), "Amen.")
    kab = {i: f"tafyirt {i}" for i in range(110)}
    parts = parts_of(part_text(GivenText({}, ParallelText({"eng": eng, "kab": kab}, 110)), 0))
    with_amen = [part for part in parts if "Amen." in part.parallel.texts["eng"].values()]
    assert len(with_amen) == 1


def test_translations_of_a_left_out_sentence_are_left_out_of_the_lines_too() -> None:
    """Sentence 100 joins an English sentence of one part to a Kabyle one of another; its French is a plain line as well."""
    eng, kab = {i: f"sentence {i}" for i in range(100)}, {i: f"tafyirt {i}" for i in range(100)}
    parts = parts_of(part_text(GivenText({}, ParallelText({"eng": eng, "kab": kab}, 101)), 0))
    first, second = (next(iter(part.parallel.texts["eng"])) for part in parts[:2])
    joining = ParallelText(
        {"eng": eng | {100: eng[first]}, "kab": kab | {100: kab[second]}, "fra": {100: "phrase"}}, 101
    )
    parts = parts_of(part_text(GivenText({"fra": ["phrase", *(f"autre {i}" for i in range(50))]}, joining), 0))
    assert all(100 not in rows for part in parts for rows in part.parallel.texts.values())
    assert sorted(line for part in parts for line in part.lines["fra"]) == sorted(f"autre {i}" for i in range(50))


def test_a_line_that_two_languages_share_is_in_one_part() -> None:
    shared = [f"same {i}" for i in range(300)]
    nob, nno = [f"bokmål {i}" for i in range(300)], [f"nynorsk {i}" for i in range(1700)]
    everything = [
        part.all_lines() for part in parts_of(part_text(GivenText({"nob": shared + nob, "nno": nno + shared}), 0))
    ]
    assert sum(len(lines) for part in everything for lines in part.values()) == 2600
    sides = [{line for lines in part.values() for line in lines} for part in everything]
    assert sum(map(len, sides)) == 2300


def test_a_language_of_few_lines_keeps_them_for_learning() -> None:
    parted = part_text(GivenText({"pam": ["bat", "metung", "adwa"]}), 0)
    assert len(parted.learn.lines["pam"]) == 3
    assert not parted.choose
    assert not parted.verdict


def test_files_are_read_without_repeats(tmp_path: Path) -> None:
    (tmp_path / "swh.txt").write_text("moja\n\n moja \nmbili\n", encoding="utf-8")
    parted = read_given({"swh": [tmp_path / "swh.txt"]}, [], 0)
    assert sorted(parted.learn.lines["swh"]) == ["mbili", "moja"]


def test_a_file_without_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "swh.txt").write_text("\n\n", encoding="utf-8")
    with pytest.raises(DataMissingError, match="no text in the file"):
        read_given({"swh": [tmp_path / "swh.txt"]}, [], 0)
