"""Fine-tuned taggers: they learn, depend on nothing but their inputs and seed, and rejoin what was cut."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from hyperofa_eval.base.errors import InputError
from hyperofa_eval.cli import main
from hyperofa_eval.data.layout import DataFolder
from hyperofa_eval.models.tagger import train_used_rows
from hyperofa_eval.models.transformers_model import TransformersModel
from hyperofa_eval.tasks.protocols import default, paper
from hyperofa_eval.tasks.tagging import Tagging

QUICK = {"epochs": 12, "learning_rate": 3e-3, "train_batch_size": 4}


def task(**options):
    return Tagging("pos", "pos", scheme="upos", scoring="token", **QUICK | options)


def outcomes(model, folder, chosen, seed=0, languages=("eng", "tur")):
    data = DataFolder(folder)
    prepared = chosen.prepare(model, data, seed, None)
    return {code: chosen.score(prepared, data, code, seed, None) for code in languages}


@pytest.fixture
def model(bert, tokenizer):
    return TransformersModel(bert, tokenizer, "small", batch_size=8)


def test_it_learns_its_training_data_and_leaves_the_model_alone(model, data):
    before = model.identity["sha256"]
    for split in ("dev", "test"):
        (data / f"pos/eng/{split}.tsv").write_text((data / "pos/eng/train.tsv").read_text())
    result = outcomes(model, data, task(epochs=80))["eng"]
    assert result.items["accuracy"].value() > 95
    assert result.items["macro_f1"].value() > 80
    assert 0 < result.chance["accuracy"] < 40
    from hyperofa_eval.models.hashing import hash_model

    assert hash_model(model.body) == before


def test_the_seed_decides_and_the_global_random_state_does_not(model, data):
    torch.manual_seed(1)
    first = outcomes(model, data, task(epochs=2))
    state = torch.get_rng_state()
    second = outcomes(model, data, task(epochs=2))
    assert torch.equal(state, torch.get_rng_state())
    assert first["tur"].items["accuracy"].num.tolist() == second["tur"].items["accuracy"].num.tolist()
    prepared = [task(epochs=1).prepare(model, DataFolder(data), seed, None)[0] for seed in (0, 0, 1)]
    assert torch.equal(prepared[0].head.weight, prepared[1].head.weight)
    assert not torch.equal(prepared[0].head.weight, prepared[2].head.weight)


def test_long_sentences_are_rejoined_and_batch_size_does_not_matter(model, data):
    path = data / "pos/tur/test.tsv"
    path.write_text(path.read_text().replace("\n\n", "\n"))  # one sentence, longer than a window of 24
    chosen = task(epochs=2, max_length=24)
    prepared = chosen.prepare(model, DataFolder(data), 0, None)
    outcome = chosen.score(prepared, DataFolder(data), "tur", 0, None)
    assert len(outcome.items["accuracy"]) == 1
    assert outcome.items["accuracy"].den.tolist() == [19.0]
    sentences = DataFolder(data).tagged("pos", "tur", "test", "upos")[0]
    tagger = prepared[0]
    together = tagger(sentences)
    tagger.batch_size = 1
    assert tagger(sentences) == together
    assert all(tag for tag in together[0])


def test_paper_cuts_long_sentences_into_examples(model, data):
    path = data / "pos/tur/test.tsv"
    path.write_text(path.read_text().replace("\n\n", "\n"))
    chosen = Tagging("pos", "pos", "upos", "entity-lenient", rejoin=False, **QUICK | {"epochs": 1}, max_length=24)
    assert len(outcomes(model, data, chosen)["tur"].items["f1"]) > 1


def test_a_kept_tagger_is_found_by_content_alone(bert, tokenizer, data, tmp_path):
    cache = tmp_path / "cache"
    model = TransformersModel(bert, tokenizer, "small", batch_size=8, cache=cache)
    first = outcomes(model, data, task(epochs=1))
    (kept,) = cache.glob("tagger-*.safetensors")
    stamp = kept.stat().st_mtime_ns
    assert outcomes(model, data, task(epochs=1))["tur"].items["accuracy"].num.tolist() == (
        first["tur"].items["accuracy"].num.tolist()
    )
    assert kept.stat().st_mtime_ns == stamp
    with torch.no_grad():
        bert.bert.embeddings.word_embeddings.weight[5, 0] += 1e-3  # same name, other weights: another tagger
    outcomes(TransformersModel(bert, tokenizer, "small", batch_size=8, cache=cache), data, task(epochs=1))
    assert len(list(cache.glob("tagger-*.safetensors"))) == 2
    path = data / "pos/eng/train.tsv"
    path.write_text(path.read_text().replace("fish", "meat"))
    outcomes(TransformersModel(bert, tokenizer, "small", batch_size=8, cache=cache), data, task(epochs=1))
    assert len(list(cache.glob("tagger-*.safetensors"))) == 3


@pytest.mark.parametrize("share", [0, 0.5])
def test_a_kept_tagger_that_is_not_whole_is_trained_anew(bert, tokenizer, data, tmp_path, said, share):
    model = TransformersModel(bert, tokenizer, "small", batch_size=8, cache=tmp_path / "cache")
    first = outcomes(model, data, task(epochs=1))
    (kept,) = (tmp_path / "cache").iterdir()
    content = kept.read_bytes()
    kept.write_bytes(content[: int(share * len(content))])
    again = outcomes(model, data, task(epochs=1))
    assert again["tur"].items["accuracy"].num.tolist() == first["tur"].items["accuracy"].num.tolist()
    (line,) = [line for line in said if str(kept) in line]
    assert "not a whole cache file" in line
    assert "\n" not in line
    assert kept.read_bytes() == content


def test_two_processes_may_keep_the_same_tagger(tmp_path, monkeypatch):
    import os

    from hyperofa_eval.models import tagger as module

    path, state, real, other = tmp_path / "cache/tagger-x.safetensors", {"a": torch.zeros(2)}, Path.replace, []

    def meanwhile(self, target):
        if not other:
            other.append(self)
            module._save(state, path)
        return real(self, target)

    synced = []
    monkeypatch.setattr(os, "fsync", synced.append)
    monkeypatch.setattr(Path, "replace", meanwhile)
    module._save(state, path)
    assert [kept.name for kept in path.parent.iterdir()] == [path.name]
    assert len(synced) == 2


def test_a_tagger_that_cannot_be_kept_is_one_line_with_its_path(tmp_path, monkeypatch):
    from hyperofa_eval.models import tagger as module

    (tmp_path / "cache").write_text("a file in the way")
    path = tmp_path / "cache/tagger-x.safetensors"
    with pytest.raises(InputError, match=r"tagger-x.*cannot keep the tagger .*see --cache") as caught:
        module._save({"a": torch.zeros(2)}, path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("padding_idx", [None, 7])
def test_rows_that_no_training_sentence_holds_need_no_optimizer(model, data, monkeypatch, padding_idx):
    from hyperofa_eval.models import tagger as module

    model.body.get_input_embeddings().padding_idx = padding_idx
    start = model.body.get_input_embeddings().weight.detach().clone()
    learnt: list[int] = []
    original = module.train_used_rows

    def spied(body, used):
        rows = original(body, used)
        learnt.append(len(rows.rows))
        return rows

    states: list[dict] = []
    copied = module.Tagger.state
    monkeypatch.setattr(module.Tagger, "state", lambda self: states.append(copied(self)) or states[-1])
    monkeypatch.setattr(module, "train_used_rows", spied)
    few = task(epochs=3).prepare(model, DataFolder(data), 0, None).tagger
    assert not [name for name in states[0] if name.endswith("whole.weight")]  # frozen, so not copied for an epoch
    monkeypatch.setattr(module, "train_used_rows", lambda body, used: None)
    whole = task(epochs=3).prepare(model, DataFolder(data), 0, None).tagger
    assert type(few.body.get_input_embeddings()) is torch.nn.Embedding
    assert all(parameter.requires_grad for parameter in few.body.parameters())
    ours, theirs = few.state(), whole.state()
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        assert torch.allclose(ours[name], value, atol=1e-5), name
    changed = (few.body.get_input_embeddings().weight != start).any(1)
    assert 0 < int(changed.sum()) <= learnt[0] < len(start)
    assert padding_idx is None or not changed[padding_idx]


@pytest.mark.parametrize("lacks", ["get_input_embeddings", "set_input_embeddings"])
def test_a_body_that_does_not_give_or_take_its_embedding_is_trained_whole(model, data, monkeypatch, lacks):
    def missing(*_):
        raise NotImplementedError("please override in the subclass")

    whole = model.body.get_input_embeddings()
    with monkeypatch.context() as patch:
        patch.setattr(type(model.body), lacks, missing)
        assert train_used_rows(model.body, {5, 6}) is None
        assert model.body.embeddings.word_embeddings is whole
        assert whole.weight.requires_grad
        tagger = task(epochs=1).prepare(model, DataFolder(data), 0, None).tagger
    assert not torch.equal(tagger.body.get_input_embeddings().weight, whole.weight)


def test_nan_weights_are_named(bert, tokenizer, data):
    with torch.no_grad():
        bert.bert.encoder.layer[0].output.dense.weight[0, 0] = float("nan")
    with pytest.raises(InputError, match="weights hold NaN"):
        task().prepare(TransformersModel(bert, tokenizer, "small"), DataFolder(data), 0, None)


def test_the_protocols_differ_as_documented():
    assert default()["ner"].metric == "f1"
    assert default()["pos"].metric == "accuracy"
    assert paper()["pos"].metric == "f1"
    assert default()["ner"].not_in_mean == ("eng",)
    assert paper()["ner"].not_in_mean == ()
    assert paper()["sr-t"].block == 8
    assert paper()["sr-t"].pooling == "mean-all"


def test_run_scores_ner_with_seeds_and_leaves_english_out_of_the_mean(model_dir, data, tmp_path, monkeypatch):
    import dataclasses

    from hyperofa_eval.tasks import registry as tasks

    monkeypatch.setattr(tasks, "_ADDED", {})
    tasks.add_task(dataclasses.replace(default()["ner"], **QUICK | {"epochs": 1}))
    out = tmp_path / "out"
    words = [
        "run",
        model_dir,
        "--tasks",
        "ner",
        "--data",
        data,
        "--out",
        out,
        "--seed",
        "0,1",
        "--languages",
        "eng,tur,ces",
    ]
    assert main([str(word) for word in words]) == 0
    task = json.loads((out / "summary.json").read_text())["tasks"]["ner"]
    assert task["languages"] == ["tur", "ces"]
    assert [row["language"] for row in task["rows"]] == ["eng", "tur", "ces"]
    assert task["seeds"] == [0, 1]
    values = [json.loads((out / f"ner/tur.seed{seed}.json").read_text())["value"] for seed in (0, 1)]
    assert task["rows"][1]["value"] == pytest.approx(sum(values) / 2)


def test_a_tag_outside_the_scheme_names_file_and_line(model_dir, data, tmp_path, capsys):
    path = data / "ner/tur/test.tsv"
    path.write_text(path.read_text().replace("B-LOC", "LOC", 1))
    out = tmp_path / "out"
    words = ["run", model_dir, "--tasks", "ner", "--data", data, "--out", out, "--languages", "tur", "--limit", "1"]
    assert main([str(word) for word in words]) == 2
    assert "tur/test.tsv, line 2: the tag 'LOC' is not in the scheme iob2" in capsys.readouterr().err
    assert not list(out.rglob("*.json"))


def test_rate_and_epochs_of_the_fine_tuning_can_be_given_and_are_in_the_result(model_dir, data, tmp_path):
    out = tmp_path / "out"
    words = ["run", str(model_dir), "--tasks", "ner", "--data", str(data), "--out", str(out), "--languages", "tur"]
    assert main([*words, "--limit", "4", "--epochs", "1", "--learning-rate", "1e-3", "--device", "cpu"]) == 0
    settings = json.loads((out / "ner/tur.seed0.json").read_text())["settings"]
    assert (settings["epochs"], settings["learning_rate"]) == (1, 1e-3)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_half_precision_model_is_fine_tuned_in_float32_weights(bert, tokenizer, data, dtype):
    model = TransformersModel(bert.to(dtype), tokenizer, "half", batch_size=8)
    start = {name: value.float() for name, value in model.body.named_parameters()}
    tagger = task(epochs=2, learning_rate=2e-5).prepare(model, DataFolder(data), 0, None)[0]
    assert {value.dtype for value in tagger.body.parameters()} == {torch.float32}
    assert next(model.body.parameters()).dtype == dtype
    weights = dict(tagger.body.named_parameters())
    name = next(name for name in weights if "intermediate" in name and name.endswith("weight"))
    moved = (weights[name] - start[name]).abs()
    # Steps of 2e-5 on weights of some 2e-2 are below bfloat16's spacing there (6e-5 to 1.2e-4): in it most would be lost.
    assert ((moved > 0) & (moved < 6e-5)).float().mean() > 0.9


def test_a_tagger_of_a_half_precision_model_learns(bert, tokenizer, data):
    model = TransformersModel(bert.to(torch.bfloat16), tokenizer, "half", batch_size=8)
    (data / "pos/eng/test.tsv").write_text((data / "pos/eng/train.tsv").read_text())
    (data / "pos/eng/dev.tsv").write_text((data / "pos/eng/train.tsv").read_text())
    assert outcomes(model, data, task(epochs=80), languages=["eng"])["eng"].items["accuracy"].value() > 95
