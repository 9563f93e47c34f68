"""The loop: what is taken, that it never harms, that interruption changes nothing, and that Ctrl-C ends it early."""

from __future__ import annotations

import dataclasses
import os
import signal

import numpy as np
import pytest
import torch

import hyperofa.init.refine.learn as loop
from hyperofa.base.interrupts import patient_interrupts
from hyperofa.errors import HyperofaError
from hyperofa.init.kept_work import SavedState
from hyperofa.init.refine.body import Body
from hyperofa.init.refine.learn import _typical, learn
from hyperofa.init.refine.learned_rows import LearnedRows
from hyperofa.init.refine.own_loss import HeadFacts, OwnLoss
from hyperofa.init.refine.sentence_vectors import SentenceVectors
from hyperofa.init.refine.settings import RefineConfig

from .conftest import CPU, decoder, start_of

CONFIG = RefineConfig(steps=30, batch_size=8, learning_rate=0.2, max_length=30).completed("sentences")


class Stopping(SentenceVectors):
    """Stops before a step."""

    def loss(self, rows, head, step):
        if step == 17:
            raise KeyboardInterrupt
        return super().loss(rows, head, step)


def run(parts, store=None, *, config=CONFIG, kind=SentenceVectors):
    """The rows and the course of a learning."""
    made = kind(parts.given, parts.tokenizers, parts.body(), config, 0)
    with made._body.frozen():
        rows = LearnedRows(parts.start, made.begin(parts.start.movable), sparse=True, longest=config.longest)
        course = learn(rows, rows, made, store or SavedState(None, "refine", ""))
    return rows.refined(parts.start)[:], course


def test_new_rows_move_to_where_held_out_text_is_best(parts):
    before = {name: value.clone() for name, value in parts.source.model.state_dict().items()}
    rows, course = run(parts)
    moved = np.abs(rows - parts.start.rows[:]).max(axis=1) > 0
    assert not moved[:5].any()
    assert moved[5:12].sum() > 4
    assert course.best[2] < course.looks[0][2]
    assert np.mean(course.losses[-5:]) < np.mean(course.losses[:5])
    assert [look[:2] for look in course.looks] == [(0, 0.0), (10, 1.0), (20, 1.0), (30, 1.0), (30, 0.7), (30, 0.35)]
    assert all(torch.equal(value, before[name]) for name, value in parts.source.model.state_dict().items())


def test_what_is_taken_is_what_was_measured(parts):
    """The rows that are returned give the best figure again."""
    config = dataclasses.replace(CONFIG, steps=12)
    rows, course = run(parts, config=config)
    made = SentenceVectors(parts.given, parts.tokenizers, parts.body(), config, 0)
    with made._body.frozen():
        still = LearnedRows(dataclasses.replace(parts.start, rows=rows), np.zeros(0, dtype=int), sparse=True)
        assert made.held_out(still, still) == pytest.approx(course.best[2], rel=1e-5)


def test_a_learning_that_only_harms_leaves_the_start(parts):
    class Harm(SentenceVectors):
        def loss(self, rows, head, step):
            return -super().loss(rows, head, step)

    rows, course = run(parts, kind=Harm)
    assert course.best[:2] == (0, 0.0)
    np.testing.assert_array_equal(rows, parts.start.rows[:])


def test_two_runs_are_equal_and_an_interrupted_one_ends_where_it_would(parts, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "_SAVE_EVERY", 5)
    straight, course = run(parts)
    again, _ = run(parts)
    np.testing.assert_array_equal(straight, again)
    with pytest.raises(KeyboardInterrupt):
        run(parts, SavedState(tmp_path, "refine", "key"), kind=Stopping)
    assert len(list(tmp_path.glob("refine-*.safetensors"))) == 1
    resumed, after = run(parts, SavedState(tmp_path, "refine", "key"))
    np.testing.assert_array_equal(resumed, straight)
    assert (after.losses, after.looks) == (course.losses, course.looks)


