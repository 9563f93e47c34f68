"""``hyperofa plan``: what it prints, and what it refuses."""

from __future__ import annotations

import json

import pytest
from transformers import BertConfig

from hyperofa.cli import main
from hyperofa.train.planning.cost import peak_flops
from hyperofa_eval.settings.config import save_config
from tests.unit.train.planning.conftest import BERT


def test_the_command(settings, tmp_path, capsys):
    config = settings(precision="bf16")
    BertConfig(**BERT, architectures=["BertForMaskedLM"]).save_pretrained(tmp_path / "model")
    (tmp_path / "corpus" / "corpus.json").write_text('{"length": 256}')
    save_config(config, tmp_path / "run.yaml")
    words = ["plan", str(tmp_path / "run.yaml"), "--gpus", "2", "--gpu-memory"]
    assert main([*words, "80", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["fits"] is True
    assert plan["tokens_per_step"] == 32 * 256
    assert main([*words, "80", "steps=7", "--json", "warmup_steps=0"]) == 0  # settings may stand among the options
    assert json.loads(capsys.readouterr().out)["steps"] == 7
    assert main([*words, "0.5"]) == 1
    assert "does not fit" in capsys.readouterr().out
    assert main(["plan", str(tmp_path / "run.yaml"), "--gpus", "3", "--gpu-memory", "80"]) == 2
    assert "no multiple" in capsys.readouterr().err
    (tmp_path / "corpus" / "corpus.json").unlink()
    assert main([*words, "80", "--json"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["tokens_per_step"] == 32 * 512
    assert "512 tokens a sequence are assumed (--length)" in told.err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--length", "0"], "--length: 0 is not in [1, 16,777,216]"),
        (["--length", "-5"], "--length: -5 is not in [1, "),
        (["--length", str(10**30)], "--length: "),
        (["--gpu-memory", "nan"], "--gpu-memory: nan is not a number above 0"),
        (["--gpu-memory", "inf"], "--gpu-memory: inf is not a number above 0"),
        (["--mfu", "nan"], "--mfu: nan is not in (0, 1]"),
        (["--gpu", "abacus"], "unknown GPU 'abacus'"),
    ],
)
def test_numbers_out_of_range_are_refused(settings, tmp_path, capsys, words, said):
    save_config(settings(), tmp_path / "run.yaml")
    assert main(["plan", str(tmp_path / "run.yaml"), "--gpus", "1", "--gpu-memory", "80", *words]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    "changes",
    [
        {"vocab_size": "many"},
        {"hidden_size": None},
        {"num_attention_heads": 0},
        {"num_hidden_layers": [2]},
        {"vocab_size": -3},
    ],
)
@pytest.mark.parametrize("model_type", ["bert", "llama"])
def test_an_ill_typed_model_config_is_one_line(settings, tmp_path, capsys, changes, model_type):
    save_config(settings(), tmp_path / "run.yaml")
    config = {"model_type": model_type, **BERT, **changes}
    (tmp_path / "model" / "config.json").write_text(json.dumps(config))
    assert main(["plan", str(tmp_path / "run.yaml"), "--gpus", "1", "--gpu-memory", "80"]) in {2, 3}
    error = capsys.readouterr().err
    assert str(tmp_path / "model") in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("text", ["[]", "{}", '{"length": "long"}', '{"length": 0}', "{"])
def test_a_malformed_corpus_is_one_line(settings, tmp_path, capsys, text):
    save_config(settings(), tmp_path / "run.yaml")
    (tmp_path / "corpus" / "corpus.json").write_text(text)
    BertConfig(**BERT, architectures=["BertForMaskedLM"]).save_pretrained(tmp_path / "model")
    assert main(["plan", str(tmp_path / "run.yaml"), "--gpus", "1", "--gpu-memory", "80"]) == 2
    error = capsys.readouterr().err
    assert "corpus.json" in error
    assert error.count("\n") == 1


def test_peaks_follow_the_precision(settings, tmp_path, capsys):
    assert peak_flops("NVIDIA H100 80GB HBM3", "bf16") == peak_flops("NVIDIA H100 80GB HBM3", "fp16") == 989e12
    assert peak_flops("NVIDIA H100 80GB HBM3", "fp32") == 67e12
    assert peak_flops("NVIDIA B200", "bf16") == 2250e12
    assert peak_flops("NVIDIA L40S", "bf16") == 362e12  # not the L4's
    BertConfig(**BERT, architectures=["BertForMaskedLM"]).save_pretrained(tmp_path / "model")
    hours = {}
    for precision in ("bf16", "fp32"):
        save_config(settings(precision=precision), tmp_path / "run.yaml")
        assert main(["plan", str(tmp_path / "run.yaml"), "--gpus", "1", "--gpu-memory", "80", "--json"]) == 0
        hours[precision] = json.loads(capsys.readouterr().out)["hours"]
    assert hours["fp32"] == pytest.approx(hours["bf16"] * 989 / 67)
