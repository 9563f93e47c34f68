"""The split: nothing of the test side may be on the training side, in any file a later stage reads."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperofa.cli import main
from hyperofa.data.linekeys import near_key
from hyperofa.data.parallel import AlignedText, read_parallel
from hyperofa.data.settings import SplitSettings
from hyperofa.data.split import documents, split, write_split
from hyperofa.errors import DataMissingError, InputError
from hyperofa_eval.base.files import read_json

WORDS = ["open", "the", "file", "user", "name", "page", "new", "old"]
SENTENCES = st.lists(st.sampled_from(WORDS), min_size=1, max_size=5).map(" ".join)
STYLES = st.sampled_from([str.lower, str.upper, str.title, "{}.".format, "“{}”".format, "{} 3:".format])


@st.composite
def parallel_texts(draw: st.DrawFn) -> AlignedText:
    english = [draw(STYLES)(text) for text in draw(st.lists(SENTENCES, min_size=4, max_size=40))]
    translations = {lang: [draw(st.just("") | SENTENCES) for _ in english] for lang in ("aaa", "bbb")}
    return AlignedText(english, translations)


@settings(max_examples=60, deadline=None)
@given(parallel_texts(), st.integers(0, 3), st.integers(1, 12))
def test_no_test_text_is_on_the_training_side(text: AlignedText, seed: int, test: int) -> None:
    parts = split(text, SplitSettings(test=test, min_words=2, min_test=1, seed=seed))
    english = {near_key(line) for line in parts.train.english}
    for language, pairs in parts.test.items():
        own = [near_key(line) for line in parts.train.translations[language] if line]
        assert len(parts.train.translations[language]) == len(parts.train.english)
        keys = [near_key(pair[1]) for pair in pairs]
        assert len(set(keys)) == len(keys)
        assert not set(keys) & set(own)
        for pair in pairs:
            assert near_key(pair[0]) not in english
            assert len(near_key(pair[0]).split()) >= 2


def sample() -> AlignedText:
    english = [f"message number {chr(97 + i)}" for i in range(20)] + ["File", "FILE", "file %", "Message number: A!"]
    return AlignedText(
        english,
        {
            "ces": [f"zpráva číslo {chr(97 + i)}" for i in range(20)] + ["Soubor", "soubor", "", "jiná zpráva"],
            "kab": ["izen a", *[""] * 22, "izen"],
        },
    )


def test_near_duplicates_stay_on_one_side_in_every_language() -> None:
    for seed in range(20):
        parts = split(sample(), SplitSettings(test=10, min_test=1, seed=seed))
        tested = {near_key(english) for english, _ in parts.test["ces"]}
        trained = {near_key(english) for english in parts.train.english}
        assert not tested & trained
        assert ("message number a" in tested) != ("message number a" in trained)
        assert len(parts.test["ces"]) == parts.held_out_messages == 10


def test_one_seed_one_split() -> None:
    first, again = (split(sample(), SplitSettings(test=10, min_test=1, seed=1)) for _ in range(2))
    other = split(sample(), SplitSettings(test=10, min_test=1, seed=2))
    assert first == again
    assert first.test != other.test


def test_documents_of_pairs_hold_both_sides_in_both_orders() -> None:
    text = sample()
    made = documents(text, SplitSettings(document="pair"))
    assert made["eng"] == text.english
    assert len(made["ces"]) == 23
    starts = {line.startswith("message") for line in made["ces"][:20]}
    assert starts == {True, False}
    for line, english, czech in zip(made["ces"][:20], text.english, text.translations["ces"], strict=False):
        assert line in (f"{english} {czech}", f"{czech} {english}")
    assert documents(text, SplitSettings(document="message"))["ces"] == [t for t in text.translations["ces"] if t]


def test_write_split_names_the_unscored_and_leaks_nothing(tmp_path: Path) -> None:
    sample().write(tmp_path / "in")
    settings_ = SplitSettings(test=12, min_test=5)
    made = write_split(tmp_path / "in", settings_, [], tmp_path / "out")
    assert made["languages"] == ["ces"]
    assert set(made["languages_unscored"]) == {"kab"}
    assert "fewer than 5" in made["languages_unscored"]["kab"]
    assert read_json(tmp_path / "out" / "split.json") == made
    test = tmp_path / "out" / "test" / "tatoeba"
    assert sorted(path.name for path in test.iterdir()) == ["ces-eng.ces", "ces-eng.eng"]
    held_out = {near_key(line) for path in test.iterdir() for line in path.read_text().splitlines()}
    assert len(held_out) == 24
    for path in (tmp_path / "out").rglob("*.txt"):
        assert not held_out & {near_key(line) for line in path.read_text().splitlines()}, path
    assert {path.parent.name for path in (tmp_path / "out").rglob("*.txt")} == {"parallel", "text", "documents"}
    lengths = {len(path.read_text().splitlines()) for path in (tmp_path / "out" / "parallel").iterdir()}
    assert len(lengths) == 1


def test_pivots_are_trained_on_only(tmp_path: Path) -> None:
    text = sample()
    text.translations["deu"] = [f"Nachricht {line}" for line in text.english]
    text.write(tmp_path / "in")
    made = write_split(tmp_path / "in", SplitSettings(test=12, min_test=5), ["deu"], tmp_path / "out")
    assert (made["languages"], made["pivots"]) == (["ces"], ["deu"])


@pytest.mark.parametrize("words", [["deu,hun"], ["deu", "hun"], ["deu,", " hun"]])
def test_pivots_are_named_with_commas_or_spaces(tmp_path: Path, words: list[str]) -> None:
    text = sample()
    for code in ("deu", "hun"):
        text.translations[code] = [f"{code} {line}" for line in text.english]
    text.write(tmp_path / "in")
    split = ["data", "split", "--parallel", tmp_path / "in", "--test", 12, "--min-test", 5, "--out", tmp_path / "out"]
    assert main([*map(str, split), "--pivots", *words]) == 0
    assert read_json(tmp_path / "out" / "split.json")["pivots"] == ["deu", "hun"]


def test_a_pivot_without_text_is_refused(tmp_path: Path) -> None:
    sample().write(tmp_path / "in")
    with pytest.raises(InputError, match=r"no parallel text in the pivot 'hun'; there: ces"):
        write_split(tmp_path / "in", SplitSettings(test=12, min_test=5), ["hun"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_two_files_in_one_language_are_named(tmp_path: Path) -> None:
    sample().write(tmp_path / "in")
    (tmp_path / "in" / "ces.more.txt").write_text("x\n")
    with pytest.raises(InputError, match=r"two files in ces: ces\.more\.txt and ces\.txt"):
        write_split(tmp_path / "in", SplitSettings(), [], tmp_path / "out")


def test_english_under_both_its_names_is_one_side_and_no_translation(tmp_path: Path) -> None:
    sample().write(tmp_path)
    lines = sample().english
    (tmp_path / "eng.txt").write_text("".join(f"{line}\n" if i % 2 else "\n" for i, line in enumerate(lines)))
    (tmp_path / "eng_Latn.txt").write_text("".join(f"{line}\n" for line in lines))
    text = read_parallel([tmp_path]).aligned()
    assert text.english == lines
    assert list(text.translations) == list(sample().translations)


def test_wrong_input(tmp_path: Path) -> None:
    with pytest.raises(DataMissingError, match="no such directory"):
        write_split(tmp_path / "none", SplitSettings(), [], tmp_path / "out")
    sample().write(tmp_path / "in")
    with pytest.raises(DataMissingError, match="no language has 50 test pairs"):
        write_split(tmp_path / "in", SplitSettings(), [], tmp_path / "out")
    (tmp_path / "in" / "kab.txt").write_text("one line\n")
    with pytest.raises(InputError, match=r"kab\.txt: unaligned: 1 lines, but eng\.txt has 24"):
        write_split(tmp_path / "in", SplitSettings(), [], tmp_path / "out")
    (tmp_path / "in" / "kab.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="not UTF-8"):
        write_split(tmp_path / "in", SplitSettings(), [], tmp_path / "out")
    (tmp_path / "in" / "eng.txt").unlink()
    with pytest.raises(DataMissingError, match=r"needs eng\.txt"):
        write_split(tmp_path / "in", SplitSettings(), [], tmp_path / "out")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("precious")
    with pytest.raises(InputError, match="holds something else"):
        write_split(tmp_path / "in", SplitSettings(), [], tmp_path / "full")
    assert not (tmp_path / "out").exists()