@pytest.fixture
def on_a_terminal():
    """A shell starts what runs in its background deaf to Ctrl-C, tests too."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("on_a_terminal")
def test_ctrl_c_takes_the_best_so_far(parts, caplog):
    class Interrupted(SentenceVectors):
        def loss(self, rows, head, step):
            if step == 13:
                os.kill(os.getpid(), signal.SIGINT)
            return super().loss(rows, head, step)

    with patient_interrupts(), caplog.at_level("INFO", logger="hyperofa"):
        rows, course = run(parts, kind=Interrupted)
    assert course.interrupted
    assert len(course.losses) == 14
    assert course.best[2] < course.looks[0][2]
    assert np.abs(rows - parts.start.rows[:]).max() > 0
    assert "interrupted after 14 steps of 30: the best rows so far are taken" in caplog.text
    with pytest.raises(KeyboardInterrupt):  # a user's own program is interrupted as ever
        run(parts, kind=Interrupted)


def test_rows_that_no_batch_holds_do_not_drift(parts):
    """A tied head gives them small gradients, of which Adam alone would make steps as large as any."""
    tokenizer = parts.tokenizers[1]
    size, config = len(tokenizer), RefineConfig(steps=6, batch_size=8, max_length=30).completed("tokens")
    facts = HeadFacts(True, None, None, torch.ones(size, dtype=torch.bool), torch.tensor([0]), 0)
    start = start_of(size, 16, slice(5, size))
    made = OwnLoss(parts.given, tokenizer, Body(decoder(size), None, CPU, bf16=False), config, 0, facts)
    with made._body.frozen():
        rows = LearnedRows(start, made.begin(start.movable), sparse=False)
        rows.shared.requires_grad_(False)
        learn(rows, rows, made, SavedState(None, "refine", ""))
    moved = np.linalg.norm(rows.refined(start)[:] - start.rows[:], axis=1)
    held = np.unique(np.concatenate([made._ids[i] for step in range(6) for i in made._draws.batch(step)]))
    new = np.arange(5, size)
    seen, unseen = (moved[np.intersect1d(new, ids)].mean() for ids in (held, np.setdiff1d(new, held)))
    assert 0 < unseen < 0.5 * seen


def test_progress_is_logged(parts, caplog, monkeypatch):
    monkeypatch.setattr("hyperofa_eval.base.console._LOG_EVERY", 0.0)
    with caplog.at_level("INFO"):
        run(parts, config=dataclasses.replace(CONFIG, steps=3))
    assert "learning rows: 2 of 3, loss " in caplog.text
    assert "best held-out " in caplog.text
    assert "taken: " in caplog.text


def test_a_loss_that_is_not_finite_ends_it(parts):
    broken = dataclasses.replace(parts.start, rows=np.full_like(parts.start.rows[:], np.nan))
    with pytest.raises(HyperofaError, match="lower learning_rate"):
        run(parts._replace(start=broken))


def test_the_rate_rises_and_falls():
    config = RefineConfig(steps=100, warmup=0.1)
    rates = [config.rate(step) for step in range(100)]
    assert rates.index(max(rates)) == 10
    assert rates[0] < 0.2
    assert 0 < rates[-1] < 0.02


def test_one_row_with_a_huge_gradient_does_not_slow_the_others():
    """Adam's epsilon is a typical gradient; one outlier in a thousand rows would have made it a hundred times as large."""
    gradient = torch.randn(1000, 8, generator=torch.Generator().manual_seed(0)) * 1e-4
    plain = _typical(gradient)
    assert plain == pytest.approx(float(gradient.square().mean().sqrt()), rel=0.05)
    gradient[7] = 0.3
    assert _typical(gradient) == pytest.approx(plain, rel=0.05)


def test_many_rows_take_more_steps_than_few_unless_asked():
    plain = RefineConfig().completed("sentences")
    assert [plain.for_rows(n).steps for n in (10, 48_000, 80_000, 100_000, 10**6)] == [400, 600, 1000, 1250, 1400]
    assert dataclasses.replace(plain, steps=7).for_rows(10**6).steps == 7
