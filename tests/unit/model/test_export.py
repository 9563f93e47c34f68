"""What a dense export is to others: a plain save of its architecture, a sentence encoder, a model of lm-evaluation-harness."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer

from hyperofa.model import export_dense
from hyperofa.model.families import FAMILIES

from .conftest import SIZE, adapted, made, small_source

ROLES = ("pad", "bos", "eos", "cls", "sep")


def plain_config(name, tokenizer):
    """The source's own config for another tokenizer, as one would write it without this project."""
    config = small_source(name).config
    config.vocab_size = SIZE
    ids = {f"{role}_token_id": getattr(tokenizer, f"{role}_token_id") for role in ROLES}
    config.update({key: value for key, value in ids.items() if key in config.to_dict()})
    if name == "xlm-roberta":  # whose positions are counted from the padding id on
        config.max_position_embeddings += tokenizer.pad_token_id - small_source(name).config.pad_token_id
    return config


def saved(model, folder):
    """Names and shapes of what a model saves, and its config."""
    model.save_pretrained(folder)
    shapes = {name: tuple(tensor.shape) for name, tensor in load_file(folder / "model.safetensors").items()}
    return shapes, json.loads((folder / "config.json").read_text())


@pytest.mark.parametrize("adapters", [False, True], ids=["all weights", "adapters"])
@pytest.mark.parametrize("name", ["bert", "xlm-roberta", "llama", "gpt2"])
def test_it_is_a_plain_save_of_its_architecture(name, adapters, target_tokenizer, batch, tmp_path):
    if adapters:
        pytest.importorskip("peft")
    model = (adapted if adapters else made)(name, target_tokenizer, 5).eval()
    with torch.no_grad():
        scores = model.pretrained(input_ids=batch["input_ids"]).logits
    if adapters:
        model.adapter.remove(model.pretrained)
    dense = export_dense(model.pretrained)
    ours = saved(dense, tmp_path / "ours")
    assert ours == saved(type(dense)(plain_config(name, target_tokenizer)), tmp_path / "plain")
    assert type(dense) is FAMILIES[name].plain_class(FAMILIES[name].lm_kind)
    with torch.no_grad():
        torch.testing.assert_close(dense(input_ids=batch["input_ids"]).logits, scores, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["bert", "xlm-roberta"])
def test_of_a_bare_encoder_it_is_a_plain_save_of_one(name, target_tokenizer, tmp_path):
    made(name, target_tokenizer, 5).pretrained.save_pretrained(tmp_path / "factorised")
    dense = export_dense(AutoModel.from_pretrained(tmp_path / "factorised"))
    plain = AutoModel.from_config(plain_config(name, target_tokenizer), add_pooling_layer=False)
    assert saved(dense, tmp_path / "ours") == saved(plain, tmp_path / "plain")


def sentences(n: int) -> list[str]:
    draw = random.Random(0)
    return [" ".join(f"w{draw.randrange(53)}" for _ in range(draw.randint(4, 12))) for _ in range(n)]


@pytest.mark.parametrize("name", ["bert", "xlm-roberta"])
def test_sentence_transformers_gives_the_harness_vectors(name, target_tokenizer, tmp_path):
    """Without a ``modules.json``: the mean of the last states, specials included, under a prompt that is given by hand."""
    library = pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")
    from hyperofa_eval.models.encoding import EncodeSettings
    from hyperofa_eval.models.loading import load_model

    model = made(name, target_tokenizer, 5).pretrained
    export_dense(model).save_pretrained(tmp_path)
    target_tokenizer.save_pretrained(tmp_path)
    texts = sentences(5)
    found = library.SentenceTransformer(str(tmp_path), device="cpu").encode(texts, prompt="w1 w2: ")
    harness = load_model(str(tmp_path))
    settings = EncodeSettings(block=2, pooling="mean-all", prompt="w1 w2: ")
    np.testing.assert_allclose(found, harness.encode(texts, settings), atol=1e-5)


def log_likelihood(model, tokenizer, context: str, choice: str) -> float:
    """The sum of a choice's log-probabilities, token by token."""
    ids = tokenizer(context + choice)["input_ids"]
    start = len(tokenizer(context)["input_ids"])
    with torch.no_grad():
        scores = model(torch.tensor([ids])).logits[0].log_softmax(-1)
    return sum(float(scores[i - 1, ids[i]]) for i in range(start, len(ids)))


def test_lm_evaluation_harness_scores_an_exported_decoder(target_tokenizer, tmp_path):
    """The commands of docs/extend-an-llm.md: every log-likelihood and both accuracies are those of plain transformers."""
    pytest.importorskip("lm_eval", reason="lm-evaluation-harness (lm_eval) is not installed")
    from hyperofa_eval.cli import main

    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "swh.txt").write_text("\n".join(sentences(12)))
    words = ["data", "continuations", str(tmp_path / "text"), "--languages", "swh", "--out", str(tmp_path / "tasks")]
    assert main(words) == 0
    export_dense(made("llama", target_tokenizer, 5).pretrained).save_pretrained(tmp_path / "dense")
    target_tokenizer.save_pretrained(tmp_path / "dense")
    words = ["--model", "hf", "--model_args", f"pretrained={tmp_path / 'dense'}", "--tasks", "continuations"]
    words += ["--include_path", str(tmp_path / "tasks"), "--device", "cpu", "--log_samples"]
    done = subprocess.run(
        [sys.executable, "-m", "lm_eval", *words, "--output_path", str(tmp_path / "out")],
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    model, tokenizer = (kind.from_pretrained(tmp_path / "dense") for kind in (AutoModelForCausalLM, AutoTokenizer))
    items = [json.loads(line) for line in (tmp_path / "tasks" / "continuations_swh.jsonl").read_text().splitlines()]
    wanted = [[log_likelihood(model.eval(), tokenizer, item["context"], c) for c in item["choices"]] for item in items]
    (samples,) = (tmp_path / "out").rglob("samples_*.jsonl")
    found = {row["doc_id"]: row for row in map(json.loads, samples.read_text().splitlines())}
    likelihoods = [[float(choice[0][0]) for choice in found[i]["resps"]] for i in range(len(items))]
    np.testing.assert_allclose(likelihoods, wanted, atol=1e-4)
    (results,) = (tmp_path / "out").rglob("results_*.json")
    scores = json.loads(results.read_text())["results"]["continuations_swh"]
    labels = np.array([item["label"] for item in items])
    lengths = np.array([[len(choice) for choice in item["choices"]] for item in items])
    assert scores["acc,none"] == np.mean(np.argmax(wanted, 1) == labels)
    assert scores["acc_norm,none"] == np.mean(np.argmax(wanted / lengths, 1) == labels)
