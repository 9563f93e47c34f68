"""The loss on given text before any training."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer

from hyperofa.cli import main
from hyperofa.init.quality.text_loss import read_texts, text_loss


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
    assert read_texts({"eng": [tmp_path / "a.txt"]}) == {"eng": [f"line {i}" for i in range(200)]}


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
