"""The verdict against plain references on tiny models, and what its figures say."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy, normalize

import hyperofa
from hyperofa.cli import main
from hyperofa.init.quality import verdict
from hyperofa.init.quality.verdict import compare, mean, verdict_of
from hyperofa_eval.models.losses import chosen_words
from hyperofa_eval.scoring.statistics import Items, hits


def causal_bits(model, tokenizer, line):
    """Bits of all tokens of a line behind the special before it, and none for the end."""
    start = tokenizer.cls_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
    ids = [start, *tokenizer(line, add_special_tokens=False)["input_ids"]]
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([ids])).logits[0]
    return float(cross_entropy(logits[:-1], torch.tensor(ids[1:]), reduction="sum")) / math.log(2)


def masked_bits(model, tokenizer, line):
    """Bits and characters of the chosen words, all of whose pieces are hidden."""
    words = chosen_words(line, 0.15, 5)
    encoded = tokenizer(line, return_offsets_mapping=True)
    ids = torch.tensor(encoded["input_ids"])
    inside = [any(a < y and x < b for x, y in words) for a, b in encoded["offset_mapping"]]
    hidden = torch.tensor([found and b > a for found, (a, b) in zip(inside, encoded["offset_mapping"], strict=True)])
    with torch.no_grad():
        logits = model(input_ids=torch.where(hidden, tokenizer.mask_token_id, ids)[None]).logits[0]
    nats = float(cross_entropy(logits[hidden], ids[hidden], reduction="sum"))
    return nats / math.log(2), sum(b - a for a, b in words)


def vectors(model, tokenizer, texts):
    """The mean state after block 1 of 2 (two thirds, rounded), specials apart."""
    rows = []
    for one in texts:
        encoded = tokenizer(one, return_special_tokens_mask=True)
        real = torch.tensor(encoded["special_tokens_mask"]) == 0
        with torch.no_grad():
            found = model(input_ids=torch.tensor([encoded["input_ids"]]), output_hidden_states=True).hidden_states[1]
        rows.append(found[0][real].mean(0))
    return normalize(torch.stack(rows), dim=1)


def test_bits_per_character_of_a_decoder_are_the_models_own(causal, text):
    source, tokenizer, model, other = causal
    record = verdict_of(*causal, text, 5)
    assert (record["head"], record["decides"], record["block"]) == ("causal", ["bits_per_character"], None)
    for name, lines in text.all_lines().items():
        row = record["languages"][name]
        spelled = [
            line for line in lines if not any(its.unk_token_id in its(line)["input_ids"] for its in (tokenizer, other))
        ]
        if name == "kat":
            assert (row["unknown_lines"], row["verdict"]) == (len(lines), "unknown tokens")
            assert "bits_per_character" not in row
            continue
        for side, (one, its) in {"own": (source.model, tokenizer), "extended": (model, other)}.items():
            bits = sum(causal_bits(one, its, line) for line in spelled)
            assert row["bits_per_character"][side] == pytest.approx(bits / sum(map(len, spelled)), abs=2e-4)
            assert row["tokens"][side] == sum(len(its(line, add_special_tokens=False)["input_ids"]) for line in lines)
        assert (row["bits_per_character"]["n"], row["lines"]) == (len(spelled), len(lines))
    assert record["languages"]["fra"]["verdict"] == "too little text"
    assert record["mean"]["bits_per_character"]["languages"] == 2


def test_masked_figures_are_the_models_own(masked, text):
    source, tokenizer, model, other = masked
    record = verdict_of(*masked, text, 5)
    assert (record["head"], record["decides"], record["block"]) == ("masked", ["bits_per_character", "top1"], 1)
    english, german = ([rows[i] for i in sorted(rows)] for rows in (text.parallel.texts[n] for n in ("eng", "deu")))
    pairs = list(dict(zip(reversed(english), reversed(german), strict=True)).items())  # each English sentence once
    row = record["languages"]["deu"]
    for side, one, its in (("own", source.model, tokenizer), ("extended", model, other)):
        parts = [masked_bits(one, its, line) for line in dict.fromkeys(german)]
        bits, characters = map(sum, zip(*parts, strict=True))
        assert row["bits_per_character"][side] == pytest.approx(bits / characters, abs=2e-4)
        queries, index = (vectors(one, its, [pair[i] for pair in pairs]) for i in (0, 1))
        scores = queries @ index.T
        # An equal similarity counts where its sentence comes first.
        place = [
            int(sum((s[j] > s[i]) or (s[j] == s[i] and j < i) for j in range(len(s)))) for i, s in enumerate(scores)
        ]
        for metric, k in (("top1", 1), ("top10", 10)):
            assert row[metric][side] == pytest.approx(100 * np.mean([p < k for p in place]), abs=1e-3)
            assert (row[metric]["n"], row[metric]["chance"]) == (
                len(pairs),
                pytest.approx(100 * k / len(pairs), abs=1e-3),
            )
    assert "top1" not in record["languages"]["eng"], "the pivot is the query"


def test_a_source_whose_head_is_new_has_no_likelihood(masked, text):
    import dataclasses

    source, *others = masked
    record = verdict_of(dataclasses.replace(source, head_is_new=True), *others, text, 0)
    assert (record["head"], record["decides"]) == ("none", ["top1"])
    assert record["languages"]["eng"]["verdict"] is None
    assert all("bits_per_character" not in row for row in record["languages"].values())


def test_models_stay_as_they_were_and_two_runs_agree(masked, text):
    source, _, model, _ = masked
    before = [{name: value.clone() for name, value in one.state_dict().items()} for one in (source.model, model)]
    first = verdict_of(*masked, text, 1)
    assert verdict_of(*masked, text, 1) == first
    for one, state in zip((source.model, model), before, strict=True):
        assert all(torch.equal(value, one.state_dict()[name]) for name, value in state.items())


def test_top_ten_decides_where_there_are_many_pairs(masked, text, monkeypatch):
    monkeypatch.setattr(verdict, "MANY_PAIRS", 10)
    assert verdict_of(*masked, text, 0)["decides"] == ["bits_per_character", "top10"]


def test_a_difference_counts_where_its_paired_interval_leaves_out_zero():
    rng = np.random.default_rng(0)
    hard = rng.random(60) * 3  # lines differ much more than the models do
    ones = np.ones(60)
    own, worse = Items(hard, ones, 1.0), Items(hard + 0.05 + 0.02 * rng.random(60), ones, 1.0)
    row, draws = compare(own, worse, "bits", False)
    assert row["verdict"] == "worse"
    assert row["difference"] == pytest.approx(float((worse.num - hard).mean()), abs=1e-4)
    assert row["ci95"] == pytest.approx(np.percentile(draws, [2.5, 97.5]), abs=1e-4)
    spread = (worse.num - hard).std() / math.sqrt(60)
    assert row["ci95"][1] - row["ci95"][0] == pytest.approx(2 * 1.96 * spread, rel=0.15), "paired: lines cancel"
    assert compare(worse, own, "bits", False)[0]["verdict"] == "better"
    assert compare(own, own, "bits", False)[0]["verdict"] == "no different"
    none, all_found = hits([False] * 30), hits([True] * 30)
    assert compare(none, all_found, "top1", True)[0]["verdict"] == "better"
    assert compare(all_found, none, "top1", True)[0]["verdict"] == "worse"
    assert compare(hits([True] * 9), hits([False] * 9), "top1", True)[0]["verdict"] == "too little text"


def test_the_mean_is_over_languages():
    found = {
        name: compare(hits([False] * 20), hits([True] * n + [False] * (20 - n)), name, True)
        for name, n in (("a", 10), ("b", 2))
    }
    row = mean(
        {name: {"top1": figures} for name, (figures, _) in found.items()}, "top1", {n: d for n, (_, d) in found.items()}
    )
    assert (row["own"], row["extended"], row["languages"], row["verdict"]) == (0.0, 30.0, 2, "better")
    low, high = row["ci95"]
    assert low < 30 < high


class TestCommand:
    """What ``hyperofa init`` does with it."""

    @pytest.fixture
    def call(self, rooms, tmp_path, capsys):
        (tmp_path / "eng.txt").write_text("".join(f"dog cat {i}\n" for i in range(150)))
        (tmp_path / "deu.txt").write_text("".join(f"dog red {i}\n" for i in range(20)))

        def run(*more, code=0):
            words = [
                "init",
                "--source",
                rooms / "source",
                "--tokenizer",
                rooms / "target",
                "--method",
                "mean",
                "--refine",
                "none",
            ]
            assert main([str(word) for word in (*words, "--out", tmp_path / "out", *more)]) == code
            found = capsys.readouterr()
            record = json.loads((tmp_path / "out" / "init.json").read_text()) if code == 0 else None
            return record, found.out, found.err

        return run

    def test_it_prints_keeps_and_warns(self, call, tmp_path):
        record, printed, said = call("--text", tmp_path / "eng.txt", tmp_path / "deu.txt")
        found = record["verdict"]
        assert found["languages"]["eng"]["lines"] == 15
        assert found["languages"]["deu"]["verdict"] == "too little text"
        assert found["line"] in printed.splitlines()
        assert "before any training" in printed
        worse = found["languages"]["eng"]["verdict"] == "worse"
        assert worse == ("is worse than the source with its own tokenizer in eng" in said)
        card = (tmp_path / "out" / "README.md").read_text()
        assert f"On text kept out of the making: {found['line']}." in card
        assert "| deu | 2 | " in card

    def test_json_holds_it(self, call, tmp_path):
        record, printed, _ = call("--text", tmp_path / "eng.txt", "--json")
        assert json.loads(printed)["verdict"] == record["verdict"]

    def test_nothing_is_measured_without_text_or_where_it_is_not_wanted(self, call, tmp_path):
        record, printed, _ = call()
        assert record["verdict"] is None
        assert "no text given: nothing was measured" in printed
        record, printed, _ = call("--text", tmp_path / "eng.txt", "--no-verdict")
        assert record["verdict"] is None
        assert "was measured" not in printed
        assert "Beside the source" not in (tmp_path / "out" / "README.md").read_text()

    def test_too_little_text_is_said(self, call, tmp_path):
        (tmp_path / "eng.txt").write_text("dog\ncat\n")
        record, printed, _ = call("--text", tmp_path / "eng.txt")
        assert record["verdict"]["languages"] == {}
        assert "nothing was measured: too little text" in printed

    def test_missing_text_is_one_line(self, call, tmp_path):
        _, _, said = call("--text", f"eng={tmp_path / 'none.txt'}", code=3)
        assert said.count("\n") == 1
        assert not (tmp_path / "out").exists()


def test_from_python_it_is_a_line_and_figures(rooms, tmp_path):
    (tmp_path / "eng.txt").write_text("".join(f"dog cat {i}\n" for i in range(150)))
    given = {"method": "mean", "refine": "none"}
    made = hyperofa.initialise(rooms / "source", rooms / "target", text=tmp_path / "eng.txt", **given)
    assert made.verdict == made.report["verdict"]["line"]
    assert "language" in made.verdict
    without = hyperofa.initialise(rooms / "source", rooms / "target", method="mean")
    assert without.verdict == "no text given: nothing was measured"
    assert without.report["verdict"] is None
