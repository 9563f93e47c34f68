"""Train, save, resume with every ZeRO stage: the same bits as without the interruption."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize(
    ("model", "stage"),
    [
        ("encoder", 1),
        ("encoder", 2),
        ("encoder", 3),
        pytest.param("decoder", 1, marks=pytest.mark.slow),
        pytest.param("decoder", 2, marks=pytest.mark.slow),
        pytest.param("decoder", 3, marks=pytest.mark.slow),
    ],
)
def test_four_and_four_steps_equal_eight(trainer, model, stage):
    runs = trainer(model, zero_stage=stage)
    straight = runs.start("straight")
    assert straight.wait() == 0, straight.output
    halves = runs.train("halves", stop_at=4)
    assert halves.checkpoints() == [4]
    assert not (halves.run / "final").exists()
    halves = runs.train("halves")
    assert "resuming after step 4" in halves.output

    assert len(straight.losses()) == 8
    assert straight.losses() == halves.losses()
    assert straight.losses()[-1] < straight.losses()[0]
    assert straight.same_weights(halves)
    for run in (straight, halves):
        facts = run.facts()
        assert facts["engine"] == "deepspeed.runtime.engine.DeepSpeedEngine"
        assert facts["zero_optimizer"].startswith("DeepSpeedZeroOptimizer")
        assert (facts["zero_stage"], facts["world_size"], facts["backend"]) == (stage, 2, "gloo")


def test_a_finished_run_is_left_alone_and_its_model_loads(trainer):
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    import hyperofa.model  # noqa: F401  registers the factorised families

    runs = trainer()
    done = runs.train("done", steps=2)
    before = {path: path.stat().st_mtime_ns for path in done.run.rglob("*") if path.is_file()}
    again = runs.train("done", steps=2)
    assert "already trained to step 2" in again.output
    assert before == {path: path.stat().st_mtime_ns for path in done.run.rglob("*") if path.is_file()}
    model, info = AutoModelForMaskedLM.from_pretrained(done.run / "final", output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert model.config.vocab_size == len(AutoTokenizer.from_pretrained(done.run / "final"))
    assert (done.run / "final" / "init.json").is_file()
