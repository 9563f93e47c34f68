"""Figures of a matrix: intervals over seeds, steps saved at equal loss, differences from the paper and their headings."""

from __future__ import annotations

import math
import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hyperofa.experiment.recipe.differences import differences
from hyperofa.experiment.recipe.resolve import Replacements, find_recipe, load_recipe
from hyperofa.experiment.results.savings import first_at_most, level, saved, steps_to, window_of
from hyperofa.experiment.results.scores import over_seeds

ROOT = Path(__file__).parents[3]


def test_one_seed_keeps_its_interval() -> None:
    assert over_seeds([20.0], [[18.0, 23.0]]) == {"mean": 20.0, "ci95": [18.0, 23.0], "seeds": 1}


def test_items_and_seeds_are_added_in_quadrature() -> None:
    found = over_seeds([10.0, 12.0, 14.0], [[9.0, 11.0], [11.0, 13.0], [13.0, 15.0]])
    assert found["mean"] == pytest.approx(12.0)
    half = math.hypot(1.0, 4.302652729911275 * 2 / math.sqrt(3))  # Student's t for two degrees of freedom
    assert found["ci95"] == pytest.approx([12 - half, 12 + half])


def test_the_interval_over_seeds_covers_the_mean_nineteen_times_in_twenty() -> None:
    draw, hits, trials = random.Random(0), 0, 2000
    for _ in range(trials):
        item = draw.gauss(0, 1.0)
        values = [item + draw.gauss(0, 0.7) for _ in range(3)]
        low, high = over_seeds(values, [[value - 1.96, value + 1.96] for value in values])["ci95"]
        hits += low <= 0 <= high
    assert 0.95 <= hits / trials <= 0.999


def curve(rate: float, steps: int = 1000) -> list[tuple[int, float]]:
    return [(step, 2 + 6 * math.exp(-rate * step)) for step in range(1, steps + 1)]


def cell(method: str, loss: list[tuple[int, float]], seconds: float = 3600.0) -> dict[str, Any]:
    way = {"seconds": seconds, "scores": {}, "tokens_per_second": None}
    return {"source": "s", "rank": 100, "method": method, "seed": 0, "loss": loss, "way": way}


def test_twice_as_fast_saves_half_the_steps() -> None:
    (row,) = saved([cell("random", curve(0.002)), cell("ours", curve(0.004), seconds=7200)], "random")
    assert row["window"] == window_of(1000) == 201
    assert row["steps"] == pytest.approx(500, abs=15)
    assert row["share"] == pytest.approx(0.5, abs=0.02)
    assert row["hours"] == pytest.approx(1.0, abs=0.05)
    assert row["of_hours"] == pytest.approx(1.0)
    assert row["ci95"] == pytest.approx([row["steps"]] * 2, abs=15)  # nothing is left over but the curves' bend


def test_a_loss_that_is_never_reached_is_said_to_be() -> None:
    (row,) = saved([cell("random", curve(0.004)), cell("ours", curve(0.001))], "random")
    assert row["steps"] is None
    assert row["ci95"] == [None, None]
    assert row["share"] is None
    assert row["final_loss"] > row["loss"]
    assert saved([cell("random", curve(0.004)), cell("ours", [])], "random") == []


def test_steps_that_one_run_skipped_are_left_out_of_both() -> None:
    theirs, own = curve(0.002), [point for point in curve(0.004) if point[0] % 7]
    (row,) = saved([cell("random", theirs), cell("ours", own)], "random")
    assert row["steps"] == pytest.approx(500, abs=15)
    assert row["of_steps"] == 1000
    assert saved([cell("random", theirs), cell("ours", own[:8])], "random") == []  # too few to draw a line through


def test_a_single_low_step_is_not_a_loss_that_was_reached() -> None:
    baseline, own = np.linspace(9, 7, 100), np.linspace(10, 9, 100)
    own[3] = 0.5
    assert steps_to(baseline, own)[0] == np.inf


def test_the_level_of_a_line_is_the_line() -> None:
    line = np.linspace(9, 7, 100)
    assert level(line) == pytest.approx(line)
    assert first_at_most(np.stack([line, line]), np.array([8.0, 6.0])).tolist() == [50, np.inf]


