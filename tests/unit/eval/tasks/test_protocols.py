"""What each protocol is wired to, told by its effect: directions, readings of tags, windows, blocks, the fine-tuning."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from hyperofa_eval.data.layout import DataFolder
from hyperofa_eval.models.transformers_model import TransformersModel
from hyperofa_eval.tasks.protocols import default, paper
from hyperofa_eval.tasks.tagging import Tagging


class Table:
    """A model whose vectors are looked up by text, and that keeps what it is asked for."""

    def __init__(self, table=None):
        self.table = table or {}
        self.identity = {"name": "table", "sha256": "1", "tokenizer_sha256": "1"}
        self.asked = []

    def encode(self, texts, settings):
        self.asked.append(settings)
        return np.array([self.table.get(text, (1.0, 0.0)) for text in texts], dtype=np.float32)


def angles(*degrees):
    return [(np.cos(np.radians(d)), np.sin(np.radians(d))) for d in degrees]


@pytest.fixture
def one_way(data):
    """Two pairs. Each English sentence finds its own translation first; both translations find the first English one."""
    (data / "tatoeba/tur-eng.eng").write_text("one\ntwo\n")
    (data / "tatoeba/tur-eng.tur").write_text("bir\niki\n")
    return Table(dict(zip(("one", "two", "bir", "iki"), angles(0, 50, -10, 20), strict=True)))


@pytest.mark.parametrize(
    ("direction", "ranks", "top1"), [("en-x", [0, 0], 100.0), ("x-en", [0, 1], 50.0), ("both", [0, 0], 75.0)]
)
def test_the_query_is_the_side_that_the_direction_names(one_way, data, direction, ranks, top1):
    task = dataclasses.replace(default()["sr-t"], direction=direction)
    outcome = task.score(one_way, DataFolder(data), "tur", 0, None)
    assert [int(word) for word in outcome.details["ranks"].split()] == ranks
    assert outcome.items["top1"].value() == top1
    assert ("ranks_x_en" in outcome.details) == (direction == "both")


def test_both_keeps_the_ranks_of_both_and_counts_each_by_half(one_way, data):
    task = dataclasses.replace(default()["sr-t"], direction="both")
    outcome = task.score(one_way, DataFolder(data), "tur", 0, None)
    assert outcome.details["ranks"] == "0 0"
    assert outcome.details["ranks_x_en"] == "0 1"
    assert outcome.items["top1"].num.tolist() == [1.0, 0.5]


@pytest.mark.parametrize(("task", "language"), [("sr-t", "tur"), ("sr-b", "ces")])
@pytest.mark.parametrize(
    ("protocol", "block", "pooling"), [(default, "auto", "mean"), (paper, 8, "mean-all")], ids=["default", "paper"]
)
def test_retrieval_asks_for_the_protocols_block_and_pooling(data, protocol, task, language, block, pooling):
    model = Table()
    chosen = protocol()[task]
    chosen.score(model, DataFolder(data), language, 0, None)
    assert {(s.block, s.pooling, s.max_length) for s in model.asked} == {(block, pooling, 512)}
    assert chosen.direction == "en-x"
    assert not chosen.csls


class Tags:
    """A tagger's answers by token, and the sentences that it was asked to tag or trained on."""

    def __init__(self, tokenizer, answers):
        self.tokenizer, self.answers = tokenizer, answers
        self.identity = {"name": "tags", "sha256": "1", "tokenizer_sha256": "1"}

    def fine_tune(self, train, dev, settings, seed):
        self.settings, self.trained = settings, train

        def tag(sentences):
            self.seen = sentences
            return [[self.answers.get(token, "O") for token in s.tokens] for s in sentences]

        return tag


def tagged(protocol, task, data, tokenizer, answers):
    chosen, model = protocol()[task], Tags(tokenizer, answers)
    prepared = chosen.prepare(model, DataFolder(data), 0, None)
    return model, prepared, chosen.score(prepared, DataFolder(data), "tur", 0, None)


LONG = [f"w{'x' * 20}" for _ in range(30)]  # 22 tokens each: a test tokenizer reads 64, so 2 a window


