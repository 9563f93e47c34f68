"""Pieces worth having: used often enough in the grown cut, used where nothing was learnt, and the bend of what they save."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pytest

import hyperofa
from hyperofa.vocab.change import token_ids
from hyperofa.vocab.learning.candidates import Candidates
from hyperofa.vocab.learning.extend import grow_tokenizer
from hyperofa.vocab.learning.merges import Merge
from hyperofa.vocab.learning.sampling import survey
from hyperofa.vocab.learning.worth import Choice, CountedWords, Size, bend, curve
from hyperofa.vocab.settings import ExtendSettings
from hyperofa_eval.text.tokenizer import rows_needed
from tests.unit.vocab.conftest import MAKERS, make_byte_level, make_unigram, make_wordpiece

SYLLABLES = [a + b for a in "bdfgklmnprstvz" for b in "aeiou"]
DRAW = random.Random(3)
WORDS = ["".join(DRAW.choice(SYLLABLES) for _ in range(DRAW.randint(2, 4))) for _ in range(150)]


def sentences(number, words=WORDS, seed=0):
    draw = random.Random(seed)
    return [" ".join(words[min(int(draw.expovariate(0.03)), len(words) - 1)] for _ in range(8)) for _ in range(number)]


@pytest.fixture
def files(tmp_path):
    (tmp_path / "swh.txt").write_text("\n".join(sentences(400)), encoding="utf-8")
    return {"swh": [tmp_path / "swh.txt"]}


def counted(words, kept_out=None, measured=None):
    names = list(words)
    times = np.array([*words.values()], dtype=np.float64)
    aside = times if kept_out is None else np.array([kept_out.get(name, 0) for name in names], dtype=np.float64)
    lines = {"swh": (np.arange(len(names)), times)} if measured is None else measured
    return CountedWords(names, times, aside, times, lines)


def taken(choice, candidates):
    return {candidates.pieces[number] for number in choice.taken}


def merge(left, right, count=10.0, *, new=True, prefix=""):
    return Merge(left, right, left + right.removeprefix(prefix), count, new)


@pytest.mark.parametrize("name", ["byte-level", "unigram", "wordpiece-cased", "sentencepiece-bpe"])
def test_each_new_piece_is_used_as_often_as_asked(name, files):
    source = MAKERS[name]()
    size = rows_needed(source)
    chosen = ExtendSettings(vocab_size=size + 120, min_count=12)
    texts = survey(files, chosen)
    grown = grow_tokenizer(source, texts, chosen).tokenizer
    uses = Counter(number for ids in token_ids(grown, list(texts["swh"])) for number in ids)
    new = range(size, rows_needed(grown))
    assert 20 < len(new) <= 120
    rare = [grown.convert_ids_to_tokens(number) for number in new if uses[number] < 12]
    if name in ("byte-level", "sentencepiece-bpe"):  # what longer pieces are made of stays
        longer = [grown.convert_ids_to_tokens(number) for number in new if uses[number] >= 12]
        assert all(any(piece in other for other in longer) for piece in rare)
    else:
        assert rare == []


def test_fewer_are_taken_the_more_uses_are_asked_for(files, caplog):
    source = make_unigram()
    sizes = []
    for least in (1, 20, 100):
        chosen = ExtendSettings(vocab_size=rows_needed(source) + 200, min_count=least)
        caplog.clear()
        sizes.append(rows_needed(grow_tokenizer(source, survey(files, chosen), chosen).tokenizer))
    assert sizes[0] > sizes[1] > sizes[2]
    (line,) = [record.getMessage() for record in caplog.records if "new entries" in record.getMessage()]
    assert line.startswith(
        f"{sizes[2] - rows_needed(source)} of 200 new entries: the text, and its part that is kept out"
    )
    assert "(min_count 100)" in line


def test_no_piece_is_taken_that_the_part_kept_out_does_not_show():
    candidates = Candidates(make_unigram(), {}, [merge("z", "e"), merge("k", "i")], 100.0)
    choice = Choice(candidates, counted({"ze": 30, "ki": 30}, kept_out={"ki": 4}), 10)
    choice.drop_rare()
    assert taken(choice, candidates) == {"ki"}


def test_a_line_repeated_in_the_text_brings_no_piece_of_its_own(tmp_path):
    """Its words come 300 times, but in one of the two parts only."""
    lines = sentences(300) + ["xaxexi qoquqa jejijo"] * 300
    (tmp_path / "swh.txt").write_text("\n".join(lines), encoding="utf-8")
    source = make_unigram()
    for held_out, brought in ((0.05, False), (0.0, True)):  # where none is kept out, it can not be told
        chosen = ExtendSettings(vocab_size=rows_needed(source) + 300, min_count=10, held_out=held_out)
        grown = grow_tokenizer(source, survey({"swh": [tmp_path / "swh.txt"]}, chosen), chosen).tokenizer
        new = [piece for piece, number in grown.get_vocab().items() if number >= rows_needed(source)]
        assert any("q" in piece for piece in new) is brought


@pytest.mark.parametrize("name", ["unigram", "byte-level", "wordpiece-cased"])
def test_uses_of_what_leaves_go_to_its_parts(name):
    """``keda`` is rare; once it is gone, its 6 uses make its parts worth having."""
    mark = "##" if name == "wordpiece-cased" else ""
    merges = [merge("k", f"{mark}e", prefix=mark), merge(f"{mark}d", f"{mark}a", prefix=mark)]
    merges += [merge("ke", f"{mark}da", prefix=mark)]
    candidates = Candidates(MAKERS[name](), {}, merges, 100.0)
    choice = Choice(candidates, counted({"keda": 6, "ke": 5, "koda": 5}), 10)
    choice.drop_rare()
    assert taken(choice, candidates) == {"ke", f"{mark}da"}


def test_what_a_longer_piece_of_bpe_is_made_of_stays():
    source = make_byte_level()
    merges = [merge("k", "e"), merge("ke", "d"), merge("ked", "a")]
    candidates = Candidates(source, {}, merges, 100.0)
    choice = Choice(candidates, counted({"keda": 30, "ke": 1}), 10)
    choice.drop_rare()
    assert taken(choice, candidates) == {"ke", "ked", "keda"}
    choice.drop_to(1)
    assert taken(choice, candidates) == {"ke"}, "the longest leave first"


def test_characters_that_the_source_lacks_stay():
    candidates = Candidates(make_wordpiece(), {"ა": 3.0, "##ბ": 2.0}, [merge("ა", "##ბ", prefix="##")], 100.0)
    choice = Choice(candidates, counted({"აბ": 3}), 10)
    choice.drop_rare()
    choice.drop_to(0)
    assert taken(choice, candidates) == {"ა", "##ბ"}


def test_a_merge_to_an_old_piece_keeps_its_parts():
    source = make_byte_level()
    assert "dog" in source.get_vocab()
    candidates = Candidates(source, {}, [merge("o", "g"), merge("d", "og", new=False)], 100.0)
    assert candidates.fixed.tolist() == [True]
    assert candidates.tokenizer([0]).get_vocab().keys() - source.get_vocab().keys() == {"og"}


def test_savings_are_counted_by_language(files):
    source = make_unigram()
    candidates = Candidates(source, {}, [merge("k", "e"), merge("ke", "d")], 100.0)
    words = {"ked": 4, "dog": 2, "ke": 3}
    first, second = np.array([0, 2]), np.array([1])
    measured = {"swh": (first, np.array([1.0, 1.0])), "eng": (second, np.array([5.0]))}
    before = {word: len(source.backend_tokenizer.model.tokenize(word)) for word in words}
    choice = Choice(candidates, counted(words, measured=measured), 1)
    size = choice.size()
    assert size.pieces == 2
    assert size.saved == {"swh": 1 - 2 / (before["ked"] + before["ke"]), "eng": 0.0}
    assert size.mean == sum(size.saved.values()) / 2


def test_a_curve_falls_with_the_number_and_ends_at_what_was_taken(files):
    source = make_unigram()
    chosen = ExtendSettings(vocab_size=rows_needed(source) + 100, min_count=2)
    made = grow_tokenizer(source, survey(files, chosen), chosen)
    sizes = [size.pieces for size in made.curve]
    assert sizes == sorted(set(sizes))
    assert 5 <= len(sizes) <= 8
    assert sizes[-1] == rows_needed(made.tokenizer) - rows_needed(source) == made.taken
    means = [size.mean for size in made.curve]
    assert means == sorted(means)
    assert 0 < means[0] < means[-1] < 1


def made_up(pairs):
    return [Size(pieces, {"swh": saved}) for pieces, saved in pairs]


@pytest.mark.parametrize(
    ("pairs", "pieces"),
    [
        ([(100, 0.10), (200, 0.19), (400, 0.20), (800, 0.21)], 200),  # a corner
        ([(100, 0.1), (200, 0.2), (400, 0.4), (800, 0.8)], 100),  # a straight line has no bend: as few as there are
        ([(100, 0.3), (200, 0.3), (400, 0.3)], 100),  # nothing more is saved
        ([(100, 0.0), (200, 0.0)], 100),  # nothing is saved at all
        ([(100, -0.1), (200, -0.01)], 100),
        ([(100, 0.01), (200, 0.02), (400, 0.3), (800, 0.31)], 400),  # short pieces alone save little
        ([(500, 0.2)], 500),
    ],
)
def test_the_bend_of_made_up_curves(pairs, pieces):
    sizes = made_up(pairs)
    assert sizes[bend(sizes)].pieces == pieces
    assert sizes[::-1][bend(sizes[::-1])].pieces == pieces, "the order is of no account"


def test_the_bend_of_a_smooth_curve_is_where_a_piece_saves_as_much_as_one_does_on_average():
    counts = range(100, 10_100, 100)
    sizes = made_up([(n, float(np.log1p(n / 1000))) for n in counts])
    found = sizes[bend(sizes)].pieces
    slope = 1 / (1000 + found)
    assert slope == pytest.approx(np.log1p(10) / 10_000, rel=0.05)


def test_auto_takes_the_bend(files):
    source = make_unigram()
    grown = hyperofa.extend_tokenizer(source, files, vocab_size="auto", min_count=3)
    points = grown.hyperofa_report["saved"]
    sizes = [Size(point["new"], point["languages"]) for point in points]
    (at,) = [index for index, point in enumerate(points) if point["taken"]]
    assert at == bend(sizes)
    assert at < len(points) - 1
    assert rows_needed(grown) - rows_needed(source) == points[at]["new"]
    assert points[-1]["new"] <= rows_needed(source)


def test_a_curve_of_nothing_is_empty(files):
    candidates = Candidates(make_unigram(), {}, [], 1.0)
    assert list(curve(Choice(candidates, counted({"▁dog": 3}), 1))) == []
    source = make_unigram()
    grown = hyperofa.extend_tokenizer(source, files, vocab_size="auto", min_count=10_000)
    assert grown.get_vocab() == source.get_vocab()
    assert grown.hyperofa_report["saved"] == []
