"""Steps of a run with another tokenizer: as much text, or as many operations; and ``hyperofa steps``."""

from __future__ import annotations

import json

import pytest
import yaml
from support.finished import corpus
from transformers import BertConfig

from hyperofa.cli import main
from hyperofa.corpus.meta import fingerprint_of
from hyperofa.train.planning.equal import Step, equal_settings, row_of
from hyperofa_eval.settings.config import save_config
from tests.unit.train.planning.conftest import BERT


def written(folder, meta):
    folder.mkdir(exist_ok=True)
    (folder / "corpus.json").write_text(json.dumps({**meta, "fingerprint": fingerprint_of(meta)}))
    return folder


def exit_code(words):
    try:
        return main(words)
    except SystemExit as exit_:
        return exit_.code


def test_a_row_is_the_mean_of_those_that_training_draws(tmp_path):
    row = row_of(written(tmp_path / "c", corpus()))  # 10 sequences of English, 20 of Turkish, all full
    assert (row.tokens, row.positions) == (32, 32)
    assert row.characters == row.learned == pytest.approx((1280 + 1920) / 30, abs=1)
    meta = corpus()
    meta["sampling"] |= {"replay": [0.25, 0.0]}
    row = row_of(written(tmp_path / "c", meta))
    assert row.characters == pytest.approx(0.25 * 128 + 0.75 * 96, rel=1e-5)
    assert row.learned == pytest.approx(0.75 * 96, rel=1e-5)
    sentence = {"dim": 4, "source": "s", "source_sha256": "0", "pooling": "mean", "normalised": True, "prompt": ""}
    meta |= {"targets": {**sentence, "known": ["eng"], "sha256": "0"}, "length": 64}
    row = row_of(written(tmp_path / "c", meta))
    assert row.positions == row.tokens == pytest.approx(32)


def test_the_parts_of_a_run_are_lengthened_with_it(settings):
    like = settings(steps=100, warmup_steps=10, schedule="wsd", decay_steps=20, phase="head", phase_steps=5)
    own = settings(steps=100, warmup_steps=10, schedule="wsd", decay_steps=20)
    costs = {id(own): Step(60, 150, 100, 900, 15), id(like): Step(60, 250, 200, 1000, 16)}
    found, record = equal_settings(own, like, "text", lambda config: costs[id(config)])
    assert found == {"steps": 200, "warmup_steps": 20, "decay_steps": 40}
    assert record["like"]["operations_per_token"] == 16
    found, _ = equal_settings(own, like, "compute", lambda config: costs[id(config)])
    assert found == {"steps": 111, "warmup_steps": 11, "decay_steps": 22}
    only_replayed = Step(60, 150, 0, 900, 15)
    found, _ = equal_settings(own, like, "text", lambda config: only_replayed)
    assert found["steps"] == 100
    short = settings(steps=4, warmup_steps=2, schedule="wsd", decay_steps=2)
    costs = {id(short): Step(1, 4, 4, 4, 4), id(like): Step(1, 0.03, 0.03, 1, 1)}
    found, _ = equal_settings(short, like, "text", lambda config: costs[id(config)])
    assert found == {"steps": 1, "warmup_steps": 1, "decay_steps": 0}


def test_the_command_writes_settings_for_training(settings, tmp_path, capsys):
    for name, vocabulary in (("model", 1000), ("larger", 3000)):
        config = BertConfig(**{**BERT, "vocab_size": vocabulary}, architectures=["BertForMaskedLM"])
        config.save_pretrained(tmp_path / name)
    save_config(settings(mask_rate=0.5), tmp_path / "run.yaml")
    written(tmp_path / "own", corpus(own=True))
    written(tmp_path / "target", corpus())
    like = ["--like", str(tmp_path / "run.yaml"), "--like-set", f"corpus={tmp_path / 'target'}"]
    words = ["steps", str(tmp_path / "run.yaml"), f"corpus={tmp_path / 'own'}", *like]
    words += ["--like-set", f"model={tmp_path / 'larger'}"]
    steps = {}
    for equal in ("text", "compute"):
        assert main([*words, "--equal", equal, "--out", str(tmp_path / equal)]) == 0, capsys.readouterr().err
        steps[equal] = yaml.safe_load((tmp_path / equal / "steps.yaml").read_text())["steps"]
    record = json.loads((tmp_path / "compute" / "steps.json").read_text())
    assert abs(steps["compute"] * record["own"]["operations"] - 100 * record["like"]["operations"]) <= (
        record["own"]["operations"] / 2
    )
    assert 100 < steps["compute"] < steps["text"]  # a larger head to pay for; and fewer characters a token
    assert steps["text"] == round(100 * record["like"]["characters"] / record["own"]["characters"])
    assert main([*words, "--equal", "text", "--out", str(tmp_path / "model")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["corpus=nowhere"], 3, "nowhere"),
        (["model=nowhere"], 3, "nowhere"),
        (["more.yaml"], 2, "more.yaml: no such config file"),
        (["--equal", "words"], 2, "--equal"),
        (["--like-set", "stepz=3"], 2, "did you mean 'steps'"),
        (["--like-set", "steps"], 2, "'steps' is not key=value"),
    ],
)
def test_wrong_words_are_one_line(settings, tmp_path, capsys, words, code, said):
    BertConfig(**BERT, architectures=["BertForMaskedLM"]).save_pretrained(tmp_path / "model")
    config = settings()
    written(tmp_path / "corpus", corpus())
    save_config(config, tmp_path / "run.yaml")
    given = ["steps", str(tmp_path / "run.yaml"), *words, "--like", str(tmp_path / "run.yaml")]
    assert exit_code([*given, "--out", str(tmp_path / "out")]) == code
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()
