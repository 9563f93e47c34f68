"""``objective: sentence`` in real launches: plain torch's losses on any ranks and stages, the same bits after a stop."""

from __future__ import annotations

import os
import signal

import pytest

slow = pytest.mark.slow
STEPS = 24


@pytest.fixture(scope="session")
def sentence_corpus(home):
    """Translations with the vectors of a tiny sentence encoder that has the trained model's width."""
    import torch
    from transformers import AutoTokenizer, BertConfig, BertModel

    from hyperofa.corpus.sentence.prepare import prepare_sentences
    from hyperofa.corpus.sentence.source import SourceVectors
    from hyperofa.corpus.settings import CorpusSettings

    from .conftest import LANGUAGES, LENGTH, sentences

    tokenizer = AutoTokenizer.from_pretrained(home / "tokenizer")
    torch.manual_seed(1)
    shape = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 48}
    BertModel(BertConfig(vocab_size=len(tokenizer), max_position_embeddings=LENGTH, **shape)).save_pretrained(
        home / "sentence-source"
    )
    tokenizer.save_pretrained(home / "sentence-source")
    parallel = {language: dict(enumerate(sentences(language))) for language in LANGUAGES}
    settings = CorpusSettings(length=LENGTH, pivot=LANGUAGES[0])
    source = SourceVectors(str(home / "sentence-source"), prompt=None)
    out = home / "sentence-corpus"
    prepare_sentences(home / "tokenizer", {}, parallel, source, out, settings)
    return out


@pytest.fixture
def runs(trainer, sentence_corpus):
    made = trainer(objective="sentence", corpus=sentence_corpus, steps=STEPS)
    made.corpus = sentence_corpus
    return made


@pytest.fixture(scope="session")
def expected(home, sentence_corpus):
    return train_plainly(home, sentence_corpus)


def train_plainly(home, sentence_corpus, adapter=0):
    """The losses of the same run in one process of plain torch, with the whole batch at once."""
    import torch

    from hyperofa.corpus.order import stream_key
    from hyperofa.corpus.packed import PackedCorpus
    from hyperofa.corpus.sentence.batches import SentenceBatches
    from hyperofa.model import SentenceTargets, load_for_training, parameter_groups

    from .conftest import EPSILON

    corpus = PackedCorpus.open(sentence_corpus)
    mean, variance = corpus.target_moments
    targets = SentenceTargets(corpus.targets.pooling, corpus.targets.normalised, torch.from_numpy(mean), variance)
    model = load_for_training(home / "encoder", sentences=targets)
    if adapter:
        from hyperofa.model.adapter import add_adapter

        add_adapter(model, rank=adapter, alpha=2.0 * adapter, seed=stream_key(0, "adapter"))
    batches = SentenceBatches(corpus, global_batch=8, seed=0)
    optimizer = torch.optim.AdamW(parameter_groups(model, weight_decay=0.01), lr=1e-2, eps=EPSILON)
    found = []
    for step in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = 1e-2 * (1 - step / STEPS)
        loss = model(**batches.for_rank(step, 0, 1, 8)[0].inputs).loss_sum / 8
        found.append(float(loss.detach()))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return found


def test_a_killed_run_goes_on_with_plain_torchs_losses_and_ends_elsewhere(runs, expected):
    """Two ranks, one of them killed, then one rank and another stage to the end."""
    killed = runs.start("run", zero_stage=2, save_every=4)
    killed.wait_for_step(9)
    os.kill(killed.workers()[1], signal.SIGKILL)
    assert killed.wait() == 1, killed.output
    done = runs.train("run", zero_stage=3, ranks=1)
    assert "taking it apart anew" in done.output
    assert done.losses() == pytest.approx(expected, abs=1e-5)
    assert expected[-1] < 0.5 * expected[0]
    rows = done.rows()
    assert all(row["sentences"] == 8 for row in rows)
    assert all(0 < row["tokens"] <= 8 * 16 * row["step"] for row in rows)
    assert [row["tokens"] for row in rows] == sorted({row["tokens"] for row in rows})


@pytest.mark.parametrize(
    "stage", [pytest.param(1, marks=slow), pytest.param(2, marks=slow), pytest.param(3, marks=slow)]
)
def test_every_stage_resumes_with_the_same_bits_and_has_plain_torchs_losses(runs, expected, stage):
    straight = runs.train("straight", zero_stage=stage)
    assert straight.losses() == pytest.approx(expected, abs=1e-5)
    runs.train("halves", zero_stage=stage, stop_at=11)
    halves = runs.train("halves", zero_stage=stage)
    assert halves.losses() == straight.losses()
    assert halves.same_weights(straight)
    assert [row["tokens"] for row in halves.rows()] == [row["tokens"] for row in straight.rows()]


@slow
@pytest.mark.parametrize(("ranks", "micro"), [(1, 8), (1, 2), (4, 2), (2, 4)])
def test_ranks_and_accumulation_do_not_change_the_losses(runs, expected, ranks, micro):
    assert runs.train("run", ranks=ranks, micro_batch_size=micro).losses() == pytest.approx(expected, abs=1e-5)


@slow
@pytest.mark.parametrize(
    ("stage", "ranks", "new_stage", "new_ranks"), [(1, 2, 3, 2), (2, 2, 2, 4), (3, 2, 1, 1), (3, 1, 2, 2)]
)
def test_goes_on_elsewhere(runs, expected, stage, ranks, new_stage, new_ranks):
    runs.train("run", stop_at=6, zero_stage=stage, ranks=ranks)
    moved = runs.train("run", stop_at=14, zero_stage=new_stage, ranks=new_ranks)
    assert moved.losses() == pytest.approx(expected[:14], abs=1e-5)


@slow
def test_the_head_ends_as_it_began(runs, home):
    from safetensors.torch import load_file

    before, after = load_file(home / "encoder" / "model.safetensors"), runs.train("run").weights()
    head = {name for name in before if name.startswith("cls.")}
    assert head
    assert before.keys() == after.keys()
    for name in before:
        assert before[name].equal(after[name]) == (name in head), name


@slow
def test_adapters_learn_sentences_too_and_end_as_a_plain_model(runs, home, sentence_corpus, expected, tmp_path):
    from safetensors.torch import load_file

    from hyperofa.cli import main

    pytest.importorskip("peft")
    runs.settings["adapter"] = {"rank": 4, "alpha": 8.0}
    runs.train("run", stop_at=9, zero_stage=2)
    moved = runs.train("run", zero_stage=3, ranks=1)
    wanted = train_plainly(home, sentence_corpus, adapter=4)
    assert moved.losses() == pytest.approx(wanted, abs=1e-5)
    assert wanted[-1] != pytest.approx(expected[-1], abs=1e-3)
    before, after = load_file(home / "encoder/model.safetensors"), moved.weights()
    assert {name: tensor.shape for name, tensor in after.items()} == {name: t.shape for name, t in before.items()}
    words = ["checkpoint", "export", str(moved.run), "--step", str(STEPS), "--out", str(tmp_path / "exported")]
    assert main(words) == 0
    exported = load_file(tmp_path / "exported/model.safetensors")
    assert exported.keys() == after.keys()
    assert all((exported[name] - after[name]).abs().max() < 1e-6 for name in after)
