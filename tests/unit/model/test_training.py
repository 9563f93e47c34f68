"""The training model: its loss against transformers' own scores, for every family, factorised and plain."""

from __future__ import annotations

import json

import pytest
import torch
from torch.nn import functional

from hyperofa.errors import DataMissingError, HyperofaError, InputError
from hyperofa.model import FAMILIES, TrainingModel, load_for_training, parameter_groups
from hyperofa.model.families import input_embedding, output_head

from .conftest import SIZE, made, sentence_model, small_source


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_the_loss_is_the_cross_entropy_of_the_models_scores(family_name, tied, rank, target_tokenizer, batch):
    model = made(family_name, target_tokenizer, rank, tied=tied, chunk_bytes=4 * SIZE * 5)
    scores, labels = model.pretrained(input_ids=batch["input_ids"]).logits, batch["labels"]
    if model.objective == "causal":
        scores, labels = scores[:, :-1], labels[:, 1:]
    losses = functional.cross_entropy(scores.transpose(1, 2), labels, reduction="none")
    expected = torch.autograd.grad(losses.sum(), list(model.parameters()), allow_unused=True)

    out = model(**batch)
    torch.testing.assert_close(out.loss_sum, losses.sum(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(out.row_loss_sums, losses.sum(1), rtol=1e-5, atol=1e-5)
    assert out.n_targets == (labels != -100).sum()
    assert torch.equal(out.row_targets, (labels != -100).sum(1))
    assert not out.row_loss_sums.requires_grad
    out.loss_sum.backward()
    for (key, parameter), gradient in zip(model.named_parameters(), expected, strict=True):
        found = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        wanted = torch.zeros_like(parameter) if gradient is None else gradient
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5, msg=lambda text, key=key: f"{key}: {text}")


def test_nothing_wanted_still_reaches_every_parameter_of_the_head(family_name, rank, target_tokenizer, batch):
    model = made(family_name, target_tokenizer, rank)
    out = model(**{**batch, "labels": torch.full_like(batch["labels"], -100)})
    out.loss_sum.backward()
    assert out.loss_sum.item() == 0.0
    assert out.n_targets.item() == 0
    missing = [key for key, parameter in model.named_parameters() if parameter.grad is None]
    assert not missing
    assert all(not parameter.grad.any() for parameter in model.parameters())


def test_padding_does_not_change_the_loss(family_name, target_tokenizer, batch):
    model = made(family_name, target_tokenizer, 5)
    expected = model(**batch)
    padded = {
        "input_ids": functional.pad(batch["input_ids"], (0, 6), value=model.config.pad_token_id),
        "labels": functional.pad(batch["labels"], (0, 6), value=-100),
        "attention_mask": functional.pad(torch.ones_like(batch["labels"]), (0, 6), value=0),
    }
    torch.testing.assert_close(model(**padded).loss_sum, expected.loss_sum, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_separate_documents_give_the_loss_of_each_alone(family_name, attention, target_tokenizer):
    model = made(family_name, target_tokenizer, 5, separate_documents=True)
    if attention == "sdpa" and not model.pretrained._supports_sdpa:
        pytest.skip(f"transformers has no sdpa attention for {family_name}")
    model.pretrained.set_attn_implementation(attention)
    draw = torch.Generator().manual_seed(4)
    ids = torch.randint(7, 60, (1, 23), generator=draw)
    edges = [(0, 9), (9, 12), (12, 23)]
    segments, labels = torch.empty_like(ids), ids.clone()
    for index, (start, stop) in enumerate(edges):
        segments[:, start:stop] = index
        labels[:, start] = -100  # a document's first token is never predicted from another document
    alone = sum(
        model(input_ids=ids[:, a:b], labels=labels[:, a:b], segments=torch.zeros_like(ids[:, a:b])).loss_sum
        for a, b in edges
    )
    together = model(input_ids=ids, labels=labels, segments=segments).loss_sum
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-4)
    model.separate_documents = False
    assert (model(input_ids=ids, labels=labels).loss_sum - alone).abs() > 1e-3


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_activation_checkpointing_changes_nothing(family_name, dropout, target_tokenizer, batch):
    batch = {**batch, "dropout_keys": torch.tensor([11, 12, 13])}
    gradients = []
    for checkpointing in (False, True):
        model = made(family_name, target_tokenizer, 5, dropout=dropout).train()
        if checkpointing:
            model.gradient_checkpointing_enable()
        model(**batch).loss_sum.backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bert", "modernbert", "llama"])
def test_a_compiled_model_gives_the_same_loss_and_gradients(name, target_tokenizer, batch):
    """With the back end that needs no compiler on the machine; what is traced is the same."""
    losses, gradients = [], []
    for compiled in (False, True):
        model = made(name, target_tokenizer, 5)
        loss = (torch.compile(model, backend="aot_eager") if compiled else model)(**batch).loss_sum
        loss.backward()
        losses.append(loss.detach())
        gradients.append([parameter.grad for parameter in model.parameters()])
    torch.testing.assert_close(*losses, rtol=1e-5, atol=1e-5)
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_the_longest_sequence_is_known_and_runs(family_name, target_tokenizer):
    model = made(family_name, target_tokenizer, 5)
    assert model.max_length == (62 if "roberta" in family_name else 64)
    ids = torch.randint(7, 60, (1, model.max_length))
    assert model(input_ids=ids, labels=ids).n_targets > 0


def test_a_saved_model_trains_and_saves_again(family_name, rank, target_tokenizer, batch, tmp_path):
    model = made(family_name, target_tokenizer, rank)
    expected = model(**batch).loss_sum.detach()
    model.pretrained.save_pretrained(tmp_path)
    loaded = load_for_training(tmp_path, dropout=0.0)
    assert loaded.training
    torch.testing.assert_close(loaded(**batch).loss_sum.detach(), expected)
    names = {key.removeprefix("pretrained.") for key in loaded.state_dict()}
    assert names == set(model.pretrained.state_dict())


def test_what_cannot_be_trained_is_named(tmp_path, target_tokenizer):
    with pytest.raises(DataMissingError, match="no such directory"):
        load_for_training(tmp_path / "nothing")
    model = small_source("bert")
    model.base_model.save_pretrained(tmp_path / "bare")
    with pytest.raises(InputError, match=r"the checkpoint lacks .* weights, such as cls\.predictions"):
        load_for_training(tmp_path / "bare")
    model.save_pretrained(tmp_path / "model")
    config = json.loads((tmp_path / "model/config.json").read_text())
    (tmp_path / "model/config.json").write_text(json.dumps(config | {"vocab_size": config["vocab_size"] + 5}))
    with pytest.raises(InputError, match=r"config\.json does not fit the weights"):
        load_for_training(tmp_path / "model")
    (tmp_path / "model/model.safetensors").write_bytes(b"\0" * 64)
    with pytest.raises(HyperofaError, match="header"):
        load_for_training(tmp_path / "model")


def test_every_family_is_covered():
    assert {"bert", "roberta", "xlm-roberta", "modernbert", "llama", "qwen2", "qwen3", "gemma", "gpt2"} <= set(FAMILIES)


def test_tied_rows_can_learn_as_inputs_only(family_name, target_tokenizer, rank, batch):
    found = {}
    for gradient in ("both", "input"):
        model = made(family_name, target_tokenizer, rank, tied=True, tied_gradient=gradient)
        loss = model(**batch).loss_sum
        loss.backward()
        embedding, head = input_embedding(model.pretrained), output_head(model.pretrained)
        rows = (embedding.coordinates if rank else embedding.weight).grad
        found[gradient] = loss.detach(), rows, None if head.bias is None else head.bias.grad
    unseen = torch.ones(SIZE, dtype=torch.bool)
    unseen[batch["input_ids"].unique()] = False
    assert found["both"][0].equal(found["input"][0])
    assert found["both"][1][unseen].any(), "as outputs all rows are taught"
    assert not found["input"][1][unseen].any()
    assert found["input"][1][~unseen].any()
    if found["both"][2] is not None:
        assert found["both"][2].equal(found["input"][2])


def test_an_untied_head_cannot_learn_as_input_only(target_tokenizer):
    with pytest.raises(InputError, match="not tied"):
        TrainingModel(made("bert", target_tokenizer, 5, tied=False).pretrained, tied_gradient="input")


@pytest.mark.parametrize("name", ["bert", "roberta", "modernbert"])
@pytest.mark.parametrize(("pooling", "normalised"), [("mean", False), ("mean", True), ("cls", True)])
def test_sentences_learn_their_targets_each_for_itself(target_tokenizer, pairs, name, pooling, normalised):
    model = sentence_model(target_tokenizer, name=name, pooling=pooling, normalised=normalised)
    out, about = model(**pairs), model.targets
    for i, (ids, mask, target) in enumerate(zip(*pairs.values(), strict=True)):
        alone = model.pretrained.base_model(input_ids=ids[mask == 1][None]).last_hidden_state[0]
        found = alone[0] if pooling == "cls" else alone.mean(0)
        found = found / found.norm() if normalised else found
        apart = 1 - functional.cosine_similarity(found - about.mean, target - about.mean, dim=0)
        expected = (found - target).square().sum() / about.variance + apart
        torch.testing.assert_close(out.row_loss_sums[i], expected.detach(), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(out.loss_sum, out.row_loss_sums.sum())
    assert out.n_targets == len(out.row_targets) == out.row_targets.sum() == len(pairs["targets"])


def test_the_head_takes_no_part_in_learning_sentences(target_tokenizer, pairs):
    model = sentence_model(target_tokenizer)
    model(**pairs).loss_sum.backward()
    learning = {name for name, parameter in model.pretrained.named_parameters() if parameter.requires_grad}
    assert learning == {f"bert.{name}" for name, _ in model.pretrained.base_model.named_parameters()}
    assert all(p.grad is not None for p in model.pretrained.base_model.parameters())
    assert {group["name"].removesuffix("_no_decay") for group in parameter_groups(model, weight_decay=0.01)} == {
        "embeddings",
        "primitives",
        "body",
    }


def test_what_can_not_learn_sentences_is_refused(target_tokenizer):
    with pytest.raises(InputError, match="objective sentence is for encoders, and llama is a decoder"):
        sentence_model(target_tokenizer, name="llama")
    with pytest.raises(InputError, match="target vectors have 7 numbers, the model's states 16"):
        sentence_model(target_tokenizer, width=7)