def test_ner_of_the_paper_is_lenient_and_of_the_default_strict(data, tokenizer):
    (data / "ner/tur/test.tsv").write_text("Ali\tB-PER\ngeldi\tO\n")
    answers = {"Ali": "I-PER"}
    assert tagged(paper, "ner", data, tokenizer, answers)[2].items["f1"].value() == 100.0
    assert tagged(default, "ner", data, tokenizer, answers)[2].items["f1"].value() == 0.0


def test_pos_of_the_paper_is_span_f1_and_of_the_default_accuracy(data, tokenizer):
    (data / "pos/tur/test.tsv").write_text("a\tNOUN\nb\tNOUN\nc\tNOUN\nd\tNOUN\n")
    answers = {"a": "NOUN", "b": "VERB", "c": "NOUN", "d": "NOUN"}
    assert tagged(paper, "pos", data, tokenizer, answers)[2].values == {"f1": 0.0}
    assert tagged(default, "pos", data, tokenizer, answers)[2].values["accuracy"] == 75.0


@pytest.mark.parametrize("task", ["ner", "pos"])
def test_the_paper_cuts_tokens_and_sentences_and_the_default_neither(data, tokenizer, task):
    tag = "O" if task == "ner" else "NUM"
    lines = [f"{word}\t{tag}" for word in ["10\u00a0000", *LONG]]
    (data / f"{task}/tur/test.tsv").write_text("\n".join(lines) + "\n")
    (data / f"{task}/eng/train.tsv").write_text("\n".join(lines) + "\n")
    model, _, outcome = tagged(default, task, data, tokenizer, {})
    assert [s.tokens for s in model.seen] == [("10\u00a0000", *LONG)]
    assert len(model.trained) == 1
    assert outcome.details["tokens"] == 31
    model, _, outcome = tagged(paper, task, data, tokenizer, {})
    assert model.seen[0].tokens[:2] == ("10", "000")
    assert len(model.seen) > 10
    assert len(model.trained) > 10
    assert outcome.details["tokens"] == 32


@pytest.mark.parametrize("task", ["ner", "pos"])
def test_the_paper_gives_words_no_prefix_space_and_the_default_does(data, byte_level, task):
    byte_level.model_max_length = 64
    for protocol, piece in ((default, "Ġdog"), (paper, "dog")):
        words = tagged(protocol, task, data, byte_level, {})[1][1]
        assert byte_level.convert_ids_to_tokens(list(words.pieces(["dog"])[0])) == [piece]


@pytest.mark.parametrize("protocol", [default, paper])
@pytest.mark.parametrize("task", ["ner", "pos"])
def test_the_fine_tuning_is_the_published_one(data, tokenizer, protocol, task):
    settings = tagged(protocol, task, data, tokenizer, {})[0].settings
    found = {
        name: getattr(settings, name) for name in ("learning_rate", "epochs", "train_batch_size", "max_length", "clip")
    }
    assert found == {"learning_rate": 2e-5, "epochs": 10, "train_batch_size": 32, "max_length": 256, "clip": 1.0}
    assert settings.weight_decay == settings.warmup == 0.0


def test_english_is_in_the_papers_mean_alone():
    for task in ("ner", "pos"):
        assert default()[task].not_in_mean == ("eng",)
        assert paper()[task].not_in_mean == ()


@pytest.mark.parametrize("warmup", [0.0, 0.3])
def test_the_rate_rises_in_the_warm_up_and_falls_linearly(bert, tokenizer, data, monkeypatch, warmup):
    rates = []
    real = torch.optim.AdamW.step

    def step(self, *args, **kwargs):
        rates.extend({group["lr"] for group in self.param_groups})
        return real(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    task = Tagging("pos", "pos", scheme="upos", scoring="token", epochs=3, train_batch_size=4, learning_rate=1e-3)
    task = dataclasses.replace(task, warmup=warmup)
    task.prepare(TransformersModel(bert, tokenizer, "small"), DataFolder(data), 0, None)
    assert len(rates) % 3 == 0
    assert len(rates) > 6
    n, up = len(rates), round(warmup * len(rates))
    expected = [(i + 1) / (up + 1) for i in range(up)] + [(n - i) / (n - up) for i in range(up, n)]
    assert (up > 2) == (warmup > 0)
    assert rates == pytest.approx([1e-3 * share for share in expected])