def test_the_interval_of_the_steps_covers_the_true_step() -> None:
    """Batches' own difficulty is common to both runs and large, what else differs is small: as in real runs."""
    draw, step = np.random.default_rng(0), np.arange(1, 301)
    baseline, own = 7.3 + 1.3 * np.exp(-step / 120), 7.25 + 1.35 * np.exp(-step / 100)
    true = int((own <= baseline[-1]).argmax())
    hits, found = 0, []
    for _ in range(200):
        batch = draw.normal(0, 0.2, 300)
        at, low, high = steps_to(*(each + batch + draw.normal(0, 0.035, 300) for each in (baseline, own)))
        hits += low <= true <= high
        found.append(at)
    assert 0.9 <= hits / 200 <= 0.995
    assert np.median(found) == pytest.approx(true, abs=10)


@pytest.mark.parametrize("name", ["quickstart", "small", "paper/xlm-roberta", "llm/llama-8b"])
def test_each_difference_is_explained(name: str) -> None:
    recipe = load_recipe(find_recipe(name), Replacements(variables={"data": "x"} if name == "small" else {}))
    rows = differences(recipe, ["default"], 64)
    text = (ROOT / "docs" / "differences.md").read_text(encoding="utf-8")
    headings = {
        re.sub(r"[^a-z0-9 -]", "", line[3:].lower()).replace(" ", "-")
        for line in text.splitlines()
        if line[:3] == "## "
    }
    assert rows
    assert {row["anchor"] for row in rows} <= headings


def test_the_paper_recipe_differs_in_little() -> None:
    recipe = load_recipe(find_recipe("paper/xlm-roberta"), Replacements())
    found = {row["what"] for row in differences(recipe, ["paper"], 512)}
    assert found == {"method", "languages in a mean"}


def told(name: str, *settings: str, **given: Path) -> dict[str, str]:
    variables = {"data": "x"} if name != "quickstart" and not name.startswith("paper") else {}
    replaced = Replacements(variables=variables, settings=settings, **given)  # type: ignore[arg-type]
    rows = differences(load_recipe(find_recipe(name), replaced), ["default"], 64, replaced)
    return {row["what"]: row["here"] for row in rows}


def test_the_largest_differences_of_the_small_recipe_are_told() -> None:
    found = told("small")
    assert found["training text"].startswith(
        "parallel and plain text of the recipe, at most 12,000 lines of a language"
    )
    assert found["frozen parts"] == "primitives, body"
    assert found["phases"] == "head alone for 20 steps"
    assert found["scale of the coordinates (--scale-split)"] == "1 for all methods"
    assert (found["dropout"], found["separate documents"], found["tied gradient"]) == ("0", "yes", "input")
    assert found["test items"].startswith(
        "the first 300 of a language (SR-T, SR-B), the first 600 of a language (NER, POS)"
    )
    assert "the first 150 during training" in found["test items"]
    assert found["fine-tuning of taggers"] == "rate 0.0002 and epochs 5 (NER, POS)"


def test_settings_are_those_that_the_command_gets() -> None:
    methods = "matrix.methods={hyperofa: {refine: parallel}, b: {method: ofa, scale_split: 0}}"
    found = told("quickstart", methods, "evaluate.against=[]")
    assert "method" not in found
    assert found["refinement"] == "hyperofa"
    assert "scale of the coordinates (--scale-split)" not in found


def test_methods_under_different_splits_are_told_apart() -> None:
    found = told("small", "init={}")["scale of the coordinates (--scale-split)"]
    assert found == "1: random, ofa, ofa-ridge, ofa-ridge-parallel; 0: hyperofa-small"
    assert "scale of the coordinates (--scale-split)" not in told("paper/roberta")
    assert "scale of the coordinates (--scale-split)" in told("paper/roberta", "init={}")


@pytest.mark.parametrize("name", ["small", "one_gpu", "paper/roberta", "paper/xlm-roberta", "quickstart"])
def test_shipped_recipes_compare_methods_under_one_split(name: str) -> None:
    here = told(name).get("scale of the coordinates (--scale-split)", "0 for all methods")
    assert here.endswith("for all methods")


def test_what_the_command_line_gives_is_told() -> None:
    found = told("quickstart", tokenizer="some/tok", vectors=Path("some/vec"))
    assert found["target tokenizer"] == "tok, given with --tokenizer"
    assert found["word vectors"] == "vec, given with --vectors"
    assert "messages of django" in found["training text"]
