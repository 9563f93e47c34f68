"""Interrupted and resumed with every ZeRO stage: the same bits as without the interruption, and the right losses."""

from __future__ import annotations

import os
import signal

import pytest

MODELS = ("encoder", pytest.param("decoder", marks=pytest.mark.slow))


def assert_same(first, second):
    assert first.losses() == second.losses()
    assert len(first.losses()) == 40
    assert first.same_weights(second)


@pytest.mark.parametrize("model", MODELS)
def test_zero1_loses_nothing_committed_when_a_rank_is_killed(trainer, straight, model):
    runs = trainer(model, zero_stage=1, save_every=5)
    killed = runs.start("killed")
    killed.wait_for_step(12)
    os.kill(killed.workers()[1], signal.SIGKILL)
    assert killed.wait() == 1
    assert "rank 1" in killed.output
    assert "SIGKILL" in killed.output
    newest = killed.checkpoints()[0]
    assert newest >= 10
    resumed = runs.train("killed")
    assert f"resuming after step {newest}" in resumed.output
    assert_same(straight(model, 1), resumed)


@pytest.mark.parametrize("model", MODELS)
def test_zero2_saves_and_ends_with_143_at_sigterm(trainer, straight, model):
    runs = trainer(model, zero_stage=2)
    stopped = runs.start("stopped", cold=True)  # as a user's launch, every import included
    stopped.wait_for_step(3)
    stopped.process.send_signal(signal.SIGTERM)
    assert stopped.wait() == 143, stopped.output
    assert "Traceback" not in stopped.output
    step = stopped.rows()[-1]["step"]
    assert stopped.checkpoints() == [step]
    assert step < 40
    assert not (stopped.run / "final").exists()
    resumed = runs.train("stopped")
    assert f"resuming after step {step}" in resumed.output
    assert_same(straight(model, 2), resumed)


@pytest.mark.parametrize("model", MODELS)
def test_zero3_stops_at_a_step_and_goes_on(trainer, straight, model):
    runs = trainer(model, zero_stage=3)
    assert runs.train("halves", stop_at=20).checkpoints() == [20]
    assert_same(straight(model, 3), runs.train("halves"))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("stage", [1, 2, 3])
def test_every_stage_is_deepspeed_and_equals_plain_torch(straight, plain_losses, model, stage):
    run = straight(model, stage)
    facts = run.facts()
    assert "has no" not in run.output, "the installed version lacks a name of engine/internals.py"
    assert facts["engine"] == "deepspeed.runtime.engine.DeepSpeedEngine"
    assert facts["zero_optimizer"] == ("DeepSpeedZeroOptimizer_Stage3" if stage == 3 else "DeepSpeedZeroOptimizer")
    assert (facts["zero_stage"], facts["world_size"], facts["backend"]) == (stage, 2, "gloo")
    assert run.losses() == pytest.approx(plain_losses(model), abs=1e-5)
    assert run.losses()[-1] < 0.8 * run.losses()[0]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("stage", [1, 2, 3])
def test_the_final_model_is_whole(straight, model, stage):
    from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, AutoTokenizer

    import hyperofa.model  # noqa: F401  registers the factorised families

    done = straight(model, stage)
    kind = AutoModelForMaskedLM if model == "encoder" else AutoModelForCausalLM
    loaded, info = kind.from_pretrained(done.run / "final", output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert {name for name, _ in loaded.named_parameters()} == set(done.weights())
    assert loaded.config.vocab_size == len(AutoTokenizer.from_pretrained(done.run / "final"))


def test_a_finished_run_is_left_alone(trainer, straight):
    done = straight("encoder", 2)
    before = {path: path.stat().st_mtime_ns for path in done.run.rglob("*") if path.is_file()}
    again = trainer("encoder").train("again", run=done.run)
    assert "already trained to step 40" in again.output
    assert before == {path: path.stat().st_mtime_ns for path in done.run.rglob("*") if path.is_file()}


@pytest.mark.parametrize("stage", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_one_rank_equals_plain_torch(trainer, plain_losses, stage):
    """Accumulates four micro-batches a step, and clips."""
    runs = trainer(zero_stage=stage, clip=0.5)
    straight = runs.train("straight", ranks=1)
    assert (straight.facts()["world_size"], straight.facts()["accumulation"]) == (1, 4)
    assert straight.losses() == pytest.approx(plain_losses("encoder", clip=0.5), abs=1e-5)
    runs.train("halves", ranks=1, stop_at=17)
    assert_same(straight, runs.train("halves", ranks=1))
