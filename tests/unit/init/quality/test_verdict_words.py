"""The line, the table and the warning of a verdict."""

from __future__ import annotations

import pytest

from hyperofa.init.quality.verdict_words import line_of, table_of, verdict_line, warning_of


def figures(verdict, own=80.0, extended=70.0, n=200):
    return {
        "own": own,
        "extended": extended,
        "difference": extended - own,
        "ci95": [-12.0, -8.0],
        "n": n,
        "verdict": verdict,
    }


def record(said, *, pivot=None, mean="no different", head="none"):
    """Of languages with a verdict of top-10 each; None has no figures."""
    languages = {}
    for name, verdict in said.items():
        languages[name] = {"lines": 200, "words": 400, "tokens": {"own": 1000, "extended": 690}, "verdict": verdict}
        if verdict:
            languages[name] |= {"top1": figures(verdict), "top10": figures(verdict) | {"chance": 5.0}}
    means = {"top10": figures(mean) | {"languages": len(said)}}
    return {"head": head, "block": 8, "pivot": pivot, "decides": ["top10"], "languages": languages, "mean": means}


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (
            {"kab": "worse", "uig": "better", "zsm": "better"},
            "better in 2 of 3 languages, worse in kab; 31 % fewer tokens",
        ),
        ({"kab": "no different"}, "better in none of 1 language; 31 % fewer tokens"),
        ({"eng": "worse", "kab": "better"}, "better in 1 of 1 language; eng worse; 31 % fewer tokens"),
        ({"eng": "better"}, "better in 1 of 1 language; 31 % fewer tokens"),
        (
            {"kab": "too little text", "uig": "better"},
            "better in 1 of 2 languages, too little text to judge kab; 31 % fewer tokens",
        ),
        ({"kab": None}, "only tokens were counted (no pairs of sentences, and no trained head); 31 % fewer tokens"),
        ({}, "nothing was measured: too little text to keep some of it out (a language is judged from 100 lines on)"),
    ],
)
def test_the_line(given, line):
    assert line_of(record(given, pivot="eng")) == line


def test_the_line_says_what_the_mean_is_and_does_not_run_on():
    many = {f"l{i:02}": "worse" for i in range(12)}
    assert (
        line_of(record({"kab": "no different", "uig": "no different"}, mean="worse")).split("; ")[1]
        == "worse in the mean"
    )
    assert "worse in l00 l01 l02 l03 l04 l05 l06 l07 and 4 more" in line_of(record(many))


def test_tokens_are_those_of_the_languages_that_were_learned():
    found = record({"eng": None, "kab": "better"}, pivot="eng")
    found["languages"]["eng"]["tokens"] = {"own": 9000, "extended": 9000}
    assert line_of(found).endswith("; 31 % fewer tokens")
    assert line_of(record({"eng": None}, pivot="eng")).endswith("; 31 % fewer tokens")


@pytest.mark.parametrize(
    ("own", "extended", "words"),
    [
        (1000, 690, "31 % fewer tokens"),
        (1000, 1100, "10 % more tokens"),
        (1000, 1001, "as many tokens"),
        (0, 0, "as many tokens"),
    ],
)
def test_tokens_are_counted_over_the_languages_but_the_pivot(own, extended, words):
    found = record({"eng": "better", "kab": "better"}, pivot="eng")
    found["languages"]["kab"]["tokens"] = {"own": own, "extended": extended}
    assert line_of(found).endswith(words)


def test_the_warning_names_languages_with_their_figures_and_the_mean():
    found = warning_of(record({"kab": "worse", "uig": "better"}, mean="worse"))
    assert found == (
        "the extended model is worse than the source with its own tokenizer in kab (top-10 % 80.0 → 70.0), the mean "
        "(top-10 % 80.0 → 70.0)"
    )
    assert warning_of(record({"kab": "no different", "uig": "too little text"})) == ""


def test_the_table_has_a_row_a_language_and_the_mean():
    title, columns, rows = table_of(record({"eng": None, "kab": "worse"}))
    assert "block 8" in title
    assert columns == ["language", "lines", "tokens/word", "pairs", "chance of ten", "top-1 %", "top-10 %", "verdict"]
    cell = "80.0 → 70.0 (-12.0 to -8.0)"
    assert rows == [
        ["eng", "200", "2.50 → 1.73 (-31 %)", "–", "–", "–", "–", "–"],
        ["kab", "200", "2.50 → 1.73 (-31 %)", "200", "5.0", cell, cell, "worse"],
        ["mean of 2", "", "", "", "", "", cell, "no different"],
    ]


def test_a_record_without_a_verdict_says_why():
    assert (
        verdict_line({"made_by": {"settings": {"verdict": True}}, "verdict": None})
        == "no text given: nothing was measured"
    )
    assert "no verdict asked for" in verdict_line({"made_by": {"settings": {}}})
    assert verdict_line({"verdict": {"line": "x"}}) == "x"
