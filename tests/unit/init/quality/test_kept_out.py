"""Which kept-out text two models are measured on."""

from __future__ import annotations

import pytest
import torch

from hyperofa.data.given_text import GivenText
from hyperofa.data.parallel import ParallelText
from hyperofa.init.quality import kept_out
from hyperofa.init.quality.kept_out import LINES, affordable, alike, kept_text


def test_pairs_are_with_english_and_each_of_its_sentences_once():
    texts = {"deu": {0: "hund", 1: "katze", 2: "tier", 4: "allein"}, "eng": {0: "dog", 1: "cat", 2: "dog", 3: "sun"}}
    found = kept_text(GivenText({"deu": ["rot"]}, ParallelText(texts, 5)), pairs=True)
    assert found.pivot == "eng"
    assert sorted(found.pairs["deu"]) == [("cat", "katze"), ("dog", "hund")]
    assert found.lines["deu"] == ["rot", "hund", "katze", "tier", "allein"]
    assert kept_text(GivenText({"deu": ["rot"]}, ParallelText(texts, 5)), pairs=False).pairs == {}


def test_without_english_the_language_with_most_sentences_is_the_pivot():
    texts = {"deu": {0: "hund", 1: "katze"}, "nld": {0: "hond", 1: "kat", 2: "zon"}}
    found = kept_text(GivenText({}, ParallelText(texts, 3)), pairs=True)
    assert (found.pivot, found.pairs) == ("nld", {"deu": [("kat", "katze"), ("hond", "hund")]})


def test_a_language_has_at_most_so_many_lines_of_both_kinds():
    lines = [f"line {i}" for i in range(300)]
    pairs = {name: {i: f"{name} {i}" for i in range(300)} for name in ("eng", "deu")}
    found = kept_text(GivenText({"deu": lines}, ParallelText(pairs, 300)), pairs=True)
    assert len(found.lines["deu"]) == len(found.pairs["deu"]) == LINES
    assert sum(line.startswith("line") for line in found.lines["deu"]) == LINES // 2


def test_both_sides_read_the_same_characters_and_read_them_whole(sides):
    """The target spells with letters what the source has whole, and the model has 32 positions."""
    line = "dog cat house red water walk sun fire moon tree " * 4
    found = alike(kept_text(GivenText({"eng": [line, "dog"]}), pairs=False), sides)
    long, short = found.lines["eng"]
    assert short == "dog"
    assert line.startswith(long)
    assert all(max(side.lengths([long])) <= side.reach() for side in sides)
    assert max(side.lengths([line[: 2 * len(long)]])[0] - side.reach() for side in sides) > 0, "no more than needed"


def test_a_prompt_takes_its_tokens_from_the_text(sides):
    line = "dog cat house red water walk sun fire moon tree " * 4
    kept = kept_text(GivenText({"eng": [line]}), pairs=False)
    (behind,), (alone,) = (alike(kept, sides, prompt).lines["eng"] for prompt in ("red water: ", ""))
    assert len(behind) < len(alone)
    for side in sides:
        most = side.model.config.max_position_embeddings - side.tokenizer.num_special_tokens_to_add() - 1
        assert side.lengths(["red water: " + behind])[0] <= most


def test_long_lines_are_cut_at_a_space(sides, monkeypatch):
    monkeypatch.setattr(kept_out, "CHARACTERS", 10)
    found = alike(kept_text(GivenText({"eng": ["dog cat house"]}), pairs=False), sides)
    assert found.lines["eng"] == ["dog cat"]


@pytest.mark.parametrize("head", [True, False])
@pytest.mark.parametrize("fast", [True, False])
def test_what_would_take_too_long_is_in_bfloat16_and_then_has_fewer_lines(sides, monkeypatch, head, fast):
    pairs = {name: {i: f"dog {i}" for i in range(300)} for name in ("eng", "deu")}
    kept = kept_text(GivenText({}, ParallelText(pairs, 300)), pairs=True)
    texts = kept.texts() if head else kept.in_pairs()
    needed = sum(side.work(texts, head=head) for side in sides)
    monkeypatch.setattr(kept_out, "multiplies_bfloat16", lambda device: fast)
    monkeypatch.setattr(kept_out, "FASTER", {"bfloat16": 2.0})
    monkeypatch.setattr(kept_out, "WORK", 1.01 * needed)
    assert affordable(kept, sides, head=head) == (kept, LINES, False)
    monkeypatch.setattr(kept_out, "WORK", 0.501 * needed)
    if fast:
        assert affordable(kept, sides, head=head) == (kept, LINES, True)
        monkeypatch.setattr(kept_out, "WORK", 0.2501 * needed)
    fewer, most, bfloat16 = affordable(kept, sides, head=head)
    assert (most, bfloat16) == (LINES // 2, fast)
    assert {len(fewer.lines["deu"]), len(fewer.pairs["deu"])} == {most}
    monkeypatch.setattr(kept_out, "WORK", 1.0)
    assert affordable(kept, sides, head=head).most == kept_out.LEAST_LINES


def test_bfloat16_holds_for_products_within_the_block_alone(sides):
    model = sides[0].model
    product = torch.nn.Linear(4, 4)
    with torch.no_grad():
        with sides[0].on_device(bfloat16=True):
            assert next(model.parameters()).device == sides[0].device
            assert product.to(sides[0].device)(torch.ones(1, 4, device=sides[0].device)).dtype == torch.bfloat16
        assert product.cpu()(torch.ones(1, 4)).dtype == torch.float32
    assert next(model.parameters()).device.type == "cpu"
