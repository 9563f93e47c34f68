"""What a report says of sources with their own tokenizers: their rows, how text is cut, and what was read."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.finished import finish
from support.plans import plan_of

from hyperofa.experiment.execution import write_report

OWN = "train.own_tokenizer=[text, compute]"
TEXT, COMPUTE = "own tokenizer, same text", "own tokenizer, same compute"


@pytest.fixture
def results(recipe: Path):
    plan = plan_of(recipe, OWN, "corpus.replay={eng: 0.2}")
    finish(plan)
    return write_report(plan)


def test_their_rows_stand_among_the_others(results, recipe: Path) -> None:
    assert results["unfinished"] == []
    rows = {(row["method"], row["when"]): row for row in results["table"]}
    assert rows[TEXT, "before"]["mean"] == results["sources"]["tiny"]["scores"]["top10"]["mean"]
    assert rows[COMPUTE, "after"]["own_tokenizer"]
    assert {(row["method"], row["with"]) for row in results["paired"]} >= {
        ("ofa", TEXT),
        ("random", COMPUTE),
        (TEXT, TEXT),
    }
    assert {row["method"] for row in results["saved"]} <= {"ofa"}
    tables = (recipe.parent / "out" / "tables.md").read_text(encoding="utf-8")
    assert f"| {TEXT} | beside 8 | tiny |" in tables
    page = (recipe.parent / "out" / "report.html").read_text(encoding="utf-8")
    for words in (TEXT, COMPUTE, "What the vocabulary saves", "What was read in training", "eng (replayed)"):
        assert words in page
    assert TEXT not in (recipe.parent / "out" / "loss.svg").read_text(encoding="utf-8")


def test_the_vocabulary_saves_tokens_and_costs_operations(results) -> None:
    rows = {row["language"]: row for row in results["vocabulary"]}
    assert (rows["tur"]["own"], rows["tur"]["extended"]) == (1.5, 3.0)
    assert (rows["tur"]["tokens"], rows["tur"]["replayed"]) == (0.5, False)
    assert rows["tur"]["operations"] == pytest.approx(0.5 * 1.1)  # the larger head makes a token dearer
    assert (rows["eng"]["tokens"], rows["eng"]["replayed"]) == (1.0, True)


def test_reading_is_in_characters_of_each_ones_own_corpus(results) -> None:
    read = {cell["method"]: cell["read"] for cell in results["cells"].values()}
    row = (10 * 128 + 20 * 96) / 30  # the finished corpus is not sampled by a replay
    assert read["ofa"]["characters"] == pytest.approx(8 * 10 * row, rel=0.05)
    assert read["ofa"]["characters_per_second"] == pytest.approx(read["ofa"]["characters"] / 10, abs=0.1)
    assert read[TEXT]["characters"] == pytest.approx(8 * 10 * (10 * 128 + 40 * 48) / 50, rel=0.05)
