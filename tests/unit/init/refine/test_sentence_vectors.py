"""Learning from sentences: the loss by hand, whose own vectors are targets, and what is refused."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

from hyperofa.corpus.sentence import known
from hyperofa.corpus.sentence.known import retrieved
from hyperofa.data.given_text import GivenText, PartedText, part_text
from hyperofa.data.parallel import ParallelText
from hyperofa.errors import InputError
from hyperofa.init.refine.learned_rows import LearnedRows
from hyperofa.init.refine.sentence_vectors import SentenceVectors, sentence_loss
from hyperofa.init.refine.sentences import tokenise
from hyperofa.init.refine.settings import RefineConfig

from .conftest import ENGLISH, GERMAN

CONFIG = RefineConfig(steps=4, batch_size=8, max_length=30).completed("sentences")


def objective(parts, given=None, config=CONFIG):
    return SentenceVectors(given or parts.given, parts.tokenizers, parts.body(), config, 0)


def test_the_loss_by_hand():
    rng = np.random.default_rng(0)
    vectors, targets, answers = rng.normal(size=(3, 4)), rng.normal(size=(5, 4)), np.array([4, 0, 4])
    found = sentence_loss(*map(torch.tensor, (vectors, targets, answers)), temperature=0.1, pull=0.3)
    for i, answer in enumerate(answers):
        cosines = [vectors[i] @ t / np.linalg.norm(vectors[i]) / np.linalg.norm(t) for t in targets]
        expected = math.log(sum(math.exp(c / 0.1) for c in cosines)) - cosines[answer] / 0.1
        error = ((vectors[i] - targets[answer]) ** 2).sum() / (targets**2).sum(1).mean()
        expected += 0.3 * (1 - cosines[answer] + 0.1 * error)
        assert float(found[i]) == pytest.approx(expected)


def test_retrieval_is_the_share_that_finds_its_own():
    theirs = torch.eye(4)
    assert retrieved(theirs, theirs) == 1
    assert retrieved(theirs[[1, 0, 2, 3]], theirs) == 0.5


def test_a_prompt_stands_before_every_sentence_of_both_tokenizers(parts):
    made = SentenceVectors(parts.given, parts.tokenizers, parts.body(), CONFIG, 0, prompt="dog cat ")
    plain = objective(parts)
    for one, words in ((made, "dog cat house red"), (plain, "house red")):
        (ids,), _ = tokenise(parts.tokenizers[1], [words], 30)
        assert np.array_equal(one._tokens(parts.tokenizers[1], ["house red"])[0][0], ids)
    with parts.body().frozen():
        expected = plain._source_vectors(["dog cat house red"])
        assert torch.equal(made._source_vectors(["house red"]), expected)


def test_only_what_the_source_knows_teaches_itself(parts):
    """German is unknown tokens to the source; the pivot's lines without a pair are targets of their own."""
    more = GivenText(
        {"eng": [f"{a} tree {b}" for a in ("dog", "cat", "sun", "moon", "fire") for b in ("red", "walk", "water")]}
    )
    given = part_text(GivenText(more.lines, ParallelText({}, 0)), 0)
    assert objective(parts, given).known == {"eng"}
    assert objective(parts, part_text(GivenText({"deu": GERMAN}), 0)).known == set()
    assert "eng" in objective(parts, part_text(GivenText({"eng": ENGLISH}), 0)).known


def test_languages_without_pairs_are_trusted_to_a_source_that_knows_those_with_pairs(parts, monkeypatch):
    """English words under another name are spelled well; whether German is found decides."""
    numbers = range(200)
    sides = {"eng": ENGLISH, "deu": GERMAN}
    pairs = {
        code: {n: f"{lines[n % len(lines)]} {lines[n // len(lines) % len(lines)]}" for n in numbers}
        for code, lines in sides.items()
    }
    given = part_text(GivenText({"sco": [f"{a} {b}" for a in ENGLISH for b in ENGLISH]}, ParallelText(pairs, 200)), 0)
    for share, languages in ((0.9, {"deu", "sco"}), (0.1, set())):
        monkeypatch.setattr(known, "retrieved", lambda ours, theirs, share=share: share)
        assert objective(parts, given).known - {"eng"} == languages


def test_the_held_out_figure_is_the_loss_of_the_held_out_pairs(parts):
    made = objective(parts)
    rows = LearnedRows(parts.start, np.zeros(0, dtype=int), sparse=True)
    body = parts.body()
    with made._body.frozen():
        figure = made.held_out(rows, rows)
        assert figure == made.held_out(rows, rows)
    source, target = parts.tokenizers
    pivot = parts.given.choose.parallel.texts["eng"]
    bank = sorted(set(pivot.values()))

    def vector(text, tokenizer, table):
        ids = torch.tensor([tokenizer(text)["input_ids"]])
        with body.frozen(), torch.no_grad():
            return body.states(table[ids], torch.ones_like(ids))[0, 1:-1].mean(0)

    targets = torch.stack([vector(text, source, parts.source.input_embeddings) for text in bank])
    centre, means = targets.mean(0), []
    for lines in parts.given.choose.parallel.texts.values():
        found = torch.stack([vector(text, target, parts.start.rows.stored) for text in lines.values()])
        answers = torch.tensor([bank.index(pivot[n]) for n in lines])
        losses = sentence_loss(found - centre, targets - centre, answers, CONFIG.temperature, CONFIG.pull)
        means.append(float(losses.mean()))
    assert figure == pytest.approx(float(np.mean(means)), rel=1e-4)


def test_nothing_to_learn_from_cannot_choose(parts):
    assert not objective(parts, PartedText()).can_choose
    assert objective(parts).can_choose


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ({"deu": dict(enumerate(GERMAN))}, "no text in eng, the language of the pivot; there: deu"),
        ({"eng": dict(enumerate(ENGLISH))}, "nothing is a translation of a sentence in eng"),
    ],
)
def test_parallel_text_without_pairs_is_refused(parts, texts, message):
    given = part_text(GivenText({}, ParallelText(texts, len(ENGLISH))), 0)
    with pytest.raises(InputError, match=message):
        objective(parts, given)
    assert dataclasses.replace(CONFIG, pivot="deu").pivot == "deu"
