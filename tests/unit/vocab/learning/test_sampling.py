"""The lines that a tokenizer learns from and those it is measured on: drawn with the seed, apart, bounded in memory."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hyperofa.errors import InputError
from hyperofa.vocab.learning import sampling
from hyperofa.vocab.learning.sampling import APART, LEAST_HELD_OUT, count_apart, count_words, most_frequent, survey
from hyperofa.vocab.settings import SamplingSettings


def text_of(tmp_path, lines, **settings):
    path = tmp_path / "swh.txt"
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return survey({"swh": [path]}, SamplingSettings(**settings))["swh"]


def test_a_cap_draws_lines_evenly_and_the_seed_decides(tmp_path):
    lines = [f"line {i}" for i in range(2000)]
    times = Counter()
    for seed in range(20):
        text = text_of(tmp_path, lines, cap=200, held_out=0.0, seed=seed)
        drawn = list(text)
        assert len(drawn) == text.drawn == 200
        assert drawn == sorted(set(drawn), key=lines.index)
        assert drawn == list(text), "an iteration is the same as the one before"
        times.update(lines.index(line) // 500 for line in drawn)
    assert all(800 < times[quarter] < 1200 for quarter in range(4)), times
    first, second = (list(text_of(tmp_path, lines, cap=200, held_out=0.0, seed=seed)) for seed in (0, 1))
    assert first != second


def test_the_same_lines_are_drawn_and_kept_out_however_the_text_is_divided(tmp_path):
    lines = [f"line {i}" for i in range(300)]
    whole = text_of(tmp_path, lines, cap=100)
    paths = []
    for number, part in enumerate((lines[:70], lines[70:71], lines[71:])):
        paths.append(tmp_path / f"swh.{number}.txt")
        paths[-1].write_text("\n".join(part), encoding="utf-8")
    divided = survey({"swh": paths}, SamplingSettings(cap=100))["swh"]
    assert divided.held_out == whole.held_out
    assert list(divided) == list(whole)


def test_no_line_that_is_measured_on_is_learnt_from_wherever_it_is_repeated(tmp_path):
    lines = [f"line {i % 400}{' ' * (i % 3)}" for i in range(2000)]
    text = text_of(tmp_path, lines)
    learnt = {line.strip() for line in text}
    held_out = {line.strip() for line in text.held_out}
    assert len(held_out) == len(text.held_out) == 20
    assert not learnt & held_out
    assert len(learnt | held_out) == 400
    assert text.drawn == 2000 - text.kept_out_lines == 1900


def test_a_few_lines_are_kept_out_of_little_text_and_none_of_hardly_any(tmp_path):
    assert len(text_of(tmp_path, [f"line {i}" for i in range(82)]).held_out) == LEAST_HELD_OUT
    text = text_of(tmp_path, [f"line {i}" for i in range(30)])
    assert text.held_out == []
    assert len(text.measured) == len(list(text)) == 30


def test_many_lines_are_estimated_to_be_as_different_as_they_are(tmp_path, monkeypatch):
    monkeypatch.setattr(sampling, "MOST_HELD_OUT", 200)
    assert len(text_of(tmp_path, [f"line {i % 1000}" for i in range(3000)]).held_out) == pytest.approx(50, abs=15)
    assert len(text_of(tmp_path, [f"line {i}" for i in range(6000)]).held_out) == 200


@pytest.mark.parametrize("content", [b"", b"\n \n\t\n", b"\xef\xbb\xbf\n"])
def test_a_language_without_text_is_refused(tmp_path, content):
    (tmp_path / "empty.txt").write_bytes(content)
    with pytest.raises(InputError, match="no words in the text"):
        survey({"swh": [tmp_path / "empty.txt"]}, SamplingSettings())


def test_lines_that_show_nothing_are_no_text(tmp_path):
    (tmp_path / "a.txt").write_text(
        "\u200b\u200d\n \u00ad\u200f\n\u2060\ufe0f\n" * 50 + "maji na mbwa\n", encoding="utf-8"
    )
    assert survey({"swh": [tmp_path / "a.txt"]}, SamplingSettings())["swh"].lines == 1


def test_a_line_of_nothing_but_junk_is_not_learnt_from(tmp_path):
    (tmp_path / "a.txt").write_text("=" * 200 + "\nmaji na mbwa\n", encoding="utf-8")
    text = survey({"swh": [tmp_path / "a.txt"]}, SamplingSettings())["swh"]
    assert list(text) == ["maji na mbwa"]
    assert (text.characters, text.left_out) == (12, 1)


def test_a_language_of_nothing_but_junk_is_refused_with_the_count(tmp_path):
    text = text_of(tmp_path, ["a" * 1000] * 3)
    with pytest.raises(InputError, match=r"no words in the text \(3 left out"):
        count_words(text, str.split)


def test_the_rarest_words_are_forgotten_beyond_a_size():
    counts = {"often": 5, "twice": 2, **{f"once{i}": 1 for i in range(100)}}
    kept = most_frequent(counts, 100)
    assert {"often", "twice"} < set(kept)
    assert 80 <= sum(map(len, kept)) <= 100
    assert kept == most_frequent(dict(reversed(counts.items())), 100), "the order of the text does not matter"
    assert most_frequent(counts, 10_000) == counts


def test_memory_of_distinct_words_is_bounded_while_a_text_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(sampling, "_MOST_WORDS", 100)
    monkeypatch.setattr(sampling, "WORD_CHARACTERS", 200)
    text = text_of(tmp_path, [f"serikali w{i:04}" for i in range(1000)], held_out=0.0)
    counts = count_words(text, str.split)
    assert counts["serikali"] == 1000
    assert sum(map(len, counts)) <= 200
    thirds = Counter(int(word[1:]) // 334 for word in counts if word != "serikali")
    assert len(thirds) == 3, "they are drawn from the whole text"


def test_languages_share_what_all_of_them_may_hold(tmp_path, monkeypatch):
    monkeypatch.setattr(sampling, "ALL_CHARACTERS", 200)
    files = {language: [tmp_path / f"{language}.txt"] for language in ("kab", "swh")}
    for language, paths in files.items():
        paths[0].write_text("".join(f"{language}{i:04}\n" for i in range(100)), encoding="utf-8")
    texts = survey(files, SamplingSettings(held_out=0.0))
    assert [sum(map(len, count_words(text, str.split))) for text in texts.values()] == [98, 98]


def test_a_long_line_is_cut_at_spaces_and_loses_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(sampling, "_LONGEST_PART", 50)
    line = " ".join(f"word{i}" for i in range(100))
    text = text_of(tmp_path, [line], held_out=0.0)
    parts = list(text)
    assert len(parts) > 10
    assert "".join(parts) == line
    assert text.drawn == 1


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lines=st.lists(
        st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufeff"), max_size=40), max_size=90
    ),
    cap=st.integers(1, 100),
    share=st.sampled_from([0.0, 0.05, 0.5]),
)
def test_every_line_is_learnt_from_kept_out_or_beyond_the_cap(tmp_path, lines, cap, share):
    full = [line for line in lines if sampling._VISIBLE.search(line)]
    if not full:
        with pytest.raises(InputError):
            text_of(tmp_path, lines, cap=cap, held_out=share)
        return
    text = text_of(tmp_path, lines, cap=cap, held_out=share)
    list(text)
    assert text.lines == len(full)
    assert text.drawn == min(cap, text.lines - text.kept_out_lines)


def test_a_part_is_kept_out_of_what_pieces_are_learnt_from(tmp_path):
    lines = [f"line number{i}" for i in range(1000)] + ["line repeated"] * 20
    text = text_of(tmp_path, lines, held_out=0.05)
    counts, apart = count_apart(text, str.split)
    assert counts == count_words(text, str.split)
    assert 0.8 * counts["line"] < APART * apart["line"] < 1.2 * counts["line"]
    assert apart.get("repeated", 0) in (0, 20), "a line is in the part wherever it is repeated"
    assert apart.keys() < counts.keys()


def test_of_a_text_that_keeps_nothing_out_all_is_the_part(tmp_path):
    for lines, share in (([f"line {i}" for i in range(20)], 0.05), ([f"line {i}" for i in range(200)], 0.0)):
        counts, apart = count_apart(text_of(tmp_path, lines, held_out=share), str.split)
        assert counts == apart
        assert counts["line"] == len(lines)


def test_what_is_forgotten_is_forgotten_in_the_part_too(tmp_path, monkeypatch):
    monkeypatch.setattr(sampling, "_MOST_WORDS", 50)
    text = text_of(tmp_path, [f"line{i % 7} number{i}" for i in range(400)], held_out=0.05)
    text.word_characters = 60
    counts, apart = count_apart(text, str.split)
    assert sum(map(len, counts)) <= 60
    assert apart.keys() <= counts.keys()
    assert all(apart[word] <= counts[word] for word in apart)
