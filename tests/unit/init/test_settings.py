"""Settings that ``hyperofa init`` refuses: one line that names the setting, before any work, and nothing left behind."""

from __future__ import annotations

import pytest
from transformers import AutoTokenizer

from hyperofa.errors import InputError
from hyperofa.init.refine.settings import RefineConfig
from hyperofa.init.registry import find_method, settings_for
from hyperofa.init.settings import InitSettings

PARALLEL = ["--refine", "sentences", "--parallel", "PAR"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rank": 0}, "rank: 0 is not a number of 1 or more"),
        ({"energy": 1.5}, r"energy: 1.5 is not in \(0, 1\]"),
        ({"rank": 3, "energy": 0.5}, "both a rank and a share"),
        ({"scale_split": 2.0}, r"scale_split: 2.0 is not in \[0, 1\]"),
        ({"refine_options": {"steps": 1}}, "refine_options: rows learn from text, but none is given"),
        ({"refine": "none", "refine_options": {"steps": 1}}, "is for rows that learn, but refine is none"),
        ({"refine": "tokens"}, "refine: tokens needs text or parallel text; name its files"),
        ({"refine": "parallel"}, "refine: parallel is gone; leave it out, or use sentences"),
        ({"refine": "distill"}, "refine: distill is gone; leave it out, or use sentences"),
        ({"refine": "token"}, "refine: unknown 'token'; use auto, none, sentences, tokens"),
    ],
)
def test_settings_that_cannot_be_are_refused_where_they_are_made(settings, message):
    with pytest.raises(InputError, match=message):
        InitSettings(**settings)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--seed", "-1"], "--seed: -1 is not in [0, 4,294,967,296)"),
        (["--seed", str(2**32)], "--seed: 4294967296 is not"),
        (["--held-out", "-1"], "--held-out: -1 is not"),
        (["--pad-to-multiple", "0"], "--pad-to-multiple: 0 is not"),
        (["--refine", "parallel", "--parallel", "PAR"], "--refine: parallel is gone; leave it out, or use sentences"),
        (["--parallel", "RAGGED"], "deu.txt: unaligned: 1 lines, but eng.txt has 2"),
        ([*PARALLEL, "--refine-option", "pivot=fra"], "no text in fra"),
        ([*PARALLEL, "--refine-option", "layer=9"], "none is number 9"),
        ([*PARALLEL, "--refine-option", "device=foo"], "refinement: unknown device 'foo'"),
        ([*PARALLEL, "--refine-option", "device=cuda:99"], "refinement: no device 'cuda:99'"),
    ],
)
def test_settings_are_checked_before_the_matching(refused, more, message):
    assert message in refused(*more)


def test_a_hypernetworks_device_must_be_there(refused):
    assert "method hyperofa: no device 'cuda:99'" in refused("--option", "device=cuda:99", method="hyperofa")
    settings_for(find_method("hyperofa"), {"device": "cuda:99"})  # a recipe may be checked elsewhere


def test_missing_text_and_directories_are_named_at_once(refused, rooms):
    assert "no such parallel text" in refused("--parallel", "nowhere", code=3)
    for name in ("--tokenizer", "--source"):
        assert "no such directory" in refused(name, str(rooms / "taget"), code=3)
    assert "taget: no such directory" in refused("--tokenizer", "taget", code=3)  # and never asked for at the hub


@pytest.mark.parametrize("role", ["pad", "mask"])
def test_a_target_without_a_needed_token_is_refused_before_the_matching(refused, rooms, role):
    changed = rooms / f"no-{role}"
    tokenizer = AutoTokenizer.from_pretrained(rooms / "target")
    setattr(tokenizer, f"{role}_token", None)
    tokenizer.save_pretrained(changed)
    assert f"no {role} token" in refused(tokenizer=changed.name)


@pytest.mark.parametrize(
    "setting",
    [
        *(
            {name: float("nan")}
            for name in ("learning_rate", "shared_rate", "warmup", "temperature", "pull", "smoothing")
        ),
        {"learning_rate": 0.0},
        {"learning_rate": float("inf")},
        {"smoothing": 1000.0},
        {"temperature": 0.0},
        {"pull": -1.0},
        {"max_length": 3},
        {"batch_size": 0},
        {"device": "foo"},
    ],
)
def test_settings_of_learning_out_of_range_are_refused(setting):
    (name,) = setting
    with pytest.raises(InputError, match=name):
        RefineConfig(**setting)
