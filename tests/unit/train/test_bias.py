"""The head's bias starts at the corpus's frequencies: counts, smoothing, and what the model then predicts."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from hyperofa.corpus.batches import Batches
from hyperofa.corpus.masking import Masking
from hyperofa.corpus.packed import PackedCorpus
from hyperofa.corpus.prepare import prepare
from hyperofa.corpus.settings import CorpusSettings
from hyperofa.errors import InputError
from hyperofa.model import TrainingModel
from hyperofa.model.families import input_embedding, output_head
from hyperofa.train import bias
from tests.unit.corpus.conftest import decoder_tokenizer, encoder_tokenizer
from tests.unit.model.conftest import small_source

TEXTS = {"eng": ["the dog sees", "the cat", "the the the"], "swh": ["mbwa anaona", "the dog"]}


@pytest.fixture(params=["masked", "causal"])
def batches(request, tmp_path: Path) -> Batches:
    """Every sequence of two small languages, four a step, three steps' worth."""
    masked = request.param == "masked"
    (encoder_tokenizer() if masked else decoder_tokenizer()).save_pretrained(tmp_path / "tokenizer")
    files = {}
    for language, lines in TEXTS.items():
        (tmp_path / f"{language}.txt").write_text("\n".join(lines * 4) + "\n")
        files[language] = [str(tmp_path / f"{language}.txt")]
    corpus = prepare(tmp_path / "tokenizer", files, tmp_path / "corpus", CorpusSettings(length=8))
    return Batches(corpus, global_batch=4, seed=1, masking=Masking() if masked else None)


def wanted_ids(corpus: PackedCorpus, samples: np.ndarray, *, causal: bool) -> list[int]:
    """What may be predicted, token by token."""
    found = []
    for ids, segments in zip(*corpus.rows(samples), strict=True):
        for place, (token, segment) in enumerate(zip(ids.tolist(), segments.tolist(), strict=True)):
            if segment < 0:
                continue
            if causal:
                first = place == 0 or segments[place - 1] != segment
                found += [] if first else [token]
            elif not corpus.tokens.special[token]:
                found.append(token)
    return found


def test_tokens_are_counted_where_they_may_be_predicted(batches, monkeypatch):
    corpus, causal = batches.corpus, batches.masker is None
    drawn = np.concatenate([batches.draws(step)[0] for step in range(3)])
    counts, possible = bias.token_counts(batches, 3)
    assert {int(i): int(counts[i]) for i in np.flatnonzero(counts)} == Counter(wanted_ids(corpus, drawn, causal=causal))
    np.testing.assert_array_equal(possible, np.ones_like(possible) if causal else ~corpus.tokens.special)
    monkeypatch.setattr(bias, "SAMPLED_TOKENS", 33)  # two steps of 4 x 8 tokens are the first to reach it
    some, _ = bias.token_counts(batches, 3)
    assert some.sum() == len(wanted_ids(corpus, drawn[:8], causal=causal))


def test_unseen_tokens_share_what_was_seen_once():
    counts, possible = np.array([6, 1, 1, 0, 0, 0, 0]), np.array([True] * 6 + [False])
    found = np.exp(bias.log_frequencies(counts, possible))
    left = 2 / 9  # two of eight were seen once, and one is added to the eight
    np.testing.assert_allclose(found, [*(np.array([6, 1, 1]) / 8 * (1 - left)), *[left / 3] * 3, 0], rtol=1e-12)
    assert found.sum() == pytest.approx(1)
    all_seen = np.exp(bias.log_frequencies(np.array([3, 1, 0]), np.array([True, True, False])))
    np.testing.assert_allclose(all_seen, [0.75, 0.25, 0])
    never_once = np.exp(bias.log_frequencies(np.array([4, 0]), np.array([True, True])))
    np.testing.assert_allclose(never_once, [0.8, 0.2])


@pytest.mark.parametrize("batches", ["masked"], indirect=True)
def test_a_head_that_tells_nothing_else_predicts_the_corpuss_distribution(batches):
    vocab = batches.corpus.vocab_size
    pretrained = small_source("bert")
    pretrained.resize_token_embeddings(vocab + 3)  # rows beyond the tokenizer are never predicted
    model = TrainingModel(pretrained, dropout=0.0)
    with torch.no_grad():
        input_embedding(model.pretrained).weight.zero_()  # tied: the scores are the bias alone
    bias.start_at_frequencies(model, batches, 50)
    batch = batches.for_rank(0, 0, 1, 4)[0]
    out = model(**{key: batch.inputs[key] for key in ("input_ids", "labels")})
    counts, possible = bias.token_counts(batches, 50)
    wanted = batch.inputs["labels"][batch.inputs["labels"] >= 0].numpy()
    p = np.exp(bias.log_frequencies(counts, possible))
    rare = p[possible].min()
    p = np.append(np.where(possible, p, rare), [rare] * 3)
    assert float(out.loss_sum.detach()) == pytest.approx(-np.log(p[wanted] / p.sum()).sum(), rel=1e-5)


@pytest.mark.parametrize("batches", ["causal"], indirect=True)
def test_a_head_without_bias_is_refused(batches):
    model = TrainingModel(small_source("llama"), dropout=0.0)
    assert output_head(model.pretrained).bias is None
    with pytest.raises(InputError, match="the head of a llama model has no bias; leave head_bias out"):
        bias.start_at_frequencies(model, batches, 3)


def test_a_run_without_a_token_to_predict_is_refused(batches, monkeypatch):
    corpus = batches.corpus
    monkeypatch.setattr(corpus, "rows", lambda samples: (np.zeros((4, 8), np.int32), np.full((4, 8), -1, np.int16)))
    with pytest.raises(InputError, match="no token that could be predicted"):
        bias.token_counts(batches, 3)
