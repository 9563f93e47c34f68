"""The quality report: coverage by language, the held-out check, the loss on given text."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix
from transformers import AutoModelForMaskedLM, AutoTokenizer

from hyperofa.cli import main
from hyperofa.init import provenance as origin
from hyperofa.init.quality.coverage import languages
from hyperofa.init.quality.held_out import held_out_check
from hyperofa.init.quality.text_loss import read_texts, text_loss
from hyperofa.init.registry import Method, find_method, resolve_options


def asked(problem, name, **options):
    method = find_method(name)
    return method, dataclasses.replace(problem, options=resolve_options(method, options))


def test_languages_count_words_tokens_and_what_is_known():
    keys = ["eng:a", "eng:b", "deu:a", "deu:c", "c"]  # the last is bare: English by default
    words = csr_matrix(
        np.array([[1, 0, 1, 0, 0], [0.5, 0, 0, 0, 0], [0, 0, 0, 1, 0], [0, 0, 0, 0.5, 0]], dtype=np.float32)
    )
    code = np.array([origin.COPIED, origin.DRAWN, origin.PREDICTED, origin.DRAWN, origin.PADDING], dtype=np.int8)
    found = origin.Provenance(code, np.zeros(5, dtype=np.int64), np.zeros(5, dtype=np.int32))
    table = languages(keys, words, found)
    assert list(table) == ["eng", "deu"]
    assert table["eng"] == {"words": 3, "matched": 1, "copied": 1, "predicted": 0, "drawn": 1, "known": 0.5}
    assert table["deu"] == {"words": 2, "matched": 2, "copied": 1, "predicted": 1, "drawn": 1, "known": 0.75}


def test_a_method_that_knows_the_rows_is_first_and_one_that_knows_nothing_is_at_chance(problem):
    oracle = Method("oracle", "", lambda p: 0.5 * (problem.rows[p.predict_ids] - centre) + centre, {})
    centre = problem.anchor_rows.mean(axis=0)
    check = held_out_check(oracle, problem, 1000)
    assert (check["rank"], check["top1"], check["cosine"]) == (1.0, 1.0, 1.0)
    assert check["norm"] == pytest.approx(0.5, abs=1e-3)
    assert check["among"] == len(problem.anchor_ids)
    noise = Method("noise", "", lambda p: p.rng(9).normal(size=(len(p.predict_ids), 6)), {})
    ranks = [held_out_check(noise, dataclasses.replace(problem, seed=s), 1000)["rank"] for s in range(30)]
    assert np.mean(ranks) == pytest.approx(len(problem.anchor_ids) / 2, rel=0.25)


def test_the_held_out_tokens_and_their_other_cases_are_not_seen(problem):
    """Trap: a random split over tokens leaks ``dog`` through ``Dog``."""
    seen = []

    def spy(smaller):
        seen.append(smaller)
        return np.zeros((len(smaller.predict_ids), 6))

    held_out_check(Method("spy", "", spy, {}), problem, 1000)
    (smaller,) = seen
    held = set(problem.source_groups[smaller.predict_ids].tolist())
    assert held
    assert not held & set(problem.source_groups[smaller.anchor_ids].tolist())
    assert (smaller.source_ids[smaller.predict_ids] == -1).all()
    assert problem.source_words.nnz > smaller.source_words.nnz  # and the problem itself is as it was


@pytest.mark.parametrize("name", ["ofa", "ridge", "focus", "wechsel", "mean", "multivariate"])
def test_every_method_that_needs_no_text_can_be_checked(problem, name):
    check = held_out_check(*asked(problem, name), 1000)
    assert 1 <= check["rank"] <= check["among"]
    assert held_out_check(*asked(problem, name), 0) is None


def test_what_cannot_be_checked_is_not(problem):
    assert held_out_check(*asked(problem, "subword-mean"), 1000) is None
    assert held_out_check(*asked(problem, "random"), 1000) is None


def test_loss_on_text_is_the_models_own(rooms):
    """Every masked place counted once, by transformers' own loss on the same masks."""
    tokenizer = AutoTokenizer.from_pretrained(rooms / "source")
    lines = ["dog walk water", "red house", "cat"] * 9
    model = AutoModelForMaskedLM.from_pretrained(rooms / "source").eval()
    rng = np.random.default_rng([4, 210, 0])
    total, count = 0.0, 0
    for start in range(0, len(lines), 16):
        encoded = tokenizer(
            lines[start : start + 16], padding=True, return_tensors="pt", return_special_tokens_mask=True
        )
        real = (encoded["attention_mask"] == 1) & (encoded["special_tokens_mask"] == 0)
        wanted = real & torch.from_numpy(rng.random(real.shape) < 0.15)
        given = torch.where(wanted, tokenizer.mask_token_id, encoded["input_ids"])
        with torch.no_grad():
            logits = model(input_ids=given, attention_mask=encoded["attention_mask"]).logits
        total += float(torch.nn.functional.cross_entropy(logits[wanted], encoded["input_ids"][wanted], reduction="sum"))
        count += int(wanted.sum())
    found = text_loss(model, tokenizer, {"eng": lines}, seed=4)
    assert found["eng"]["tokens"] == count
    assert found["eng"]["loss"] == pytest.approx(total / count, abs=1e-3)
    assert found["eng"]["loss"] == pytest.approx(math.log(len(tokenizer)), abs=1.5)


def test_no_more_text_is_read_than_the_loss_is_taken_over(tmp_path):
    (tmp_path / "a.txt").write_text("\n".join(f"line {i}\n" for i in range(500)))
    assert read_texts({"eng": [tmp_path / "a.txt"]}, whole=False) == {"eng": [f"line {i}" for i in range(200)]}
    assert len(read_texts({"eng": [tmp_path / "a.txt"]}, whole=True)["eng"]) == 500


def test_the_command_prints_and_keeps_it(rooms, tmp_path, capsys):
    (tmp_path / "eng.txt").write_text("dog cat\nred house\n" * 10)
    words = ["init", "--source", rooms / "source", "--tokenizer", rooms / "target", "--vectors", rooms / "vectors"]
    words += ["--method", "ofa", "--out", tmp_path / "out", "--text", f"eng={tmp_path / 'eng.txt'}"]
    assert main([str(word) for word in words]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "Tokens by language" in printed
    assert "Loss on the given text" in printed
    quality = json.loads((tmp_path / "out" / "init.json").read_text())["quality"]
    assert quality["languages"]["deu"]["words"] == 6
    assert quality["text_loss"]["eng"]["tokens"] > 0
    words[-1] = f"eng={tmp_path / 'none.txt'}"
    assert main([str(word) for word in words]) == 3
