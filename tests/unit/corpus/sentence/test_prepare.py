"""Corpora of sentences: whose vector each learns, under which tokenizer, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from hyperofa.corpus.packed import PackedCorpus
from hyperofa.corpus.sentence import known
from hyperofa.corpus.sentence.batches import SentenceBatches
from hyperofa.corpus.sentence.prepare import Sentences, _draw, prepare_sentences
from hyperofa.corpus.sentence.source import SourceVectors
from hyperofa.corpus.settings import CorpusSettings
from hyperofa.errors import InputError

from .conftest import ENGLISH, PARALLEL, PROMPT, SWAHILI, write_source


def vector(source, text, *, pooling="mean", normalise=True):
    """The obvious reference: one text, no padding."""
    encoded = AutoTokenizer.from_pretrained(source)(text, return_tensors="pt")
    with torch.no_grad():
        states = (
            AutoModel.from_pretrained(source)
            .eval()(input_ids=encoded["input_ids"], attention_mask=encoded["attention_mask"])
            .last_hidden_state[0]
        )
    found = states[0] if pooling == "cls" else states.mean(0)
    return (found / found.norm() if normalise else found).numpy()


def of(corpus, language):
    """Sample ids of a language."""
    names = [one.name for one in corpus.languages]
    return np.flatnonzero(corpus.languages_of(np.arange(corpus.n_sequences)) == names.index(language))


def test_a_translation_learns_the_vector_of_the_pivots_side(sentences, source, tokenizer_directory):
    assert [(one.name, one.sequences, one.own) for one in sentences.languages] == [("eng", 24, 24), ("swh", 19, 0)]
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_directory)
    rows, segments = sentences.rows(of(sentences, "swh"))
    targets = sentences.target_vectors(of(sentences, "swh"))
    for i, number in enumerate((1, 2, 3, 4, 6)):
        assert rows[i][segments[i] == 0].tolist() == tokenizer(PROMPT + SWAHILI[number])["input_ids"]
        assert np.abs(targets[i] - vector(source, PROMPT + ENGLISH[number])).max() < 5e-4
    assert set(rows[segments < 0]) == {tokenizer.pad_token_id}
    longest = max((sentences.rows(of(sentences, name))[1] == 0).sum(1).max() for name in ("eng", "swh"))
    assert sentences.length == -(-longest // 8) * 8


def test_the_record_says_which_vectors_they_are(sentences):
    targets = sentences.targets
    assert (targets.dim, targets.pooling, targets.normalised, targets.prompt) == (16, "mean", True, PROMPT)
    mean, variance = sentences.target_moments
    different = np.unique(sentences.target_vectors(np.arange(sentences.n_sequences)), axis=0)
    assert np.abs(mean - different.mean(0)).max() < 1e-6
    assert variance == pytest.approx(np.square(different - different.mean(0)).sum(1).mean(), rel=1e-5)
    sentences.verify()


def test_other_targets_are_another_corpus(sentences, source, tokenizer_directory, tmp_path):
    made = [
        prepare_sentences(
            tokenizer_directory,
            {},
            PARALLEL,
            SourceVectors(str(source), prompt=prompt),
            tmp_path / (prompt.strip() or "none"),
            CorpusSettings(length=24, own_vectors=False),
        )
        for prompt in (PROMPT, "")
    ]
    assert made[0].fingerprint == sentences.fingerprint != made[1].fingerprint
    (tmp_path / "none" / "targets.safetensors").write_bytes((tmp_path / "the dog" / "targets.safetensors").read_bytes())
    with pytest.raises(InputError, match="the checksum does not match"):
        made[1].verify()


@pytest.mark.parametrize(("pooling", "normalise"), [("cls_token", False), ("mean_tokens", False)])
def test_vectors_are_pooled_as_the_sources_files_say(tokenizer_directory, tmp_path, pooling, normalise):
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_directory)
    source = write_source(tmp_path / "source", tokenizer, pooling=pooling, normalise=normalise)
    found = SourceVectors(str(source), prompt="")(ENGLISH[:2])
    expected = vector(source, ENGLISH[1], pooling=pooling.partition("_")[0], normalise=normalise)
    assert np.abs(found[1] - expected).max() < 1e-5


def test_languages_that_the_source_knows_learn_their_own_vectors_too(
    source, tokenizer_directory, tmp_path, monkeypatch
):
    more = tmp_path / "swh.txt"
    more.write_text("mbwa anaona mbwa\n\nnamba namba\n", encoding="utf-8")
    texts, vectors = {"swh": [str(more)]}, SourceVectors(str(source), prompt=None)
    for share, own in ((0.9, 21), (0.1, 0)):
        monkeypatch.setattr(known, "retrieved", lambda ours, theirs, share=share: share)
        out = tmp_path / str(share)
        corpus = prepare_sentences(tokenizer_directory, texts, PARALLEL, vectors, out, CorpusSettings(length=24))
        swahili = corpus.languages[1]
        assert (swahili.own, swahili.sequences, swahili.skipped) == (own, 19 + own, 1)
        assert corpus.targets.known == (("eng", "swh") if own else ("eng",))
    assert PackedCorpus.open(out).fingerprint == corpus.fingerprint


def test_a_replayed_language_makes_up_its_share_of_the_tokens(sentences, source, tokenizer_directory, tmp_path):
    vectors = SourceVectors(str(source), prompt=None)
    settings = CorpusSettings(length=24, own_vectors=False, replay={"eng": 0.2})
    corpus = prepare_sentences(tokenizer_directory, {}, PARALLEL, vectors, tmp_path / "c", settings)
    assert corpus.replayed == ["eng"]
    assert corpus.fingerprint != sentences.fingerprint
    batches = SentenceBatches(corpus, global_batch=500, seed=0)
    samples = np.concatenate([batches.draws(step)[0] for step in range(4)])
    tokens = (corpus.rows(samples)[1] == 0).sum(axis=1)
    english = np.isin(samples, of(corpus, "eng"))
    assert tokens[english].sum() / tokens.sum() == pytest.approx(0.2, abs=0.005)


def test_sentences_are_drawn_alike_from_every_language(sentences, source, tokenizer_directory, tmp_path, monkeypatch):
    asked: list[str] = []
    vectors = SourceVectors(str(source), prompt=None)
    original = SourceVectors.__call__
    monkeypatch.setattr(SourceVectors, "__call__", lambda self, texts: asked.extend(texts) or original(self, texts))
    made = {}
    for count in (22, 43, 1000):
        settings = CorpusSettings(length=24, own_vectors=False, sentences=count)
        made[count] = prepare_sentences(tokenizer_directory, {}, PARALLEL, vectors, tmp_path / str(count), settings)
        if count == 22:
            assert len(asked) == len(set(asked)) <= 22
    assert [(one.name, one.sequences, one.own) for one in made[22].languages] == [("eng", 12, 12), ("swh", 10, 0)]
    assert made[43].fingerprint == sentences.fingerprint == made[1000].fingerprint
    everything = {
        (*row, *target)
        for row, target in zip(
            sentences.rows(np.arange(43))[0].tolist(), sentences.target_vectors(np.arange(43)).tolist(), strict=True
        )
    }
    rows = made[22].rows(np.arange(22))[0].tolist()
    drawn = {(*row, *target) for row, target in zip(rows, made[22].target_vectors(np.arange(22)).tolist(), strict=True)}
    assert len(drawn) > 15
    assert drawn < everything


@pytest.mark.parametrize("count", [1, 7, 15, 29, 100, 199, 1000])
def test_as_many_sentences_are_drawn_as_are_asked_for(count):
    sizes = {"eng": 60, "swh": 100, "kab": 35, "fry": 1}
    for replay in ({}, {"eng": 0.2}):
        sentences = {name: Sentences([str(i) for i in range(n)], ["x"] * n) for name, n in sizes.items()}
        _draw(sentences, count, replay)
        kept = {name: len(one.texts) for name, one in sentences.items()}
        assert all(1 <= kept[name] <= sizes[name] for name in sizes)
        most = 196 if not replay else 136 + min(60, round(0.2 * count))
        assert abs(sum(kept.values()) - min(count, most)) <= sum(n == 1 for n in kept.values())
        if replay and count >= 7:
            assert kept["eng"] == max(1, min(60, round(0.2 * count)))
        if 10 < count < 196:
            assert kept["swh"] / 100 == pytest.approx(kept["kab"] / 35, abs=0.04)


def test_a_prompt_that_leaves_no_room_is_refused(source, tokenizer_directory, tmp_path):
    vectors = SourceVectors(str(source), prompt=PROMPT)
    taken = len(AutoTokenizer.from_pretrained(tokenizer_directory)(PROMPT)["input_ids"])
    with pytest.raises(InputError, match=f"the prompt alone takes {taken} or more of {taken} tokens"):
        prepare_sentences(tokenizer_directory, {}, PARALLEL, vectors, tmp_path / "c", CorpusSettings(length=taken))
    assert not (tmp_path / "c").exists()


def test_long_sentences_are_cut_and_still_closed(source, tokenizer_directory, tmp_path, caplog):
    vectors = SourceVectors(str(source), prompt="")
    settings = CorpusSettings(length=8, own_vectors=False)
    corpus = prepare_sentences(tokenizer_directory, {}, PARALLEL, vectors, tmp_path / "c", settings)
    rows, segments = corpus.rows(np.arange(corpus.n_sequences))
    ends = [row[segment == 0][-1] for row, segment in zip(rows, segments, strict=True)]
    assert corpus.length == 8
    assert set(ends) == {2}
    assert [
        record.getMessage() for record in caplog.records if "sentences have 8 tokens or more" in record.getMessage()
    ]


def test_what_can_not_be_learned_is_refused_in_one_line(source, tokenizer_directory, tmp_path):
    text = tmp_path / "swh.txt"
    text.write_text("mbwa\n", encoding="utf-8")
    vectors, settings = SourceVectors(str(source), prompt=None), CorpusSettings(length=24)
    unpaired = CorpusSettings(length=24, own_vectors=False, replay={"kab": 0.2})
    cases = [
        ({"swh": [str(text)]}, {}, CorpusSettings(length=24, own_vectors=False), "no sentence has a target vector"),
        ({}, {"swh": PARALLEL["swh"]}, settings, "parallel: no text in eng"),
        ({}, {"eng": {0: "a"}, "swh": {1: "b"}}, settings, "nothing is a translation"),
        ({}, PARALLEL, CorpusSettings(length=24, cap={"kab": 3}), "names 'kab'"),
        ({}, PARALLEL, CorpusSettings(length=24, replay={"kab": 0.2}), "names 'kab'"),
        ({}, PARALLEL, CorpusSettings(length=24, replay={"eng": 0.5, "swh": 0.4}), "every language is replayed"),
        ({}, PARALLEL | {"kab": {99: "aqcic"}}, unpaired, "replay names kab, of which no sentence has a target"),
        ({}, {"eng": {0: "a"}, "swh": {0: "b"}}, CorpusSettings(own_vectors=False), "all target vectors are the same"),
    ]
    for texts, parallel, asked, said in cases:
        with pytest.raises(InputError, match=said) as caught:
            prepare_sentences(tokenizer_directory, texts, parallel, vectors, tmp_path / "out", asked)
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "out").exists()


def test_sources_that_pool_otherwise_are_refused(tokenizer_directory, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_directory)
    source = write_source(tmp_path / "source", tokenizer, pooling="max_tokens")
    with pytest.raises(InputError, match="vectors are pooled by max, and only mean or cls is known"):
        SourceVectors(str(source), prompt=None)
    (source / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode": "mean"}))
    assert SourceVectors(str(source), prompt=None).form.pooling == "mean"
